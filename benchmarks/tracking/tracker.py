"""A tracker follows the cells of a sweep, several at the same time, and never stops it.

A run is known by its cell's name. A cell that goes on after its last saved epoch goes on in its old run; one that
begins anew takes the old run's place, so no epoch is there twice.
"""

import contextlib
import importlib
import warnings
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from benchmarks.cells import Event
from benchmarks.results import ROWS, Row
from benchmarks.tracking.fields import curves, summary
from jax_models.checks import check_choice
from jax_models.errors import UsageError
from jax_models.recipes import TrainConfig

TRACKERS = ("trackio", "tensorboard", "wandb")
FOLDER = "tracking"


@runtime_checkable
class Run(Protocol):
    """One run in a tracker, from when it is begun until `end`."""

    def log(self, values: Mapping[str, float], *, epoch: int) -> None:
        """Adds one point to each curve."""

    def end(self, values: Mapping[str, str | int | float], *, went_well: bool) -> None:
        """Adds the single values that sum the run up, and lets go of it."""


@runtime_checkable
class Begin(Protocol):
    """Opens the run of a cell: the old one if `resumed` and it is there, else a new one in its place."""

    def __call__(self, config: TrainConfig, *, resumed: bool) -> Run: ...


def open_tracker(name: str, *, out: Path, project: str) -> "Tracker":
    """The tracker of that name, which keeps its files in `OUT/tracking`. Nothing is written before the first epoch.

    Raises:
        UsageError: there is no such tracker, its package is not installed, or it has to be logged in to and is not.
    """
    check_choice("tracker", name, TRACKERS)
    try:
        backend = importlib.import_module(f"benchmarks.tracking.{name}_runs")
        begin = backend.connect(folder=(out / FOLDER).absolute(), project=project)
    except ImportError as error:
        raise UsageError(f"tracking with {name} needs its package: pip install -e '.[{name}]' ({error})") from error
    return Tracker(name, begin)


class Tracker:
    """Hand it what happens to the cells, in the order in which it happens, and `close` it when the sweep ends.

    A tracker that fails (network, disk) is left alone from then on, with one `RuntimeWarning`.
    """

    def __init__(self, name: str, begin: Begin) -> None:
        """`begin` opens a run; see `open_tracker`."""
        self._name, self._begin, self._works = name, begin, True
        self._runs: dict[str, Run] = {}

    def follow(self, config: TrainConfig, event: Event) -> None:
        """Something happened to a cell, as `benchmarks.cells.run_cells` tells it."""
        match event["event"]:
            case "epoch":
                self.epoch(config, event)
            case "row":
                self.row(config, event["row"])

    def epoch(self, config: TrainConfig, event: Event) -> None:
        """A cell has trained for another epoch; `event` has the fields of an `EpochRecord`.

        The first of a run decides whether it began anew, which shows only here: a process may find no use in the
        checkpoints of the one before.
        """
        if self._works:
            with self._on_failure_warn():
                self._run(config, resumed=event["epoch"] > 1).log(curves(event), epoch=event["epoch"])

    def row(self, config: TrainConfig, row: Row) -> None:
        """A cell has ended, well or not, and this is its row."""
        if self._works:
            with self._on_failure_warn():
                run = self._run(config, resumed=True)  # without an epoch: all were there already, or it failed early
                del self._runs[config.cell]
                run.end(summary(row), went_well=row["status"] == "ok")

    def close(self) -> None:
        """Lets go of the runs that the sweep's end cut short; a later sweep goes on with them."""
        while self._runs:
            _, run = self._runs.popitem()
            with self._on_failure_warn():
                run.end({"status": "stopped"}, went_well=False)

    def _run(self, config: TrainConfig, *, resumed: bool) -> Run:
        if config.cell not in self._runs:
            self._runs[config.cell] = self._begin(config, resumed=resumed)
        return self._runs[config.cell]

    @contextlib.contextmanager
    def _on_failure_warn(self) -> Generator[None]:
        try:
            yield
        except Exception as error:  # of a library that does not say which it raises
            self._works = False
            self._runs.clear()
            lost = f"{self._name} failed, and the sweep goes on without it; {ROWS} has all results"
            warnings.warn(f"{lost} ({type(error).__name__}: {error})", RuntimeWarning, stacklevel=4)
