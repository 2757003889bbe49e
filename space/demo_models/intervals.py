"""How sure a measured share or mean is: intervals of 95 %."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """Wilson's interval (1927) of the share of right ones among n."""
    low, high = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def bootstrap_interval(
    scores: Float[np.ndarray, " n"], groups: Sequence[str], *, draws: int = 1_000
) -> tuple[float, float]:
    """Of the mean of scores, drawing whole groups: for scores that are more alike within a group."""
    _, member = np.unique(list(groups), return_inverse=True)
    sums, counts = np.bincount(member, weights=scores), np.bincount(member)
    drawn = np.random.default_rng(0).integers(len(counts), size=(draws, len(counts)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)
