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
HEADINGS = ("pair", "difference", "95 % interval", "by bootstrap", "p (Holm)", "McNemar", "verdict")
NOTE = (
    "Differences in percentage points, the better family first. Intervals are of each pair alone, p is corrected for "
    "the number of pairs, so an interval without 0 is not yet an established difference. By bootstrap: seeds and "
    "images resampled, too wide where single images decide. McNemar: in how many pairs of networks, seed by seed, the "
    "test finds a difference (uncorrected). Seeds that would settle a pair are counted per family, for a power of 80 % "
    "if difference and variances are as found."
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


def pair_lines(sweep: Sweep, dataset: str) -> list[tuple[str, ...]]:
    """A line with `HEADINGS` for each pair, in the order of the families, best first."""
    pairs = sweep.comparisons[dataset].pairs
    return [
        (
            f"{model_title(pair.first)}, {model_title(pair.second)}",
            signed(pair.comparison.difference),
            _interval(pair.comparison.interval),
            _interval(pair.bootstrap),
            _p(pair.adjusted_p),
            f"{pair.differing_networks} of {len(pair.networks)}",
            _verdict(pair, len(pairs)),
        )
        for pair in pairs
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


def _verdict(pair: Pair, pairs: int) -> str:
    """The verdict, and for an open pair what would settle it."""
    if pair.verdict is Verdict.ESTABLISHED:
        return f"established, below {wording.MARGIN} points" if pair.within_margin else "established"
    if pair.verdict is Verdict.EQUIVALENT:
        return "equivalent"
    needed = seeds_needed(pair.comparison, pairs=pairs)
    if needed.seeds is None:
        return f"open: {needed.reason}"
    more = needed.seeds - min(pair.comparison.seeds)
    return (
        f"open: {more} more seeds ({needed.seeds} in all, then {needed.verdict})" if more > 0 else "open: close to it"
    )
