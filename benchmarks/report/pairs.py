"""All pairs of families on a data set: how far apart, what that establishes, and what would settle the rest."""

import csv
import io
from dataclasses import dataclass

from benchmarks.report import wording
from benchmarks.report.groups import model_title
from benchmarks.report.summary import Summary, Sweep
from benchmarks.statistics.seeds_needed import seeds_needed
from benchmarks.statistics.verdicts import Pair, Verdict

MINUS = "\N{MINUS SIGN}"
HEADINGS = (
    "pair",
    "difference",
    "95 % interval",
    "by bootstrap",
    "p (Holm)",
    "networks that differ",
    "seeds that would settle it",
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A family against another in the table of a page.

    Attributes:
        text: the row's mean accuracy less the column's, in points.
        kind: "better" or "worse" where that is established, else "equivalent" or "open".
        detail: interval, p-value and McNemar's count in words.
    """

    text: str
    kind: str
    detail: str


def pairs_csv(summary: Summary) -> str:
    """A line per pair, the better family first; fractions. Only its heading where no predictions were kept."""
    columns = ["preset", "dataset", "first", "second", "first_seeds", "second_seeds", "difference", "low", "high"]
    columns += ["bootstrap_low", "bootstrap_high", "p", "p_holm", "p_equivalence_holm", "verdict"]
    columns += ["networks", "networks_that_differ", "seeds_needed"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for sweep in summary.sweeps:
        for dataset, comparison in sweep.comparisons.items():
            for pair in comparison.pairs:
                one = pair.comparison
                intervals = (one.difference, *one.interval, *pair.bootstrap)
                numbers = (*intervals, one.p_value, pair.adjusted_p, pair.adjusted_equivalence_p)
                line = [sweep.preset, dataset, pair.first, pair.second, *one.seeds, *map(repr, numbers), pair.verdict]
                needed = _needed(pair, len(comparison.pairs))
                writer.writerow([*line, len(pair.networks), pair.differing_networks, needed if needed else ""])
    return text.getvalue()


def count_line(sweep: Sweep, dataset: str) -> str:
    """How many pairs are established, equivalent and open, in a sentence."""
    pairs = sweep.comparisons[dataset].pairs
    counts = [f"{sum(pair.verdict is verdict for pair in pairs)} {verdict}" for verdict in Verdict]
    return f"{len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'}: {wording.names(counts)}."


def unsettled(sweep: Sweep, dataset: str) -> list[tuple[str, ...]]:
    """A line with `HEADINGS` for each pair whose difference is not established, the closest race first."""
    pairs = sweep.comparisons[dataset].pairs
    left = sorted(
        (pair for pair in pairs if pair.verdict is not Verdict.ESTABLISHED), key=lambda pair: -pair.adjusted_p
    )
    return [
        (
            f"{model_title(pair.first)}, {model_title(pair.second)}",
            signed(pair.comparison.difference),
            _interval(pair.comparison.interval),
            _interval(pair.bootstrap),
            _p(pair.adjusted_p),
            f"{pair.differing_networks} of {len(pair.networks)}",
            _settled_by(pair, len(pairs)),
        )
        for pair in sorted(left, key=lambda pair: -pair.adjusted_p)
    ]


def matrix(sweep: Sweep, dataset: str) -> list[tuple[str, list[Cell | None]]]:
    """The families of a data set, best first, each with its cells against all of them; None against itself."""
    models = [group.model for group in sweep.ranked(dataset)]
    return [(row, [_cell(sweep, dataset, row, column) for column in models]) for row in models]


def signed(fraction: float) -> str:
    """A difference in points with its sign: "+0.43", "−0.12"."""
    return f"{100 * fraction:+.2f}".replace("-", MINUS)


def _cell(sweep: Sweep, dataset: str, row: str, column: str) -> Cell | None:
    if row == column:
        return None
    pair = sweep.comparisons[dataset].pair(row, column)
    difference = pair.comparison.difference if pair.first == row else -pair.comparison.difference
    kind = {Verdict.EQUIVALENT: "equivalent", Verdict.NOT_DISTINGUISHED: "open"}.get(
        pair.verdict, "better" if difference > 0 else "worse"
    )
    detail = (
        f"{model_title(pair.first)} less {model_title(pair.second)}: {signed(pair.comparison.difference)} points, 95 % "
        f"interval {_interval(pair.comparison.interval)}, Holm's p {_p(pair.adjusted_p)}, {pair.verdict}; McNemar's "
        f"test tells {pair.differing_networks} of {len(pair.networks)} pairs of networks apart"
    )
    return Cell(text=signed(difference), kind=kind, detail=detail)


def _interval(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{signed(low)} to {signed(high)}"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def _needed(pair: Pair, pairs: int) -> int | None:
    return None if pair.verdict is not Verdict.NOT_DISTINGUISHED else seeds_needed(pair.comparison, pairs=pairs).seeds


def _settled_by(pair: Pair, pairs: int) -> str:
    if pair.verdict is Verdict.EQUIVALENT:
        return "equivalent"
    needed = seeds_needed(pair.comparison, pairs=pairs)
    return f"{needed.seeds} seeds ({needed.verdict})" if needed.seeds else needed.reason or ""
