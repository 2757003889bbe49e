"""What the rows say: groups of seeds gathered into one sweep per preset, and who is best in each.

Presets never meet in an average or a ranking, and neither do runs of different epochs, batch size or recipe.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.analysis.hard_examples import HardExamples, hard_examples
from benchmarks.report.groups import METRICS, Group
from benchmarks.report.significance import margin
from benchmarks.statistics.ranks import Ranking, rank_families
from benchmarks.statistics.verdicts import DatasetComparison, compare_all
from jax_models.data.catalog import DATASETS
from jax_models.errors import UsageError
from jax_models.registry import MODELS


@dataclass(frozen=True, kw_only=True)
class Leader:
    """The best of one data set's groups and the others, best first, that the data cannot tell from it.

    Attributes:
        best: the group of highest mean test accuracy.
        close: groups that are not distinguished from the best: by `DatasetComparison` where the runs have kept their
            predictions, else those whose accuracy lies less than `margin` below it.
        runner_up: the best of the groups that are not close; None if there is none.
        margin: accuracy difference (a fraction) below which two families are not distinguished; None where tests tell.
    """

    best: Group
    close: tuple[Group, ...]
    runner_up: Group | None
    margin: float | None


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """All finished cells of one preset: `groups` has one per model and data set, `superseded` the other settings."""

    preset: str
    groups: tuple[Group, ...]
    superseded: tuple[Group, ...]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Models that finished anywhere, in the registry's order."""
        return _in_order({group.model for group in self.groups}, MODELS)

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """Data sets with a finished cell, in the catalog's order."""
        return _in_order({group.dataset for group in self.groups}, DATASETS)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The different numbers of seeds per cell, ascending: (1,) for a sweep of one seed."""
        return tuple(sorted({group.n for group in self.groups}))

    def get(self, model: str, dataset: str) -> Group | None:
        """The group of a model on a data set, None if it never finished."""
        return next((g for g in self.groups if (g.model, g.dataset) == (model, dataset)), None)

    def of_model(self, model: str) -> list[Group]:
        """The groups of a model, in the order of the data sets."""
        return [group for group in self.groups if group.model == model]

    def ranked(self, dataset: str) -> list[Group]:
        """The groups of a data set, highest mean test accuracy first; equal ones by lower loss."""
        groups = (group for group in self.groups if group.dataset == dataset)
        return sorted(groups, key=lambda group: (-group.accuracy, group.estimate("loss").mean))

    def is_best(self, group: Group) -> bool:
        """Whether no group of the same data set has a higher mean test accuracy."""
        return group.accuracy == self.ranked(group.dataset)[0].accuracy

    @cached_property
    def comparisons(self) -> dict[str, DatasetComparison]:
        """All pairs of families by data set, where more than one ran on the same data and all kept predictions."""
        found = {}
        for dataset in self.datasets:
            groups = self.ranked(dataset)
            correct = {group.model: group.correct for group in groups if group.correct is not None}
            if len(groups) > 1 and len(correct) == len(groups) and _same_data(groups):
                found[dataset] = compare_all(correct)
        return found

    @cached_property
    def hard_examples(self) -> dict[str, HardExamples]:
        """The test images that every family gets wrong, by data set, where `comparisons` has one."""
        found = {}
        for dataset in self.comparisons:
            tests = {g.model: test for g in self.ranked(dataset) if (test := g.stacked("test")) is not None}
            probabilities, labels = next(iter(tests.values()))
            answers = {model: test[0].argmax(-1) for model, test in tests.items()}
            found[dataset] = hard_examples(answers, labels, classes=probabilities.shape[-1])
        return found

    def gallery(self, name: str, dataset: str) -> dict[str, Any] | None:
        """A derived result of all the data set's networks together; None if there is none of just these networks."""
        kept = [found for group in self.ranked(dataset) if (found := group.probe(name))]
        return next((found for found in kept if found["networks"] == self.networks(name, dataset)), None)

    def networks(self, name: str, dataset: str) -> list[str]:
        """The sha256 of the weights that such a result is of: every seed's, for saliency only the lowest seed's."""
        rows = [row for g in self.ranked(dataset) for row in (g.rows[:1] if name == "saliency" else g.rows)]
        return sorted(row["weights"]["sha256"] for row in rows if "weights" in row)

    @cached_property
    def ranking(self) -> Ranking | None:
        """Average ranks over the data sets; None unless several families ran on all of them."""
        if len(self.models) < 2 or len(self.groups) < len(self.models) * len(self.datasets):
            return None
        return rank_families({d: {group.title: group.accuracy for group in self.ranked(d)} for d in self.datasets})

    def is_close(self, group: Group) -> bool:
        """Whether the group is not the best of its data set and not distinguished from it."""
        return group in self.leader(group.dataset).close and not self.is_best(group)

    def leader(self, dataset: str) -> Leader:
        """Who is best on a data set, and who cannot be told from it."""
        best, *others = self.ranked(dataset)
        if comparison := self.comparisons.get(dataset):
            limit, close = None, set(comparison.not_distinguished_from_best)
        else:
            spreads = [(group.n, group.estimate("accuracy").std) for group in (best, *others)]
            limit = margin(best.accuracy, best.test_images, spreads=spreads)
            close = {group.model for group in others if best.accuracy - group.accuracy < limit}
        rest = [group for group in others if group.model not in close]
        return Leader(
            best=best,
            close=tuple(group for group in others if group.model in close),
            runner_up=rest[0] if rest else None,
            margin=limit,
        )


@dataclass(frozen=True)
class Summary:
    """Everything a report shows: one sweep per preset, and the latest failure of each cell that never finished."""

    sweeps: tuple[Sweep, ...]
    failed: tuple[dict, ...]

    @property
    def rows(self) -> list[dict]:
        """The finished rows that the sweeps are made of."""
        return [row for sweep in self.sweeps for group in (*sweep.groups, *sweep.superseded) for row in group.rows]


def summarise(rows: Iterable[dict], out: Path | None = None) -> Summary:
    """Groups rows, oldest first as `benchmarks.results.read_rows` gives them; `out` is the folder that they lie in.

    Of several rows of one cell the latest finished one counts, or else the latest failure. Where a model ran on a data
    set with more than one setting, the one of the latest row is shown and the others are superseded.

    Raises:
        UsageError: a row says "ok" but lacks what a report needs.
    """
    cells: dict[str, dict] = {}
    for row in rows:
        if row["status"] == "ok" or cells.get(row["cell"], row)["status"] != "ok":
            cells.pop(row["cell"], None)  # so that the latest comes last
            cells[row["cell"]] = row
    finished: dict[tuple, dict[int, dict]] = {}
    for row in cells.values():
        if row["status"] == "ok":
            key = _checked(row)
            finished[key] = finished.pop(key, {}) | {row["seed"]: row}
    groups = [
        Group(*key, rows=tuple(seeds[seed] for seed in sorted(seeds)), out=out) for key, seeds in finished.items()
    ]
    sweeps = tuple(_sweep(preset, groups) for preset in sorted({g.preset for g in groups}, key=_preset_order))
    failed = tuple(row for row in cells.values() if row["status"] != "ok")
    return Summary(sweeps, failed)


def _same_data(groups: Sequence[Group]) -> bool:
    rows = [row for group in groups for row in group.rows]
    return all(row.get("data_hashes") == rows[0].get("data_hashes") for row in rows)


def _checked(row: dict) -> tuple:
    """The setting of a finished row, after a look whether the row has what every table needs."""
    try:
        key = tuple(row[name] for name in ("preset", "dataset", "model", "epochs", "batch_size", "recipe_hash"))
        _ = row["seed"], row["confusion_matrix"][0][0], row["per_class"][0]["label"]
        _ = row["history"][0]["validation_accuracy"], [float(row["test"][name]) for name in METRICS]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        message = f"row {row['cell']} is not one that benchmarks.compare writes ({type(error).__name__}: {error})"
        raise UsageError(f"{message}; take its line out of runs.jsonl, or choose another folder") from error
    return key


def _sweep(preset: str, groups: list[Group]) -> Sweep:
    newest: dict[tuple[str, str], Group] = {}
    superseded: list[Group] = []
    for group in groups:
        if group.preset == preset:
            if older := newest.get((group.dataset, group.model)):
                superseded.append(older)
            newest[group.dataset, group.model] = group
    datasets, models = _in_order({d for d, _ in newest}, DATASETS), _in_order({m for _, m in newest}, MODELS)
    shown = tuple(newest[d, m] for d in datasets for m in models if (d, m) in newest)
    return Sweep(preset=preset, groups=shown, superseded=tuple(superseded))


def _in_order(names: set[str], catalog: Iterable[str]) -> tuple[str, ...]:
    known = [name for name in catalog if name in names]
    return (*known, *sorted(names.difference(known)))


def _preset_order(preset: str) -> tuple[bool, str]:
    return not preset.startswith("quick"), preset
