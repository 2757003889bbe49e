"""A run: epochs of steps, each judged, recorded and saved. One that was stopped goes on from its last checkpoint."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jax_models.training.checkpoint import Checkpoints
from jax_models.training.loop import EpochRecord, TrainStep, train_epoch
from jax_models.training.state import TrainState

OnEpoch = Callable[[EpochRecord], None]
OnStep = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What there is to do.

    Attributes:
        calls: how often the step is called in each epoch.
        batches: the batches of an epoch, whose number counts from 0.
        learning_rate: at the last step of an epoch.
        judge: validation loss and accuracy of a state; None where nothing is held out, and the history has nan.
        enough: whether to stop after this history, before all epochs are done.
    """

    calls: Sequence[int]
    batches: Callable[[int], Iterable[Any]]
    learning_rate: Callable[[int], float]
    judge: Callable[[TrainState], tuple[float, float]] | None
    enough: Callable[[Sequence[EpochRecord]], bool] = lambda history: False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The last state, a record of every epoch, and how long the calls of each epoch took that was trained here."""

    state: TrainState
    history: list[EpochRecord]
    seconds: list[float]


def run_epochs(
    step: TrainStep,
    state: TrainState,
    work: Work,
    *,
    checkpoints: Checkpoints | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> Outcome:
    """Does what is left of the work after the last checkpoint.

    Args:
        on_epoch: called with each finished epoch's record.
        on_step: called with (calls done, calls in all) after each call of the step.

    Raises:
        UsageError: the checkpoints are of another run.
        RunError: a checkpoint is damaged or cannot be written.
        Diverged: the loss is no longer finite.
    """
    history: list[EpochRecord] = []
    if checkpoints:
        state, history = checkpoints.latest(state)
    done, seconds = sum(work.calls[: len(history)]), []

    def count() -> None:
        nonlocal done
        done += 1
        if on_step is not None:
            on_step(done, sum(work.calls))

    for epoch in range(len(history), len(work.calls)):
        if work.enough(history):
            break
        started = time.perf_counter()
        state, sums = train_epoch(step, state, work.batches(epoch), on_step=count)
        seconds.append(time.perf_counter() - started)
        train_loss, train_accuracy = sums.means()
        validation_loss, validation_accuracy = work.judge(state) if work.judge else (math.nan, math.nan)
        record = EpochRecord(
            epoch=epoch + 1,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            learning_rate=work.learning_rate(epoch),
            seconds=time.perf_counter() - started,
        )
        history.append(record)
        if checkpoints:
            checkpoints.save(state, history)
        if on_epoch is not None:
            on_epoch(record)
    if checkpoints:
        checkpoints.close()
    return Outcome(state, history, seconds)
