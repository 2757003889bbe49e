"""Work that can be watched and stopped: it runs in a thread of its own and tells what it has so far.

Gradio ends an event (Stop, a closed tab, a client that went away) by closing its generator, which it can do only
between two values. So the generator made here gives a value at least every `BEAT_SECONDS`, and closing it stops the
work.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

BEAT_SECONDS = 0.1
END_SECONDS = 5.0  # how long a closed generator waits for its thread; the work looks at `stopped` far more often

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

    @property
    def stopped(self) -> bool:
        """Whether the work should end: it is cancelled or late."""
        return self._stop.is_set() or time.monotonic() > self.deadline

    def check(self) -> None:
        """Raises: Stopped, if the work should end."""
        if self.stopped:
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

    def run() -> None:
        try:
            work(job)
        except Stopped:
            pass
        except BaseException as error:
            failure.append(error)
        finally:
            job._updates.put(None)

    thread = threading.Thread(target=run, daemon=True, name="job")
    thread.start()
    last = first
    try:
        yield last
        while True:
            try:
                update = job._updates.get(timeout=BEAT_SECONDS)
            except queue.Empty:
                if time.monotonic() > job.deadline + END_SECONDS:
                    break
                yield last
                continue
            if update is None:
                break
            last = update
            yield last
    finally:
        late = time.monotonic() > job.deadline
        job._stop.set()
        thread.join(END_SECONDS)
    if failure:
        raise failure[0]
    if late:
        raise TooLong(f"It took longer than {seconds:.0f} seconds and was ended; ask for less.")
