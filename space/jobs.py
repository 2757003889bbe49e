"""Work that can be watched and stopped: it runs in a thread of its own and tells what it has so far.

Gradio ends an event (Stop, a closed tab, a client that went away) by closing its generator, which it can do only
between two values. So the generator made here gives a value at least every `BEAT_SECONDS`, and closing it tells the
work to stop. It does not wait for that, because Gradio closes generators on its event loop, which serves all users.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

BEAT_SECONDS = 0.1
END_SECONDS = 5.0  # how long after its deadline work is waited for; it looks at its job far more often

T = TypeVar("T")


class Stopped(Exception):
    """Raised inside the work when nobody waits for it any more."""


class TooLong(Exception):
    """The work passed its deadline; the text says which."""


@dataclass
class Job(Generic[T]):
    """The work's side: it tells what it has, and looks whether it should go on.

    Attributes:
        deadline: `time.monotonic()` at which it must have ended.
    """

    deadline: float
    _updates: queue.SimpleQueue[T | None] = field(default_factory=queue.SimpleQueue)
    _stop: threading.Event = field(default_factory=threading.Event)

    def tell(self, update: T) -> None:
        """Shows what there is so far."""
        self._updates.put(update)

    def check(self) -> None:
        """Raises: Stopped, if the work should end: it is cancelled or late."""
        if self._stop.is_set() or time.monotonic() > self.deadline:
            raise Stopped

    @contextlib.contextmanager
    def waiting(self, longest: float) -> Iterator[None]:
        """Time that the work waits for others: it puts the deadline off, by `longest` seconds at most."""
        began = time.monotonic()
        self.deadline += longest
        try:
            yield
        finally:
            self.deadline -= max(0.0, longest - (time.monotonic() - began))


def watch(work: Callable[[Job[T]], None], *, first: T, seconds: float) -> Iterator[T]:
    """Runs `work` in a thread and yields what it tells; in silence the last update again, so that it can be closed.

    Raises:
        TooLong: it did not end within `seconds`; what it told until then has been yielded.
        Exception: whatever the work raised.
    """
    job: Job[T] = Job(time.monotonic() + seconds)
    failure: list[BaseException] = []
    cut_short = threading.Event()

    def run() -> None:
        try:
            work(job)
        except Stopped:
            cut_short.set()
        except BaseException as error:
            failure.append(error)
        finally:
            job._updates.put(None)

    threading.Thread(target=run, daemon=True, name="job").start()
    last = first
    try:
        while True:
            yield last
            try:
                update = job._updates.get(timeout=BEAT_SECONDS)
            except queue.Empty:
                if time.monotonic() > job.deadline + END_SECONDS:
                    cut_short.set()
                    break
                continue
            if update is None:
                break
            last = update
    finally:
        job._stop.set()
    if failure:
        raise failure[0]
    if cut_short.is_set():
        raise TooLong(f"It took longer than {seconds:.0f} seconds and was ended; ask for less.")
