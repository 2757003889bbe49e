"""Lets the layers of PyTorch networks look at their job, so that Stop waits for a layer and not for a whole pass."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from space.jobs import Job

if TYPE_CHECKING:
    import torch


@contextlib.contextmanager
def stoppable(networks: "Iterable[torch.nn.Module]", job: Job[Any]) -> Iterator[None]:
    """Inside, each layer of the networks raises `Stopped` when it is called after the job's end.

    The networks must be used by nobody else meanwhile: their layers would look at this job, too.
    """

    def look(layer: "torch.nn.Module", values: Any) -> None:
        job.check()

    layers = [layer for network in networks for layer in network.modules() if not any(layer.children())]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
