"""What a sweep shows while it runs: bars with an ETA in a terminal, plain lines elsewhere."""

import datetime
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks.cells import Event
from benchmarks.results import Row
from jax_models.data import DATASETS
from jax_models.recipes import TrainConfig
from jax_models.registry import MODELS

# Time of an epoch as a multiple of LeNet-5's, for the ETA until a family has finished a cell.
RELATIVE_COST = {
    "lenet5": 1.0,
    "alexnet": 1.8,
    "vgg16": 3.9,
    "resnet18": 2.4,
    "googlenet": 3.0,
    "xception": 3.5,
    "se_resnet18": 2.5,
}
USUAL_COST = 2.6  # of a family that is not in the table


def title(config: TrainConfig) -> str:
    """A cell in words, for example "ResNet-18 on CIFAR-10, seed 0", or "... on CIFAR-10 from ImageNet, seed 0"."""
    start = "" if config.variant is None else " from ImageNet" if config.variant.weights else " from scratch"
    return f"{MODELS[config.model].title} on {DATASETS[config.dataset].title}{start}, seed {config.seed}"


class TimeEstimate:
    """Predicts how long cells take from those that have finished, most of all from those of the same family."""

    def __init__(self, finished: Sequence[Row]) -> None:
        self._finished: list[Row] = []
        for row in finished:
            self.add(row)

    def add(self, row: Row) -> None:
        """Learns from a finished cell; a row that does not tell its length and time teaches nothing."""
        if row["status"] == "ok" and row.get("epochs") and row.get("wall_seconds"):
            self._finished.append(row)

    def seconds(self, config: TrainConfig, *, running: Sequence[Row] = ()) -> float | None:
        """Wall time of a cell; None while nothing is known of its preset. `running` are rows of cells not yet done."""
        same_preset = [row for row in (*self._finished, *running) if row["preset"] == config.preset]
        known = [row for row in same_preset if row["model"] == config.model] or same_preset
        if not known:
            return None
        work = sum(_work(row["model"], epochs=row["epochs"]) for row in known)
        return sum(row["wall_seconds"] for row in known) / work * _work(config.model, epochs=config.epochs)


def _work(model: str, *, epochs: int) -> float:
    return RELATIVE_COST.get(model, USUAL_COST) * epochs


class _Running:
    """What is known of a cell at work."""

    def __init__(self, config: TrainConfig, place: str, bar: TaskID) -> None:
        self.config, self.place, self.bar = config, place, bar
        self.started, self.fraction, self.validation = time.monotonic(), 0.0, ""
        self._first_step: tuple[float, float] | None = None  # when it came, and the fraction done then

    def advance(self, fraction: float) -> None:
        """This much of the training is done."""
        self.fraction = fraction
        if self._first_step is None:
            self._first_step = time.monotonic(), fraction

    def note(self) -> str:
        """Where it is, in words."""
        if not self.fraction:
            return "loading and compiling"
        epoch = min(self.config.epochs, 1 + int(self.fraction * self.config.epochs))
        return f"epoch {epoch}/{self.config.epochs}{self.validation}"

    def expected_row(self) -> Row | None:
        """The row it will have at its present pace, as far as an estimate needs it; None while that is unclear."""
        if self._first_step is None or self.fraction < self._first_step[1] + 0.03:
            return None
        since, fraction = self._first_step
        training = (time.monotonic() - since) / (self.fraction - fraction)
        fields = {name: getattr(self.config, name) for name in ("cell", "model", "preset", "epochs")}
        return fields | {"wall_seconds": since - self.started + training}

    def seconds_left(self, estimate: TimeEstimate, rows: Sequence[Row]) -> float | None:
        """What is left by its own row among `rows` if it has one, else by those of others."""
        own = [row["wall_seconds"] for row in rows if row["cell"] == self.config.cell]
        whole = own[0] if own else estimate.seconds(self.config, running=rows)
        return None if whole is None else max(whole - (time.monotonic() - self.started), 0.0)


class SweepProgress:
    """Shows a sweep over cells. Use as a context; hand every event of `benchmarks.cells.run_cells` to `update`."""

    def __init__(self, todo: Sequence[TrainConfig], *, finished: Sequence[Row], jobs: int, console: Console) -> None:
        """`finished` are the rows already there; they make the first ETA better. `jobs` cells run side by side."""
        self._waiting, self._total, self._jobs = list(todo), len(todo), jobs
        self._console, self._estimate = console, TimeEstimate(finished)
        self._running: dict[str, _Running] = {}
        self._told_to_stop = False
        text = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()
        self._bars = Progress(*text, console=console, disable=not console.is_terminal)
        self._sweep = self._bars.add_task("all cells", total=self._total, note="")

    def __enter__(self) -> "SweepProgress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def update(self, config: TrainConfig, event: Event) -> None:
        """Something happened to a cell: it began, made a step, finished an epoch, or ended with a row."""
        match event["event"]:
            case "start":
                self._start(config)
            case "epoch":
                self._epoch(self._running[config.cell], event)
            case "stopping":
                self._stopping(self._running[config.cell])
            case "stopped":
                self._bars.remove_task(self._running.pop(config.cell).bar)
            case "row":
                self._finish(self._running.pop(config.cell), event["row"])
            case _:
                self._running[config.cell].advance(event["done"] / event["total"])
        if running := self._running.get(config.cell):
            self._bars.update(running.bar, completed=running.fraction, note=running.note())
        self._refresh()

    def _start(self, config: TrainConfig) -> None:
        self._waiting.remove(config)
        place = f"{self._total - len(self._waiting)}/{self._total}"
        bar = self._bars.add_task(title(config), total=1.0, note="")
        self._running[config.cell] = _Running(config, place, bar)
        if not self._console.is_terminal:
            self._say(f"{place} {title(config)}: started{self._eta()}")

    def _epoch(self, running: _Running, event: Event) -> None:
        epochs = running.config.epochs
        running.advance(event["epoch"] / epochs)
        running.validation = f", validation {100 * event['validation_accuracy']:.2f} %"
        if not self._console.is_terminal:
            epoch = f"epoch {event['epoch']}/{epochs}"
            name = f"{running.place} {title(running.config)}"
            self._say(f"{name}: {epoch}{running.validation}, {event['seconds']:.0f} s")

    def _stopping(self, running: _Running) -> None:
        if not self._told_to_stop:
            self._told_to_stop = True
            self._say("Stopping when the running cells' epochs are done and saved; Ctrl-C again stops at once.")
        running.validation = ", the last"

    def _finish(self, running: _Running, row: Row) -> None:
        self._estimate.add(row)
        self._bars.remove_task(running.bar)
        if row["status"] == "ok":
            outcome = f"[green]✓[/] {title(running.config)}: test {100 * row['test']['accuracy']:.2f} %"
        else:
            outcome = f"[red]✗[/] {title(running.config)}: {row['status']}: {escape(str(row['error']))}"
        self._say(f"{running.place} {outcome}, {row['wall_seconds']:.0f} s", markup=True)

    def _say(self, text: str, *, markup: bool = False) -> None:
        self._console.print(text, markup=markup, highlight=False, soft_wrap=True)

    def _refresh(self) -> None:
        ended = self._total - len(self._waiting) - len(self._running)
        done = ended + sum(running.fraction for running in self._running.values())
        self._bars.update(self._sweep, completed=done, note=f"{ended}/{self._total} done{self._eta()}")

    def _eta(self) -> str:
        """The time left, to stand after other words; nothing when it is unknown or no cell is left."""
        at_work = list(self._running.values())
        rows = [row for running in at_work if (row := running.expected_row())]
        left = [running.seconds_left(self._estimate, rows) for running in at_work]
        left += [self._estimate.seconds(config, running=rows) for config in self._waiting]
        known = [seconds for seconds in left if seconds is not None]
        if not left or len(known) < len(left):
            return ""
        seconds = max(sum(known) / self._jobs, *known)
        return f", about {datetime.timedelta(seconds=round(seconds))} left"
