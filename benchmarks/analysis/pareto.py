"""Pareto fronts: which families are worth their cost."""

import numpy as np
from jaxtyping import Bool, Float


def pareto_front(costs: Float[np.ndarray, " n"], accuracies: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which pairs no other pair beats: none has at most its cost and at least its accuracy, and one of them better.

    Equal pairs do not beat each other, so they are on the front together. A pair with a NaN is not on it.
    """
    cheaper, better = costs[:, None] < costs, accuracies[:, None] > accuracies  # (one, other)
    no_dearer, no_worse = costs[:, None] <= costs, accuracies[:, None] >= accuracies
    beaten = (no_dearer & no_worse & (cheaper | better)).any(0)
    return ~beaten & ~np.isnan(costs) & ~np.isnan(accuracies)
