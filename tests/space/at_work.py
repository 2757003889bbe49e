"""Which jobs are at work in this process, and how long it takes until something holds."""

import threading
import time
from collections.abc import Callable


def working() -> int:
    """How many jobs are at work."""
    return sum(thread.name == "job" for thread in threading.enumerate())


def seconds_until(condition: Callable[[], bool], *, most: float = 20.0) -> float:
    """How long it takes until something holds.

    Raises:
        AssertionError: it does not within `most` seconds.
    """
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < most
        time.sleep(0.01)
    return time.monotonic() - started
