"""The signals that end a sweep: held back while something must happen whole, and heard once before they act."""

import contextlib
import signal
import threading
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


@contextlib.contextmanager
def first_signal_asks() -> Generator[threading.Event]:
    """Inside the block the first Ctrl-C or SIGTERM only sets the event; the next acts as ever. Main thread only."""
    asked = threading.Event()
    before = {number: signal.getsignal(number) for number in HELD}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(*_: object) -> None:
        restore()
        asked.set()

    try:
        for number in HELD:
            signal.signal(number, ask)
        yield asked
    finally:
        restore()
