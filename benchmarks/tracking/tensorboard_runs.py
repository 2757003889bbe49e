"""Runs as event files in `OUT/tracking/tensorboard`, to look at with `tensorboard --logdir OUT/tracking/tensorboard`.

They are written through tensorboardX, which needs neither TensorFlow nor PyTorch, but not by its `SummaryWriter`: that
one writes in a thread, and when the thread dies of a full disk, the caller waits for it for ever at the tenth value.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter  # pyright: ignore[reportMissingImports]
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore
from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore
from tensorboardX.summary import hparams, scalar, text  # pyright: ignore[reportMissingImports]

from benchmarks.tracking.fields import settings
from benchmarks.tracking.tracker import Begin
from jax_models.recipes import TrainConfig

COLUMNS = ("test/accuracy", "test/f1", "test/loss", "cost/train_seconds", "cost/num_params")
"""Of the table of hyper-parameters, beside the settings."""


def connect(*, folder: Path, project: str) -> Begin:
    """Opens runs in a folder; TensorBoard knows no projects."""

    def begin(config: TrainConfig, *, resumed: bool) -> TensorBoardRun:
        return TensorBoardRun(config, folder / "tensorboard" / config.cell, resumed=resumed)

    return begin


class TensorBoardRun:
    """A run's event file. Each epoch is on the disk, or has raised an OSError, before the next."""

    def __init__(self, config: TrainConfig, folder: Path, *, resumed: bool) -> None:
        """Opens a new file in the run's folder, beside the old ones if the run is resumed."""
        folder.mkdir(parents=True, exist_ok=True)
        if not resumed:
            for file in folder.glob("events.out.tfevents.*"):
                file.unlink()
        # Files are named after the second and read in the order of their names.
        old = len(list(folder.glob("events.out.tfevents.*")))
        self._events = EventsWriter(str(folder / "events"), filename_suffix=f".{old:03d}")
        self._begun, self._last = False, config.epochs
        experiment, start, self._success = hparams(settings(config), dict.fromkeys(COLUMNS))
        self._write(experiment)
        self._write(start)

    def log(self, values: Mapping[str, float], *, epoch: int) -> None:
        """Adds one point to each curve."""
        if not self._begun:  # TensorBoard then drops what an older file has of this epoch and of later ones
            start = SessionLog(status=SessionLog.START)
            self._events.write_event(Event(wall_time=time.time(), step=epoch, session_log=start))
            self._begun = True
        for name, value in values.items():
            self._write(scalar(name, value), step=epoch)
        self._events.flush()

    def end(self, values: Mapping[str, str | int | float], *, went_well: bool) -> None:
        """Adds the single values at the last epoch, and closes the file.

        TensorBoard's table takes the first outcome that it finds: no other than success, as the run may yet go on.
        """
        for name, value in values.items():
            self._write(text(name, value) if isinstance(value, str) else scalar(name, value), step=self._last)
        if went_well:
            self._write(self._success)
        self._events.close()

    def _write(self, summary: Summary, *, step: int = 0) -> None:
        self._events.write_event(Event(wall_time=time.time(), step=step, summary=summary))
