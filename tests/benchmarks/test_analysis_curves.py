"""Macro curves agree with scikit-learn, and are resolved where good classifiers differ."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.analysis.curves import POINTS, precision_recall, roc


def make_predictions(seeds: int, images: int, *, lead: float, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, (seeds, images, classes), in which the label leads by `lead` on average; and labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, images)
    logits = rng.normal(0, 1, (seeds, images, classes)) + lead * np.eye(classes)[labels]
    return softmax(logits, axis=-1), labels


@pytest.mark.parametrize("curve", [roc, precision_recall])
def test_a_perfect_classifier_has_the_whole_area(curve):
    labels = np.arange(40) % 4
    result = curve(np.eye(4)[labels][None], labels)
    assert (result.area.mean, result.area.std, result.area.n) == (1, None, 1)
    assert (result.y == 1).all()


def test_guessing_has_half_the_area_under_roc_and_the_class_share_under_precision():
    probabilities, labels = make_predictions(2, 4_000, lead=0.0)
    assert roc(probabilities, labels).area.mean == pytest.approx(0.5, abs=0.02)
    assert precision_recall(probabilities, labels).area.mean == pytest.approx(0.25, abs=0.02)


def test_areas_are_scikit_learns_macro_means_by_seed():
    probabilities, labels = make_predictions(3, 500, lead=1.5)
    aucs = [roc_auc_score(labels, seed, average="macro", multi_class="ovr") for seed in probabilities]
    precisions = [average_precision_score(np.eye(4)[labels], seed, average="macro") for seed in probabilities]
    for curve, areas in ((roc, aucs), (precision_recall, precisions)):
        area = curve(probabilities, labels).area
        assert (area.mean, area.std, area.n) == pytest.approx((np.mean(areas), np.std(areas, ddof=1), 3))


@pytest.mark.parametrize("curve", [roc, precision_recall])
def test_the_drawn_curve_has_the_area_that_is_named(curve):
    result = curve(*make_predictions(2, 3_000, lead=2.0))
    assert len(result.x) == POINTS
    area = np.trapezoid(np.r_[result.y[0], result.y], np.r_[0, result.x])  # flat beside the grid
    assert area == pytest.approx(result.area.mean, abs=5e-3)


def test_most_points_lie_where_good_classifiers_differ():
    probabilities, labels = make_predictions(1, 10_000, lead=4.0)
    assert (roc(probabilities, labels).x < 0.01).mean() == pytest.approx(0.5, abs=0.01)
    recalls = precision_recall(probabilities, labels).x
    assert (recalls > 0.9).mean() > 0.6
    assert recalls[-1] == 1 - 1 / np.bincount(labels).max()


def test_precision_is_that_of_the_strictest_threshold_that_reaches_a_recall():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.2])
    labels = np.array([1, 0, 1, 0, 0])
    probabilities = np.stack([1 - scores, scores], axis=1)
    curve = precision_recall(probabilities[None], labels)
    # By falling score class 1 is right, wrong, right; class 0 right, right, wrong, right.
    for recall, precision_of_1 in ((0.3, 1), (0.5, 1), (0.66, 2 / 3)):
        at = np.searchsorted(curve.x, recall) - 1
        assert curve.y[at] == pytest.approx((precision_of_1 + 1) / 2)


def test_a_class_without_test_images_is_left_out():
    probabilities, labels = make_predictions(1, 300, lead=2.0)
    present = labels < 3
    with_empty_class = roc(probabilities[:, present], labels[present])
    aucs = [roc_auc_score(labels[present] == k, probabilities[0, present, k]) for k in range(3)]
    assert with_empty_class.area.mean == pytest.approx(np.mean(aucs))
