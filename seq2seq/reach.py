"""How far attention reaches: the ablation's runs, summed up over seeds, and the table of them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from tabulate import tabulate

from seq2seq.configuration import TrainConfig

HOLDS = 0.99  # exact match of a length that a model is said to master
IN_TABLE = (25, 30, 50, 100, 200, 500)  # of the lengths beyond the training


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One trained model, judged.

    Attributes:
        surroundings: versions and device.
        per_length: how many sequences of each length were asked for.
        errors: by length, how many outputs have an error, and how many there are.
    """

    config: TrainConfig
    num_params: int
    train_seconds: float
    compile_seconds: float
    surroundings: dict[str, Any]
    per_length: int
    errors: dict[int, tuple[int, int]]

    def exact_match(self) -> dict[int, float]:
        """The share of outputs without an error, by length."""
        return {length: 1 - wrong / judged for length, (wrong, judged) in self.errors.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
    """A mean over seeds, and the worst and the best of them."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value for each seed."""
        return cls(mean=sum(values) / len(values), low=min(values), high=max(values))

    def in_percent(self) -> tuple[float, float, float]:
        """Mean, lowest, highest."""
        return 100 * self.mean, 100 * self.low, 100 * self.high

    def __str__(self) -> str:
        """In percent, for example "97.3 (96.1–98.0)"."""
        if self.low == self.high:
            return percent(self.mean)
        return f"{percent(self.mean)} ({percent(self.low)}–{percent(self.high)})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reach:
    """What the seeds of one attention have in common.

    Attributes:
        trained: exact match over the lengths of the training, each of them with the same weight.
        by_length: exact match at every length.
    """

    attention: str
    num_params: int
    train_seconds: float
    trained: Spread
    by_length: dict[int, Spread]

    @property
    def holds(self) -> int:
        """The length up to which the mean is at least `HOLDS` at every length; 0 if it is not at the first."""
        reached = 0
        for length, spread in self.by_length.items():
            if spread.mean < HOLDS:
                break
            reached = length
        return reached


def summarise(runs: Sequence[Run]) -> list[Reach]:
    """One for each attention, in the order of the runs."""
    names = dict.fromkeys(run.config.attention for run in runs)
    return [_reach([run for run in runs if run.config.attention == name]) for name in names]


def _reach(seeds: Sequence[Run]) -> Reach:
    config, curves = seeds[0].config, [run.exact_match() for run in seeds]
    trained = [[share for length, share in curve.items() if length <= config.max_length] for curve in curves]
    return Reach(
        attention=config.attention,
        num_params=seeds[0].num_params,
        train_seconds=sum(run.train_seconds for run in seeds) / len(seeds),
        trained=Spread.of([sum(shares) / len(shares) for shares in trained]),
        by_length={length: Spread.of([curve[length] for curve in curves]) for length in curves[0]},
    )


def caption(runs: Sequence[Run]) -> str:
    """What the numbers are: one sentence for below the table."""
    config, seeds = runs[0].config, len({run.config.seed for run in runs})
    most = max(judged for _, judged in runs[0].errors.values())
    return (
        f"Exact match in percent by length, task {config.task}, trained on lengths {config.min_length} to "
        f"{config.max_length}: mean over {seeds} {'seed' if seeds == 1 else 'seeds'} (worst–best). "
        f"Up to {most:,} sequences of each length, decoded greedily; training draws none of them but those of length 1."
    )


def markdown_table(reaches: Sequence[Reach], runs: Sequence[Run]) -> str:
    """The whole of table.md."""
    headings, lines = _cells(reaches, runs[0].config)
    sides = ("left", *["right"] * (len(headings) - 1))
    table = tabulate(lines, headings, tablefmt="pipe", colalign=sides, disable_numparse=True)
    return f"{table}\n\n{caption(runs)}\n"


def rich_table(reaches: Sequence[Reach], runs: Sequence[Run]) -> Table:
    """The same for a terminal."""
    headings, lines = _cells(reaches, runs[0].config)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption=caption(runs))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for line in lines:
        table.add_row(*line)
    return table


def percent(share: float) -> str:
    """A share in percent. "100" is no error at all and "0" nothing but: what would round to them gets more digits."""
    if share in (0, 1):
        return f"{100 * share:.0f}"
    digits = 1
    while float(f"{100 * share:.{digits}f}") in (0, 100):
        digits += 1
    return f"{100 * share:.{digits}f}"


def _cells(reaches: Sequence[Reach], config: TrainConfig) -> tuple[list[str], list[list[str]]]:
    shown = [length for length in reaches[0].by_length if length in IN_TABLE and length > config.max_length]
    headings = ["attention", f"{config.min_length}–{config.max_length}", *map(str, shown)]
    headings += [f"≥ {100 * HOLDS:g} % up to", "parameters", "training, s"]
    return headings, [_line(reach, shown) for reach in reaches]


def _line(reach: Reach, shown: Sequence[int]) -> list[str]:
    exact = [reach.trained, *(reach.by_length[length] for length in shown)]
    return [reach.attention, *map(str, exact), str(reach.holds), f"{reach.num_params:,}", f"{reach.train_seconds:.0f}"]
