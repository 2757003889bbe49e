"""Two sweeps beside each other, cell by cell: did accuracy or cost change from one version of the code to the next?"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from benchmarks.report import wording
from benchmarks.report.groups import Group, dataset_title, model_title
from benchmarks.report.pairs import signed
from benchmarks.report.significance import margin
from benchmarks.report.summary import Summary
from benchmarks.statistics.comparison import Comparison, compare_families
from benchmarks.statistics.verdicts import EQUIVALENCE_MARGIN, LEVEL, holm
from jax_models.errors import UsageError

COSTS = ("train_seconds", "peak_memory_bytes")
STYLES = {"better": "green", "worse": "bold red", "same numbers": "dim", "equivalent": "dim", "not distinguished": ""}


@dataclass(frozen=True, kw_only=True)
class Change:
    """A family on a data set, before and after.

    Attributes:
        before: the runs of the first folder.
        after: those of the second.
        comparison: after less before, paired over test images; None where predictions were not kept.
        verdict: one of `STYLES`.
    """

    before: Group
    after: Group
    comparison: Comparison | None
    verdict: str

    @property
    def difference(self) -> float:
        """Mean accuracy after less before, a fraction."""
        return self.after.accuracy - self.before.accuracy

    def ratio(self, cost: str) -> float:
        """A cost after, over that before; NaN where it is unknown."""
        return self.after.cost(cost) / self.before.cost(cost) if self.before.cost(cost) else nan


def compare_versions(before: Summary, after: Summary) -> list[Change]:
    """All cells that both have. Verdicts are corrected for their number by Holm's method.

    Raises:
        UsageError: they have no preset, or no cell, in common, or one of them has a preset that the other has not.
    """
    olds, news = ({sweep.preset: sweep for sweep in one.sweeps} for one in (before, after))
    if set(olds) != set(news):
        had, has = (wording.names(sorted(one)) or "none" for one in (olds, news))
        raise UsageError(f"presets are not comparable: the first folder has {had}, the second {has}")
    cells = [
        (old, new)
        for preset, sweep in olds.items()
        for old in sweep.groups
        if (new := news[preset].get(old.model, old.dataset))
    ]
    if not cells:
        raise UsageError("the two folders have no cell in common: nothing can be compared")
    return compare_cells(cells)


def compare_cells(cells: Sequence[tuple[Group, Group]]) -> list[Change]:
    """What is different after, cell by cell of (before, after), with verdicts that are corrected for their number."""
    comparisons = [_comparison(old, new) for old, new in cells]
    different = holm([one.p_value if one else nan for one in comparisons])
    equivalent = holm([one.equivalence_p_value(EQUIVALENCE_MARGIN) if one else nan for one in comparisons])
    return [
        Change(before=old, after=new, comparison=one, verdict=_verdict(old, new, p=p, equivalence_p=equivalence_p))
        for (old, new), one, p, equivalence_p in zip(cells, comparisons, different, equivalent, strict=True)
    ]


def print_versions(changes: Sequence[Change], console: Console) -> None:
    """One line per cell, then how many changed."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("Cell", no_wrap=True)
    for heading in ("Before", "After", "Change", "95 % interval", "Time", "Memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Verdict")
    for change in changes:
        ratios = (wording.ratio(change.ratio(cost)) for cost in COSTS)
        interval = wording.DASH
        if change.comparison:
            interval = " ".join(map(signed, change.comparison.interval))
        table.add_row(
            f"{model_title(change.after.model)}, {dataset_title(change.after.dataset)}",
            f"{wording.percent(change.before.estimate('accuracy'), spread=False)} (n={change.before.n})",
            f"{wording.percent(change.after.estimate('accuracy'), spread=False)} (n={change.after.n})",
            signed(change.difference),
            interval,
            *ratios,
            change.verdict,
            style=STYLES[change.verdict],
        )
    console.print(Padding(table, (0, 0, 0, 1), expand=False))
    counts = {verdict: sum(change.verdict == verdict for change in changes) for verdict in STYLES}
    told = wording.names([f"{count} {verdict}" for verdict, count in counts.items() if count])
    cells = "1 cell" if len(changes) == 1 else f"{len(changes)} cells"
    console.print(f"  {cells}: {told}.", highlight=False)
    for caution in _cautions(changes):
        console.print(f"  ! {caution}", style="yellow", highlight=False)


def _cautions(changes: Sequence[Change]) -> list[str]:
    """What would mislead if it stayed unsaid."""
    told = []
    if any(change.comparison is None for change in changes):
        told.append("Where no predictions were kept, or data differ, there is no paired test, only a margin.")
    if any(change.comparison and not change.comparison.counts_training for change in changes):
        told.append(
            "One seed on a side: what is better or worse are these trained networks. Another order of sums in the same "
            "code can do that, too; two seeds a side tell."
        )
    for change in changes:
        if change.before.setting != change.after.setting:
            cell = f"{change.after.title} on {dataset_title(change.after.dataset)}"
            told.append(f"{cell} was trained otherwise: {change.before.setting}, then {change.after.setting}.")
    if any(change.before.rows[0].get("device") != change.after.rows[0].get("device") for change in changes):
        told.append("The two were run on different devices or numbers of cores: times and memory do not compare.")
    return told


def versions_csv(changes: Sequence[Change]) -> str:
    """The same for machines; fractions, and ratios of after to before."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ["preset", "dataset", "model", "before", "before_n", "after", "after_n", "difference", "low", "high", "p"]
    writer.writerow([*columns, "verdict", *(f"{cost}_ratio" for cost in COSTS)])
    for change in changes:
        one, group = change.comparison, change.after
        tests = ["", "", ""] if one is None else [*one.interval, one.p_value]
        numbers = [change.before.accuracy, change.before.n, group.accuracy, group.n, change.difference, *tests]
        writer.writerow([group.preset, group.dataset, group.model, *numbers, change.verdict, *map(change.ratio, COSTS)])
    return text.getvalue()


def _comparison(before: Group, after: Group) -> Comparison | None:
    same_data = before.rows[0].get("data_hashes") == after.rows[0].get("data_hashes")
    if before.correct is None or after.correct is None or not same_data:
        return None
    return compare_families(after.correct, before.correct)


def _verdict(before: Group, after: Group, *, p: float, equivalence_p: float) -> str:
    if _scores(before) == _scores(after):
        return "same numbers"
    if p == p:
        is_different, is_equivalent = p < LEVEL, equivalence_p < LEVEL
    else:
        spreads = [(group.n, group.estimate("accuracy").std) for group in (before, after)]
        limit = margin(max(before.accuracy, after.accuracy), after.test_images, spreads=spreads)
        is_different, is_equivalent = abs(after.accuracy - before.accuracy) >= limit, False
    if is_different:
        return "better" if after.accuracy > before.accuracy else "worse"
    return "equivalent" if is_equivalent else "not distinguished"


def _scores(group: Group) -> dict[int, dict[str, float]]:
    return {row["seed"]: row["test"] for row in group.rows}
