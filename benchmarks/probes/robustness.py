"""Accuracy on corrupted images (arXiv 1903.12261); every network is shown the same ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from benchmarks.probes.classifier import Classifier
from benchmarks.probes.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from jax_models.data import Dataset, Split
from jax_models.errors import UsageError

SAMPLE_SEED = 0

Corrupted = Mapping[str, Sequence[UInt8[np.ndarray, "n h w c"]]]
"""Images by corruption, at severities 1 to 5."""


def fixed_test_images(dataset: Dataset, count: int = 1000) -> Split:
    """The test images that every probe shows: as many of each class as its share, the same in every run.

    Raises:
        UsageError: fewer images than classes, or so many that none of the test split is left over.
    """
    from sklearn.model_selection import train_test_split  # takes half a second to import

    test, classes = dataset.test, len(dataset.spec.classes)
    largest = len(test) - classes
    if not classes <= count <= largest:
        raise UsageError(f"count is {count}; it must be {classes} to {largest} for {dataset.spec.title}")
    chosen, _ = train_test_split(np.arange(len(test)), train_size=count, stratify=test.labels, random_state=SAMPLE_SEED)
    chosen = np.sort(chosen)
    return Split(np.asarray(test.images[chosen]), test.labels[chosen])


def corrupt_all(
    images: UInt8[np.ndarray, "n h w c"], *, corruptions: Sequence[str] = tuple(CORRUPTIONS), seed: int = 0
) -> Corrupted:
    """The images under each corruption at each severity: made once for a data set, shown to all its networks.

    Of 1,000 CIFAR-10 images 75 times, it is 230 MB. Images are corrupted at their own size, before any padding.
    """
    return {name: [corrupt(images, name, severity=level, seed=seed) for level in SEVERITIES] for name in corruptions}


def corrupted_accuracy(classifier: Classifier, sample: Split, corrupted: Corrupted) -> dict[str, Any]:
    """Accuracy on `sample` and on its `corrupt_all`, as fractions, ready for JSON.

    `mean_corruption_accuracy` is over corruptions and severities alike. It is not the paper's mCE, which divides each
    corruption's errors by AlexNet's: on CIFAR-10-C the plain mean is usual (arXiv 1912.02781). `relative_drop` is the
    share of the clean accuracy that is lost. `group_accuracy` is the mean within noise, blur, weather and digital.
    """

    def accuracy(images: UInt8[np.ndarray, "n h w c"]) -> float:
        return float(np.mean(classifier.probabilities(images).argmax(-1) == sample.labels))

    clean = accuracy(sample.images)
    by_corruption = {name: [accuracy(images) for images in levels] for name, levels in corrupted.items()}
    mean = float(np.mean(list(by_corruption.values())))
    groups: dict[str, list[list[float]]] = {}
    for name, accuracies in by_corruption.items():
        groups.setdefault(CORRUPTIONS[name].group, []).append(accuracies)
    return {
        "count": len(sample),
        "clean_accuracy": clean,
        "corruption_accuracy": by_corruption,
        "group_accuracy": {group: float(np.mean(accuracies)) for group, accuracies in groups.items()},
        "mean_corruption_accuracy": mean,
        "relative_drop": 1 - mean / clean if clean else None,
    }
