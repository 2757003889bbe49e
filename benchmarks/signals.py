"""Holds back the signals that end a sweep while something must happen whole."""

import contextlib
import signal
from collections.abc import Generator

HELD = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def held_signals() -> Generator[None]:
    """Lets Ctrl-C and SIGTERM wait until the block is done; they then act as ever. Main thread only."""
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in HELD}
    try:
        for number in HELD:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
