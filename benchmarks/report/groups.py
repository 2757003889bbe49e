"""A group: the seeds of one model on one data set, trained in one way. Nothing is averaged over anything else."""

from dataclasses import dataclass
from math import nan
from statistics import fmean, stdev

from jax_models.data.catalog import DATASETS
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
        values = [row[name] for row in self.rows if row.get(name) is not None]
        return fmean(values) if len(values) == self.n else nan

    @property
    def test_images(self) -> int:
        """Size of the test split, counted in the confusion matrix."""
        return sum(map(sum, self.rows[0]["confusion_matrix"]))

    @property
    def setting(self) -> str:
        """What distinguishes this group from another of the same model, data set and preset."""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return f"{epochs}, batch {self.batch_size}, recipe {self.recipe_hash}"
