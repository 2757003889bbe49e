"""A group: the seeds of one model on one data set, trained in one way. Nothing is averaged over anything else."""

from dataclasses import dataclass
from functools import cached_property
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from benchmarks.analysis.calibration import Calibration, calibrate
from benchmarks.analysis.curves import MacroCurve, precision_recall, roc
from benchmarks.analysis.estimate import Estimate
from benchmarks.derived import read_derived
from benchmarks.predictions import Predictions, load_predictions
from benchmarks.run_files import checked_path
from benchmarks.statistics.accuracy import estimate_accuracy
from jax_models.data.catalog import DATASETS
from jax_models.errors import RunError
from jax_models.evaluation import wilson_interval
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
    "latency_ms",
)


def model_title(name: str) -> str:
    """The title in the registry; an unknown model keeps its name."""
    return MODELS[name].title if name in MODELS else name


def dataset_title(name: str) -> str:
    """The title in the catalog; an unknown data set keeps its name."""
    return DATASETS[name].title if name in DATASETS else name


@dataclass(frozen=True)
class Group:
    """The finished seeds of one model on one data set under one setting; `rows` are in the order of their seeds.

    `out` is the results folder that their predictions lie in, None where only rows are looked at.
    """

    preset: str
    dataset: str
    model: str
    epochs: int
    batch_size: int
    recipe_hash: str
    rows: tuple[dict, ...]
    out: Path | None = None

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
        return Estimate.of(values)

    @property
    def accuracy(self) -> float:
        """Mean test accuracy, a fraction."""
        return self.estimate("accuracy").mean

    def cost(self, name: str) -> float:
        """Mean over seeds of one of `COSTS`; NaN if a row does not know it. Latency is a derived result."""
        if name == "latency_ms":
            return (self.probe("latency") or {"milliseconds": nan})["milliseconds"]
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

    def probe(self, name: str) -> dict[str, Any] | None:
        """What a probe found for the network of the lowest seed; None if it did not run on its weights."""
        return read_derived(self.out, name, self.rows[0])

    @property
    def predictions(self) -> tuple[dict[str, Predictions], ...] | None:
        """What each seed says of every image, by split; None if that was not kept, or cannot be read any more."""
        return self._loaded[0]

    @property
    def problem(self) -> str | None:
        """Why predictions that were kept cannot be used; None if they can, or if none were kept."""
        return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[tuple[dict[str, Predictions], ...] | None, str | None]:
        entries = [row.get("predictions") for row in self.rows]
        if self.out is None or not any(entries):
            return None, None
        if None in entries:
            return None, f"seed {self.rows[entries.index(None)]['seed']} has kept none"
        try:
            return tuple(load_predictions(checked_path(self.out, entry)) for entry in entries if entry), None
        except RunError as error:
            return None, str(error)

    def stacked(self, split: str) -> tuple[Float[np.ndarray, "seeds n k"], Int[np.ndarray, " n"]] | None:
        """Class probabilities of all seeds on a split, and its labels; None without predictions."""
        if self.predictions is None:
            return None
        return np.stack([run[split].probabilities for run in self.predictions]), self.predictions[0][split].labels

    @cached_property
    def correct(self) -> Bool[np.ndarray, "seeds images"] | None:
        """Which test images each seed classifies rightly; None without predictions."""
        return None if self.predictions is None else np.stack([run["test"].correct for run in self.predictions])

    @cached_property
    def calibration(self) -> Calibration | None:
        """Calibration on the test split, before and after a temperature; None without predictions."""
        validation, test = self.stacked("validation"), self.stacked("test")
        if validation is None or test is None:
            return None
        return calibrate(validation=validation[0], validation_labels=validation[1], test=test[0], test_labels=test[1])

    @cached_property
    def roc(self) -> MacroCurve | None:
        """ROC curve on the test split; None without predictions."""
        test = self.stacked("test")
        return None if test is None else roc(*test)

    @cached_property
    def precision_recall(self) -> MacroCurve | None:
        """Precision-recall curve on the test split; None without predictions."""
        test = self.stacked("test")
        return None if test is None else precision_recall(*test)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy: by seeds and test images, or without predictions by the images alone."""
        if self.correct is None:
            return wilson_interval(self.accuracy, self.test_images)
        estimate = estimate_accuracy(self.correct)
        return estimate.low, estimate.high
