"""Loaded models: brought in when first used, shared by all users, bounded in bytes, the least recently used leave first."""

import contextlib
import ctypes
import gc
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from space.catalog import ModelSpec, Task
from space.choosing import AUTO, Choice, Chooser
from space.jobs import Job

WAIT_SECONDS = 0.05


@dataclass
class Loaded:
    """A model in memory.

    Attributes:
        choice: which, and why it was chosen.
        model: the transformers model, or the diffusers pipeline.
        tokenizer: the transformers tokenizer; None for a pipeline.
        size: bytes of its weights.
        folder: where its files lie.
    """

    choice: Choice
    model: Any
    tokenizer: Any
    size: int
    folder: Path
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def spec(self) -> ModelSpec:
        """Its entry in the catalogue."""
        return self.choice.spec

    @property
    def context(self) -> int:
        """How many tokens it can read at once."""
        config = self.model.config
        longest = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 512
        return min(longest, self.tokenizer.model_max_length)


@dataclass
class ModelStore:
    """The models in memory.

    Attributes:
        chooser: says which model answers a task.
        load: brings one into memory.
        budget: most bytes of weights that stay in memory together; one model always may.
    """

    chooser: Chooser
    load: Callable[[Choice], Loaded]
    budget: int
    _models: OrderedDict[str, Loaded] = field(default_factory=OrderedDict)
    _loading: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def use(self, task: Task, picked: str = AUTO, *, job: Job[Any]) -> Iterator[Loaded]:
        """The model for `task`, held for this job alone until the end of the `with`.

        Raises:
            BadInput: `picked` is not one of the task's models, or its files are not here.
            Stopped: the job was stopped while it waited.
        """
        loaded = self._get(self.chooser.choose(task, picked), job)
        _acquire(loaded.lock, job)
        try:
            yield loaded
        finally:
            loaded.lock.release()

    def _get(self, choice: Choice, job: Job[Any]) -> Loaded:
        _acquire(self._loading, job)
        try:
            key = choice.spec.key
            if key not in self._models:
                self._make_room(choice.spec.size)
                self._models[key] = self.load(choice)
            self._models.move_to_end(key)
            return self._models[key]
        finally:
            self._loading.release()

    def _make_room(self, size: int) -> None:
        while self._models and sum(loaded.size for loaded in self._models.values()) + size > self.budget:
            self._models.popitem(last=False)
            return_memory()

    @property
    def in_memory(self) -> tuple[str, ...]:
        """Keys of the models in memory, the least recently used first."""
        return tuple(self._models)


def _acquire(lock: threading.Lock, job: Job[Any]) -> None:
    while not lock.acquire(timeout=WAIT_SECONDS):
        job.check()


def return_memory() -> None:
    """Gives freed memory back to the system: Python's cycles, then the C library's free lists (glibc only)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
