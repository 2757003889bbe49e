"""What a sweep shows while it runs: bars with an ETA in a terminal, plain lines elsewhere."""

import datetime
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.cells import Event
from benchmarks.results import Row
from jax_models.data import DATASETS
from jax_models.registry import MODELS
from jax_models.training.config import TrainConfig

# Time of an epoch as a multiple of LeNet-5's, for the ETA until a family has finished a cell.
RELATIVE_COST = {
    "lenet5": 1.0,
    "alexnet": 4.0,
    "vgg16": 6.0,
    "resnet18": 6.0,
    "googlenet": 8.0,
    "xception": 8.0,
    "se_resnet18": 6.0,
}


def title(config: TrainConfig) -> str:
    """A cell in words, for example "ResNet-18 on CIFAR-10, seed 0"."""
    return f"{MODELS[config.model].title} on {DATASETS[config.dataset].title}, seed {config.seed}"


class TimeEstimate:
    """Predicts how long cells take from those that have finished, most of all from those of the same family."""

    def __init__(self, finished: Sequence[Row]) -> None:
        self._finished: list[Row] = [row for row in finished if row["status"] == "ok"]

    def add(self, row: Row) -> None:
        """Learns from a finished cell."""
        if row["status"] == "ok":
            self._finished.append(row)

    def seconds(self, config: TrainConfig) -> float | None:
        """Wall time of a cell, or None while no cell of its preset has finished."""
        same_preset = [row for row in self._finished if row["preset"] == config.preset]
        known = [row for row in same_preset if row["model"] == config.model] or same_preset
        if not known:
            return None
        work = sum(RELATIVE_COST[row["model"]] * row["epochs"] for row in known)
        return sum(row["wall_seconds"] for row in known) / work * RELATIVE_COST[config.model] * config.epochs


class SweepProgress:
    """Shows a sweep over cells. Use as a context; call `start`, `update` and `finish` for each cell in order."""

    def __init__(self, todo: Sequence[TrainConfig], *, finished: Sequence[Row], console: Console) -> None:
        """`finished` are the rows already there; they make the first ETA better."""
        self._todo, self._console, self._estimate = list(todo), console, TimeEstimate(finished)
        self._count, self._current, self._started, self._fraction = 0, None, 0.0, 0.0
        self._validation = ""
        text = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()
        self._bars = Progress(*text, console=console, disable=not console.is_terminal)
        self._sweep = self._bars.add_task("all cells", total=len(self._todo), note="")
        self._cell = self._bars.add_task("", total=1.0, note="", visible=False)

    def __enter__(self) -> "SweepProgress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def start(self, config: TrainConfig) -> None:
        """A cell begins."""
        self._count += 1
        self._current, self._started, self._fraction, self._validation = config, time.monotonic(), 0.0, ""
        self._bars.reset(self._cell, description=title(config), total=1.0, note="compiling", visible=True)
        self._refresh()
        if not self._console.is_terminal:
            self._say(f"{self._place} {title(config)}: started{self._eta(', about {} left')}")

    def update(self, event: Event) -> None:
        """A step or an epoch of the current cell is done."""
        assert self._current is not None
        epochs = self._current.epochs
        if event["event"] == "epoch":
            self._fraction = event["epoch"] / epochs
            self._validation = f", validation {100 * event['validation_accuracy']:.2f} %"
            if not self._console.is_terminal:
                epoch = f"epoch {event['epoch']}/{epochs}"
                self._say(f"{self._place} {title(self._current)}: {epoch}{self._validation}, {event['seconds']:.0f} s")
        else:
            self._fraction = event["done"] / event["total"]
        epoch = min(epochs, 1 + int(self._fraction * epochs))
        note = f"epoch {epoch}/{epochs}{self._validation}"
        self._bars.update(self._cell, completed=self._fraction, note=note)
        self._refresh()

    def finish(self, row: Row) -> None:
        """The current cell has ended, well or not."""
        assert self._current is not None
        self._estimate.add(row)
        if row["status"] == "ok":
            outcome = f"[green]✓[/] {title(self._current)}: test {100 * row['test']['accuracy']:.2f} %"
        else:
            outcome = f"[red]✗[/] {title(self._current)}: {row['status']}: {escape(str(row['error']))}"
        self._current, self._fraction = None, 0.0
        self._bars.update(self._cell, visible=False)
        self._refresh()
        self._say(f"{self._place} {outcome}, {row['wall_seconds']:.0f} s", markup=True)

    @property
    def _place(self) -> str:
        return f"{self._count}/{len(self._todo)}"

    def _say(self, text: str, *, markup: bool = False) -> None:
        self._console.print(text, markup=markup, highlight=False, soft_wrap=True)

    def _refresh(self) -> None:
        ended = self._count - (self._current is not None)
        note = f"{ended}/{len(self._todo)} done{self._eta(', about {} left')}"
        self._bars.update(self._sweep, completed=ended + self._fraction, note=note)

    def _eta(self, template: str) -> str:
        """`template` filled with the time left, or nothing while that is unknown."""
        later = [self._estimate.seconds(config) for config in self._todo[self._count :]]
        current = self._current_seconds_left()
        if current is None or None in later:
            return ""
        left = datetime.timedelta(seconds=round(current + sum(seconds for seconds in later if seconds)))
        return template.format(left)

    def _current_seconds_left(self) -> float | None:
        if self._current is None:
            return 0.0
        elapsed = time.monotonic() - self._started
        if self._fraction > 0.05:
            return elapsed / self._fraction - elapsed
        expected = self._estimate.seconds(self._current)
        return None if expected is None else max(expected - elapsed, 0.0)
