"""A few models kept at hand. They are loaded and compiled in the background, so that a stopped job ends at once."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from space.jobs import Job
from space.labs.checkpoints import Checkpoint

WAIT_SECONDS = 0.05


class Sized(Protocol):
    """What knows how many bytes it takes."""

    @property
    def size(self) -> int:
        """Bytes in memory."""
        ...


M = TypeVar("M", bound=Sized)
T = TypeVar("T")


@dataclass
class Shelf(Generic[M]):
    """Loaded models by checkpoint; one is loaded at a time.

    Attributes:
        load: brings one into memory, ready to answer.
        budget: most bytes of weights that stay; the least recently used leave first.
    """

    load: Callable[[Checkpoint], M]
    budget: int
    _models: OrderedDict[Checkpoint, Future[M]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="shelf"))

    def get(self, checkpoint: Checkpoint, job: Job[Any]) -> M:
        """The model; a checkpoint that was written anew is another one.

        Raises:
            Stopped: the job was stopped while it waited; the loading goes on, for the next one.
            Exception: whatever the loading raised; the next call tries again.
        """
        with self._lock:
            future = self._models.get(checkpoint)
            if future is None or (future.done() and future.exception()):
                future = self._models[checkpoint] = self._worker.submit(self.load, checkpoint)
            self._models.move_to_end(checkpoint)
        model = _wait(future, job)
        with self._lock:
            self._make_room()
        return model

    def has(self, checkpoint: Checkpoint) -> bool:
        """Whether the model is at hand."""
        future = self._models.get(checkpoint)
        return future is not None and future.done() and not future.exception()

    def run(self, function: Callable[[], T], job: Job[Any]) -> T:
        """Calls a function that may compile for seconds.

        Raises:
            Stopped: the job was stopped while it waited; a function that has not begun by then never does.
            Exception: whatever the function raised.
        """
        future = self._worker.submit(function)
        try:
            return _wait(future, job)
        finally:
            future.cancel()

    def _make_room(self) -> None:
        sizes = {key: future.result().size for key, future in self._models.items() if self.has(key)}
        for key in list(sizes)[:-1]:
            if sum(sizes.values()) <= self.budget:
                break
            del self._models[key], sizes[key]


def _wait(future: Future[T], job: Job[Any]) -> T:
    while not future.done():
        wait([future], timeout=WAIT_SECONDS)
        job.check()
    return future.result()
