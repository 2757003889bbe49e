"""Calibration is measured against known truths: labels drawn from probabilities, temperatures put in by hand."""

import numpy as np
import pytest
from scipy.special import softmax

from benchmarks.analysis.calibration import (
    TEMPERATURES,
    adaptive_calibration_error,
    brier_score,
    calibrate,
    calibration_error_by_chance,
    expected_calibration_error,
    fit_temperature,
    with_temperature,
)
from benchmarks.analysis.reliability import BINS, reliability
from jax_models.evaluation import cross_entropy


def make_probabilities(rng: np.random.Generator, images: int, *, classes: int = 10) -> np.ndarray:
    return softmax(rng.normal(0, 3, (images, classes)), axis=1)


def draw_labels(rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """Labels for which these probabilities are right."""
    return (probabilities.cumsum(1) < rng.random((len(probabilities), 1))).sum(1).clip(max=probabilities.shape[1] - 1)


def two_class(confidence: list[float]) -> np.ndarray:
    return np.array([[c, 1 - c] for c in confidence])


def test_calibration_error_is_the_mean_gap_of_the_bins():
    probabilities = two_class([0.95] * 4 + [0.62] * 6)
    labels = np.array([0, 0, 0, 1] + [0] * 3 + [1] * 3)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.4 * 0.2 + 0.6 * 0.12)


def test_bins_hold_their_upper_edge():
    bins = reliability(two_class([1.0, 14 / 15, 0.94])[None], np.array([0, 0, 0]))
    assert bins.images[-2:].tolist() == [1, 2]


def test_equal_mass_bins_see_gaps_that_cancel_within_one_wide_bin():
    right = np.array([1.0] * 700 + [0.9] * 700)
    labels = (np.arange(1400) % 10 / 10 >= right).astype(int)
    probabilities = two_class([0.94] * 700 + [0.96] * 700)
    assert expected_calibration_error(probabilities, labels) < 1e-9
    assert adaptive_calibration_error(probabilities, labels) == pytest.approx(0.06, abs=0.005)


def test_brier_score_sums_over_classes():
    certain = np.eye(10)[[3, 3]]
    assert brier_score(certain, np.array([3, 3])) == 0
    assert brier_score(certain, np.array([4, 4])) == 2
    assert brier_score(np.full((1, 10), 0.1), np.array([7])) == pytest.approx(0.9)


def test_a_calibrated_network_scores_the_error_by_chance():
    rng = np.random.default_rng(0)
    probabilities = make_probabilities(rng, 2_000)
    errors = [expected_calibration_error(probabilities, draw_labels(rng, probabilities)) for _ in range(100)]
    assert np.mean(errors) == pytest.approx(calibration_error_by_chance(probabilities), rel=0.06)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_fitted_temperature_is_the_one_put_in(temperature):
    rng = np.random.default_rng(1)
    probabilities = make_probabilities(rng, 6_000)
    labels = draw_labels(rng, probabilities)
    assert fit_temperature(with_temperature(probabilities, 1 / temperature), labels) == pytest.approx(
        temperature, rel=0.05
    )


def test_no_temperature_near_the_fitted_one_is_likelier():
    rng = np.random.default_rng(2)
    probabilities = with_temperature(make_probabilities(rng, 1_000), 0.5)
    labels = draw_labels(rng, make_probabilities(np.random.default_rng(2), 1_000))
    best = fit_temperature(probabilities, labels)
    at_best, *others = (cross_entropy(with_temperature(probabilities, best * f), labels) for f in (1, 0.98, 1.02))
    assert at_best < min(others)


def test_a_split_without_errors_gets_a_temperature_that_leaves_no_loss():
    probabilities, labels = two_class([0.9] * 50), np.zeros(50, int)
    temperature = fit_temperature(probabilities, labels)
    assert temperature >= TEMPERATURES[0]
    assert cross_entropy(with_temperature(probabilities, temperature), labels) < 1e-6


def test_probabilities_of_zero_stay_finite():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    assert np.isfinite(with_temperature(probabilities, 2.0)).all()
    assert np.isfinite(fit_temperature(probabilities, np.array([0, 1, 1])))


def test_temperature_scaling_undoes_overconfidence_on_test_images_and_changes_no_prediction():
    rng = np.random.default_rng(3)
    validation, test = make_probabilities(rng, 4_000), make_probabilities(rng, 8_000)
    labels = {"validation_labels": draw_labels(rng, validation), "test_labels": draw_labels(rng, test)}
    sharpened = with_temperature(test, 0.5)
    result = calibrate(validation=with_temperature(validation, 0.5)[None], test=sharpened[None], **labels)
    assert result.temperature.mean == pytest.approx(2, rel=0.05)
    assert result.before["ece"].mean > 0.1
    assert result.after["ece"].mean < 2 * result.ece_by_chance.mean
    assert all(result.after[name].mean < result.before[name].mean for name in result.before)
    np.testing.assert_array_equal(with_temperature(sharpened, 2.0).argmax(1), test.argmax(1))


def test_scores_are_those_of_single_seeds_averaged_and_one_seed_has_no_spread():
    rng = np.random.default_rng(4)
    test = np.stack([make_probabilities(rng, 300) for _ in range(3)])
    labels = draw_labels(rng, test[0])
    several = calibrate(validation=test, validation_labels=labels, test=test, test_labels=labels).before["brier"]
    singles = [brier_score(probabilities, labels) for probabilities in test]
    assert (several.mean, several.std, several.n) == pytest.approx((np.mean(singles), np.std(singles, ddof=1), 3))
    one = calibrate(validation=test[:1], validation_labels=labels, test=test[:1], test_labels=labels)
    assert one.temperature.std is None
    assert one.after["ece"].std is None


def test_probabilities_stored_in_steps_of_a_sixteenth_nat_score_the_same():
    rng = np.random.default_rng(5)
    test = make_probabilities(rng, 5_000)
    labels = draw_labels(rng, test)
    steps = np.minimum(np.round(16 * np.log(test.max(1, keepdims=True) / test)), 255)
    stored = np.exp(-steps / 16)
    exact, coarse = (
        calibrate(validation=p[None], validation_labels=labels, test=p[None], test_labels=labels)
        for p in (test, (stored / stored.sum(1, keepdims=True)).astype(np.float32))
    )
    assert coarse.temperature.mean == pytest.approx(exact.temperature.mean, rel=2e-3)
    for name, estimate in exact.before.items():
        assert coarse.before[name].mean == pytest.approx(estimate.mean, abs=2e-3), name


def test_reliability_intervals_cover_the_true_accuracy():
    rng = np.random.default_rng(6)
    covered = []
    for _ in range(60):
        probabilities = make_probabilities(rng, 800)
        bins = reliability(probabilities[None], draw_labels(rng, probabilities))
        known = bins.images > 0
        covered += list((bins.low <= bins.confidence)[known] & (bins.confidence <= bins.high)[known])
    assert 0.93 < np.mean(covered) < 0.99


def test_a_seed_that_repeats_another_narrows_no_interval():
    rng = np.random.default_rng(7)
    probabilities = make_probabilities(rng, 500)
    labels = draw_labels(rng, probabilities)
    one, twice = reliability(probabilities[None], labels), reliability(np.stack([probabilities] * 2), labels)
    np.testing.assert_allclose(twice.low, one.low)
    np.testing.assert_allclose(twice.images, one.images)
    assert len(one.images) == BINS
    assert one.images.sum() == 500


def test_empty_bins_are_unknown():
    bins = reliability(two_class([0.99, 0.99])[None], np.array([0, 0]))
    assert np.isnan([bins.accuracy[:-1], bins.confidence[:-1], bins.low[:-1], bins.high[:-1]]).all()
    assert (bins.accuracy[-1], bins.high[-1]) == (1, 1)
