"""What the rows say: seeds grouped into cells, cells into sweeps, and how far apart two families must lie to differ.

Nothing is averaged over different settings: a group holds the seeds of one model on one data set under one preset, number
of epochs, batch size and recipe. Presets are kept in sweeps of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import nan
from statistics import fmean, stdev

from benchmarks.report.significance import margin
from jax_models.data.catalog import DATASETS
from jax_models.errors import UsageError
from jax_models.registry import MODELS

METRICS = ("accuracy", "precision", "recall", "f1", "loss")
COSTS = (
    "num_params",
    "flops",
    "epochs",
    "train_seconds",
    "step_ms",
    "images_per_second",
    "compile_seconds",
    "peak_memory_bytes",
)


def model_title(name: str) -> str:
    """The title in the registry; an unknown model keeps its name."""
    return MODELS[name].title if name in MODELS else name


def dataset_title(name: str) -> str:
    """The title in the catalog; an unknown data set keeps its name."""
    return DATASETS[name].title if name in DATASETS else name


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds. `std` is the sample standard deviation, None when one seed leaves it unknown."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Group:
    """The finished seeds of one model on one data set under one setting; `rows` are in the order of their seeds."""

    preset: str
    dataset: str
    model: str
    epochs: int
    batch_size: int
    recipe_hash: str
    rows: tuple[dict, ...]

    @property
    def title(self) -> str:
        """The model's display title."""
        return model_title(self.model)

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.rows)

    def estimate(self, metric: str) -> Estimate:
        """Mean and spread over seeds of a test metric, as a fraction (loss in nats)."""
        values = [row["test"][metric] for row in self.rows]
        return Estimate(fmean(values), stdev(values) if self.n > 1 else None, self.n)

    @property
    def accuracy(self) -> float:
        """Mean test accuracy, a fraction."""
        return self.estimate("accuracy").mean

    def cost(self, name: str) -> float:
        """Mean over seeds of one of `COSTS`; NaN if a row does not know it."""
        values = [row.get(name) for row in self.rows]
        return nan if any(value is None for value in values) else fmean(values)

    @property
    def test_images(self) -> int:
        """Size of the test split, counted in the confusion matrix."""
        return sum(map(sum, self.rows[0]["confusion_matrix"]))

    @property
    def setting(self) -> str:
        """What distinguishes this group from another of the same model, data set and preset."""
        return f"{self.epochs} {'epoch' if self.epochs == 1 else 'epochs'}, batch {self.batch_size}, recipe {self.recipe_hash}"


@dataclass(frozen=True)
class Verdict:
    """The best of one data set's groups and the others, best first, that the data cannot tell from it.

    Attributes:
        best: the group of highest mean test accuracy.
        close: groups whose accuracy lies less than `margin` below the best.
        runner_up: the best of the groups that are not close; None if there is none.
        margin: accuracy difference (a fraction) below which two families are not distinguished, see `margin`.
    """

    best: Group
    close: tuple[Group, ...]
    runner_up: Group | None
    margin: float


@dataclass(frozen=True)
class Sweep:
    """All finished cells of one preset. `groups` has one group per model and data set, `superseded` the other settings."""

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

    def verdict(self, dataset: str) -> Verdict:
        """Who is best on a data set, and who cannot be told from it."""
        best, *others = self.ranked(dataset)
        spreads = [(group.n, group.estimate("accuracy").std) for group in (best, *others)]
        limit = margin(best.accuracy, best.test_images, spreads)
        close = tuple(group for group in others if best.accuracy - group.accuracy < limit)
        rest = others[len(close) :]
        return Verdict(best, close, rest[0] if rest else None, limit)


@dataclass(frozen=True)
class Summary:
    """Everything a report shows: one sweep per preset, and the latest failure of each cell that never finished."""

    sweeps: tuple[Sweep, ...]
    failed: tuple[dict, ...]

    @property
    def rows(self) -> list[dict]:
        """The finished rows that the sweeps are made of."""
        return [row for sweep in self.sweeps for group in (*sweep.groups, *sweep.superseded) for row in group.rows]


def summarise(rows: Iterable[dict]) -> Summary:
    """Groups rows, oldest first as `benchmarks.results.read_rows` gives them.

    Of several rows of one cell the latest finished one counts, or else the latest failure. Where a model ran on a data set
    with more than one setting, the one of the latest row is shown and the others are superseded.

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
    groups = [Group(*key, rows=tuple(seeds[seed] for seed in sorted(seeds))) for key, seeds in finished.items()]
    sweeps = tuple(_sweep(preset, groups) for preset in sorted({g.preset for g in groups}, key=_preset_order))
    failed = tuple(row for row in cells.values() if row["status"] != "ok")
    return Summary(sweeps, failed)


def _checked(row: dict) -> tuple:
    """The setting of a finished row, after a look whether the row has what every table needs."""
    try:
        key = tuple(row[name] for name in ("preset", "dataset", "model", "epochs", "batch_size", "recipe_hash"))
        _ = row["seed"], row["confusion_matrix"][0][0], row["history"], *(float(row["test"][name]) for name in METRICS)
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
    return Sweep(preset, tuple(newest[d, m] for d in datasets for m in models if (d, m) in newest), tuple(superseded))


def _in_order(names: set[str], catalog: Iterable[str]) -> tuple[str, ...]:
    known = [name for name in catalog if name in names]
    return (*known, *sorted(names.difference(known)))


def _preset_order(preset: str) -> tuple[bool, str]:
    return preset != "quick", preset
