"""Calibration: whether 90 % confidence means 90 % right, before and after temperature scaling.

Sources: Guo et al. (2017), "On Calibration of Modern Neural Networks", arXiv 1706.04599 (expected calibration error
over 15 equal-width bins, temperature scaling); Nixon et al. (2019), arXiv 1904.01685 (bins of equal mass).

The temperature is fitted on the validation split, the scores are of the test split. It changes no prediction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, special

from benchmarks.analysis.estimate import Estimate
from benchmarks.analysis.reliability import BINS, Reliability, equal_width_bins, reliability, top_class
from jax_models.evaluation import cross_entropy

TEMPERATURES = (0.05, 20.0)

LEAST = float(np.finfo(np.float32).eps)
"""Smaller probabilities count as this one. It is 15.9 nats below 1, where the stored ones end too."""


def expected_calibration_error(probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean distance of accuracy from confidence (the top class's probability) over 15 bins of equal width.

    Gaps by chance do not cancel: even a calibrated network scores about `calibration_error_by_chance`.
    """
    confidence, right = top_class(probabilities, labels)
    return _mean_gap(right - confidence, equal_width_bins(confidence))


def adaptive_calibration_error(probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float:
    """The same over 15 bins of equal mass, which resolve the confidences near 1 where nearly all images are."""
    confidence, right = top_class(probabilities, labels)
    ranks = confidence.argsort(kind="stable").argsort(kind="stable")
    return _mean_gap(right - confidence, ranks * BINS // len(ranks))


def brier_score(probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float:
    """Squared error of the probabilities, summed over the classes as Brier (1950) did: from 0, the best, to 2."""
    return float(np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(1).mean())


def calibration_error_by_chance(probabilities: Float[np.ndarray, "n k"]) -> float:
    """The expected calibration error, over bins of equal width, of a calibrated network with these confidences.

    Labels drawn from the confidences leave a gap in each bin that is nearly normal, so its mean size is sqrt(2 / pi)
    standard deviations. An error near this one is no sign of bad calibration.
    """
    confidence = probabilities.max(1).clip(0, 1).astype(np.float64)
    variances = np.bincount(equal_width_bins(confidence), confidence * (1 - confidence))
    return float(np.sqrt(2 / np.pi * variances).sum() / len(confidence))


SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "ece": expected_calibration_error,
    "adaptive_ece": adaptive_calibration_error,
    "brier": brier_score,
    "nll": cross_entropy,
}
"""Lower is better in all: two fractions, a squared error, and nats."""


def fit_temperature(probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float:
    """The temperature in `TEMPERATURES` that gives the labels the least negative log-likelihood.

    The likelihood has one peak, since it is log-concave in 1 / temperature. A split without errors wants temperature 0
    and gets one so low that nothing is left to gain.
    """
    logits, rows = _logits(probabilities), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -special.log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean()

    found: Any = optimize.minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def with_temperature(probabilities: Float[np.ndarray, "... k"], temperature: float) -> Float[np.ndarray, "... k"]:
    """The probabilities that the logits divided by `temperature` would have given; above 1 they are less sure."""
    return special.softmax(_logits(probabilities) / temperature, axis=-1)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration of one family on one data set's test split, each seed with its own temperature.

    Attributes:
        temperature: fitted on the validation split; above 1 the networks were too sure.
        before: the scores, by the names in `SCORES`.
        after: the same at the fitted temperatures.
        ece_by_chance: what `ece` would be on average if the confidences after scaling were right.
        reliability_before: bins pooled over seeds.
        reliability_after: the same at the fitted temperatures.
    """

    temperature: Estimate
    before: dict[str, Estimate]
    after: dict[str, Estimate]
    ece_by_chance: Estimate
    reliability_before: Reliability
    reliability_after: Reliability


def calibrate(
    *,
    validation: Float[np.ndarray, "seeds m k"],
    validation_labels: Int[np.ndarray, " m"],
    test: Float[np.ndarray, "seeds n k"],
    test_labels: Int[np.ndarray, " n"],
) -> Calibration:
    """Fits a temperature per seed on its validation probabilities, and scores its test probabilities without and with.

    The probabilities may be quantised in their logarithm, and need not sum to 1 exactly.
    """
    temperatures = [fit_temperature(probabilities, validation_labels) for probabilities in validation]
    before = with_temperature(test, 1.0)
    after = np.stack([with_temperature(p, t) for p, t in zip(test, temperatures, strict=True)])
    return Calibration(
        temperature=Estimate.of(temperatures),
        before=_scores(before, test_labels),
        after=_scores(after, test_labels),
        ece_by_chance=Estimate.of([calibration_error_by_chance(probabilities) for probabilities in after]),
        reliability_before=reliability(before, test_labels),
        reliability_after=reliability(after, test_labels),
    )


def _scores(probabilities: Float[np.ndarray, "seeds n k"], labels: Int[np.ndarray, " n"]) -> dict[str, Estimate]:
    return {name: Estimate.of([score(p, labels) for p in probabilities]) for name, score in SCORES.items()}


def _mean_gap(gaps: Float[np.ndarray, " n"], bins: Int[np.ndarray, " n"]) -> float:
    """Size of each bin's mean gap, averaged with the share of images in the bin."""
    return float(np.abs(np.bincount(bins, gaps)).sum() / len(gaps))


def _logits(probabilities: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "... k"]:
    """Logits that give these probabilities: their logarithms, which may all be off by one constant an image."""
    return np.log(np.maximum(probabilities.astype(np.float64), LEAST))
