"""A toy data set that LeNet-5 learns in seconds, configurations for it, and a child process that trains on it.

`python toy.py` runs `train_device_cases` on all devices there are and prints what it gives as JSON.
"""

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jax_models.classification import fit
from jax_models.data import DATASETS, Dataset, DatasetSpec, Split
from jax_models.recipes import Recipe, TrainConfig
from jax_models.training.loop import EpochRecord

CLASSES = ("north", "east", "south", "west")
SPEC = dataclasses.replace(DATASETS["mnist"], classes=CLASSES)
TRAIN, VALIDATION = 108, 12  # of 120, by the data set's own cut
# The catalog's presets are too wide for a test; this one has batch normalisation and dropout.
TINY_RESNET = {"channels": (4, 8), "repeats": (1, 1), "stem_stride": 2, "dropout_rate": 0.2}


def draw(count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise, images uint8 (count, 28, 28, 1), with a bright square in the place that the label names."""
    labels = np.arange(count, dtype=np.int32) % len(CLASSES)
    images = np.random.default_rng(seed).integers(0, 60, (count, 28, 28, 1)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = ((2, 10), (10, 18), (18, 10), (10, 2))[label]
        image[top : top + 8, left : left + 8] += 180
    return images, labels


def closed_test() -> tuple[np.ndarray, np.ndarray]:
    """Opens the test split of a data set whose test split must stay closed."""
    raise AssertionError("the test split was opened")


def dataset(spec: DatasetSpec = SPEC, *, open_test: Callable[[], Any] = closed_test) -> Dataset:
    """108 images to train on, 12 to validate; the test split is closed unless another is given."""
    return Dataset(spec, source="drawn", official_train=draw(120), open_test=open_test)


def split(count: int, *, seed: int = 1) -> Split:
    """Fresh examples."""
    return Split(*draw(count, seed=seed))


def config(*, epochs: int = 1, seed: int = 0, batch_size: int = 18, **recipe: Any) -> TrainConfig:
    """LeNet-5 on the toy data, six steps an epoch, with settings that learn it."""
    return TrainConfig(
        model="lenet5",
        dataset="mnist",
        preset="quick",
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        architecture={},
        recipe=Recipe(**{"peak_learning_rate": 0.005, "label_smoothing": 0.0, **recipe}),
    )


def losses(history: list[EpochRecord]) -> list[list[float]]:
    """What an epoch computed, without what it cost."""
    return [[record.train_loss, record.train_accuracy, record.validation_loss] for record in history]


def train_device_cases() -> dict[str, Any]:
    """Losses by case; the first two are random in every way there is."""
    lenet = config(epochs=2, batch_size=16, peak_learning_rate=0.02, crop_padding=2, flip=True, ema_decay=0.9)
    muon = dataclasses.replace(lenet.recipe, optimizer="muon", peak_learning_rate=0.01)
    cases = {
        "lenet5": lenet,
        "resnet18": dataclasses.replace(lenet, model="resnet18", architecture=TINY_RESNET, recipe=muon),
        "batch of 12": dataclasses.replace(lenet, batch_size=12, epochs=1),
    }
    return {
        "devices": len(jax.local_devices()),
        "losses": {name: losses(fit(case, dataset()).history) for name, case in cases.items()},
    }


if __name__ == "__main__":
    json.dump(train_device_cases(), sys.stdout)
