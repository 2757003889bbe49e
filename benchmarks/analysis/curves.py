"""ROC and precision-recall curves, one class against the rest, averaged over classes and seeds.

Curves of good classifiers crowd in a corner, so both are read on a grid that is even in the logarithm of an error: the
rate of false positives, and the rate of missed images. Areas are those of the whole curves, by scikit-learn.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn import metrics

from benchmarks.analysis.estimate import Estimate

POINTS = 200  # as many as a drawing shows


@dataclass(frozen=True, kw_only=True)
class MacroCurve:
    """Mean over classes and seeds of one curve per class: `y` at each `x`, and the area under it.

    Each class counts the same. Classes without a test image, or without another class's, are left out.
    """

    x: Float[np.ndarray, " points"]
    y: Float[np.ndarray, " points"]
    area: Estimate


def roc(probabilities: Float[np.ndarray, "seeds n k"], labels: Int[np.ndarray, " n"]) -> MacroCurve:
    """True-positive rate `y` over false-positive rate `x`, from one image's share of the split to 1; ROC AUC."""
    rates = np.geomspace(1 / len(labels), 1, POINTS)
    curves, areas = [], []
    for seed in probabilities:
        for is_class, scores in _one_vs_rest(seed, labels):
            false_positive_rate, true_positive_rate, _ = metrics.roc_curve(is_class, scores)
            curves.append(np.interp(rates, false_positive_rate, true_positive_rate))
            areas.append(metrics.auc(false_positive_rate, true_positive_rate))
    return MacroCurve(x=rates, y=np.mean(curves, axis=0), area=_over_seeds(areas, seeds=len(probabilities)))


def precision_recall(probabilities: Float[np.ndarray, "seeds n k"], labels: Int[np.ndarray, " n"]) -> MacroCurve:
    """Precision `y` over recall `x`, up to where one image of the largest class is missed; average precision.

    Precision at a recall is that of the strictest threshold that reaches it. It is not interpolated, since between
    thresholds precision is no straight line (Davis and Goadrich 2006).
    """
    recalls = 1 - np.geomspace(0.99, 1 / np.bincount(labels).max(), POINTS)
    curves, areas = [], []
    for seed in probabilities:
        for is_class, scores in _one_vs_rest(seed, labels):
            precision, recall, _ = metrics.precision_recall_curve(is_class, scores)
            strictest = np.searchsorted(recall[::-1], recalls)  # scikit-learn starts at recall 1
            curves.append(precision[::-1][strictest])
            areas.append(metrics.average_precision_score(is_class, scores))
    return MacroCurve(x=recalls, y=np.mean(curves, axis=0), area=_over_seeds(areas, seeds=len(probabilities)))


def _one_vs_rest(
    probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each class: whether each image is of it, and its probability."""
    classes = [k for k in range(probabilities.shape[1]) if 0 < np.count_nonzero(labels == k) < len(labels)]
    return [(labels == k, probabilities[:, k]) for k in classes]


def _over_seeds(areas: list[float], *, seeds: int) -> Estimate:
    return Estimate.of(np.reshape(areas, (seeds, -1)).mean(1).tolist())
