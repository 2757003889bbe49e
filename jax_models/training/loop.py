"""The plain loop around a jitted step. It knows neither images nor sequences."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jax_models.errors import RunError
from jax_models.training.metrics import MetricSums
from jax_models.training.state import TrainState

IN_FLIGHT = 2  # steps handed to the device before the loop waits, so that progress shown is progress made


class Diverged(RunError):
    """The loss is no longer a finite number."""


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """One line of a run's history: losses in nats, accuracies as fractions, seconds with validation, not compiling."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float


TrainStep = Callable[[TrainState, MetricSums, Any], tuple[TrainState, MetricSums]]
"""A compiled step: takes the state, the epoch's sums so far and a batch; gives state and sums anew."""


def train_epoch(
    step: TrainStep, state: TrainState, batches: Iterable[Any], *, on_step: Callable[[], None] | None = None
) -> tuple[TrainState, MetricSums]:
    """Runs `step` over one epoch.

    Raises:
        Diverged: when the epoch's loss is not finite.
    """
    sums = MetricSums(*(jnp.zeros(()) for _ in range(3)))
    waiting: list[MetricSums] = []
    for batch in batches:
        state, sums = step(state, sums, batch)
        waiting.append(sums)
        if len(waiting) > IN_FLIGHT:
            jax.block_until_ready(waiting.pop(0))
        if on_step is not None:
            on_step()
    loss, _ = jax.block_until_ready(sums).means()
    if not math.isfinite(loss):
        raise Diverged(f"the loss became {loss} after {int(state.step)} steps; lower the peak learning rate")
    return state, sums
