"""ZeroGPU: Spaces of Hugging Face that borrow a GPU for one call. Everywhere else this does nothing.

Read in the source of the package `spaces` 0.51: a decorated generator runs in a forked process. Its arguments and what
it yields are pickled, what it changes is lost to the parent, and closing it is seen between two yields. The parent has
no GPU; tensors that it moves there in its main thread before the server starts only claim to be there, and come to the
GPU with the fork. So the models of the tasks are loaded then and there; one that is not is loaded anew in each process.
"""

import functools
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from space.jobs import TooLong
from space.limits import TookTooLong
from space.models.catalog import TASKS
from space.models.choosing import NotReady
from space.models.store import ModelStore

SECONDS = 60  # that a call may hold the GPU; shorter calls wait less in ZeroGPU's queue
log = logging.getLogger("space")


def borrowed() -> bool:
    """Whether this is a ZeroGPU Space."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in {"1", "t", "true"}


def on_gpu(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """A generator that holds a GPU while it runs, where GPUs are borrowed; elsewhere `function` itself."""
    if not borrowed():
        return function
    import spaces  # type: ignore[import-not-found]  # a ZeroGPU Space has it; it imports PyTorch

    @functools.wraps(function)
    def told(*values: Any, **named: Any) -> Iterator[Any]:
        try:
            yield from function(*values, **named)
        except TooLong as error:  # of other errors only the name comes back from the process
            raise TookTooLong(str(error)) from None

    return spaces.GPU(duration=SECONDS)(told)


def preload(store: ModelStore) -> None:
    """Loads the default model of each task where GPUs are borrowed, as far as the store's budget goes.

    To be called from the main thread, before the server starts.
    """
    if not borrowed():
        return
    room = store.budget
    for task in TASKS:
        spec = store.chooser.choose(task).spec
        if spec.key in store.in_memory or spec.size > room:
            continue
        try:
            store.preload(task)
        except NotReady as error:
            log.warning("%s: %s is loaded when it is first used: %s", task, spec.key, error.message)
        else:
            room -= spec.size
