"""Bins over the confidence of predictions, and how often the predictions in each are right."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

BINS = 15  # those of Guo et al. (2017), arXiv 1706.04599


def top_class(
    probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Confidence of each prediction, and 1 where it is right, else 0."""
    confidence = probabilities.max(1).clip(0, 1).astype(np.float64)
    return confidence, (probabilities.argmax(1) == labels).astype(np.float64)


def equal_width_bins(confidence: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Bin of each confidence; like those of Guo et al. a bin holds its upper edge, so that 1 is in the last."""
    return np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Bins of equal width over the confidence, from 0 to 1; what an empty bin cannot know is NaN.

    Attributes:
        confidence: mean of the bin's images.
        accuracy: fraction of them that is right.
        low: lower end of the accuracy's 95 % interval (Wilson).
        high: its upper end.
        images: number of them, the mean over seeds.
    """

    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]
    low: Float[np.ndarray, " bins"]
    high: Float[np.ndarray, " bins"]
    images: Float[np.ndarray, " bins"]


def reliability(probabilities: Float[np.ndarray, "seeds n k"], labels: Int[np.ndarray, " n"]) -> Reliability:
    """Bins pooled over the seeds.

    The seeds saw the same images, so the intervals count each bin as if one seed had filled it: cautious, where the
    seeds do not err together.
    """
    seeds = len(probabilities)
    confidence, right = top_class(np.concatenate(probabilities), np.tile(labels, seeds))
    bins = equal_width_bins(confidence)
    counts, sum_confidence, sum_right = (
        np.bincount(bins, weights, minlength=BINS) for weights in (np.ones_like(right), confidence, right)
    )
    known = np.where(counts, counts, np.nan)
    accuracy, images = sum_right / known, counts / seeds
    low, high = np.array([_wilson(*of_bin) for of_bin in zip(accuracy, images, strict=True)]).T
    return Reliability(confidence=sum_confidence / known, accuracy=accuracy, low=low, high=high, images=images)


def _wilson(accuracy: float, images: float) -> tuple[float, float]:
    """Wilson's 95 % interval; it takes whole images, so the accuracy is that of the nearest number of them."""
    if not images:
        return np.nan, np.nan
    trials = ceil(images)
    low, high = stats.binomtest(round(accuracy * trials), trials).proportion_ci(0.95, method="wilson")
    return float(low), float(high)
