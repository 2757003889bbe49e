"""One family's accuracy and its 95 % interval.

The interval is Wilson's for a share of right answers, with the number of images replaced by the effective number: as
many independent images as would give the variance found (Korn and Graubard 1998 do so for surveys). With one seed that
is the plain Wilson interval, and near 100 % it stays inside the possible.

The quantile is the mean of Student's for the seeds and the normal one for the images, weighted by their variances
(Cochran and Cox 1950). Satterthwaite's degrees of freedom would be narrower and cover too little here: 92 % with three
seeds and 87 % with two, where seeds vary far more than by flips of single images and as much as the images do.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from benchmarks.statistics.crossed import check_correct, image_variance, training_luck

UPPER = 0.975  # of a two-sided 95 % interval


@dataclass(frozen=True, kw_only=True)
class AccuracyEstimate:
    """A family's accuracy on one data set, all as fractions.

    Attributes:
        mean: over seeds and images.
        std: sample standard deviation of the seeds' accuracies, None for one seed.
        seeds: number of seeds; with one the interval is silent about the luck of training.
        low: lower end of the 95 % interval.
        high: upper end.
    """

    mean: float
    std: float | None
    seeds: int
    low: float
    high: float


def estimate_accuracy(correct: Bool[np.ndarray, "seeds images"]) -> AccuracyEstimate:
    """Mean, spread and 95 % interval; `correct` says whether a seed classifies a test image rightly.

    Raises:
        UsageError: there is no seed, or there are fewer than two images.
    """
    check_correct(correct)
    seeds, images = correct.shape
    mean = float(correct.mean())
    effective = float(images)
    if seeds > 1 and 0 < mean < 1:
        effective = mean * (1 - mean) / _squared_standard_error(correct)
    ends = proportion_confint(mean * effective, effective, alpha=2 * (1 - UPPER), method="wilson")
    low, high = np.asarray(ends).tolist()
    std = float(correct.mean(1).std(ddof=1)) if seeds > 1 else None
    return AccuracyEstimate(mean=mean, std=std, seeds=seeds, low=low, high=high)


def _squared_standard_error(correct: Bool[np.ndarray, "seeds images"]) -> float:
    """The variance of the mean, enlarged for the few seeds that it is estimated from, see the module's docstring."""
    seeds = len(correct)
    luck = training_luck(correct)
    by_seeds = luck.variance / seeds
    by_images = image_variance(correct.mean(0), flips=luck.flips / seeds)
    variance = by_seeds + by_images
    normal = stats.norm.ppf(UPPER)
    quantile = (by_seeds * stats.t.ppf(UPPER, seeds - 1) + by_images * normal) / variance
    return float(variance * (quantile / normal) ** 2)
