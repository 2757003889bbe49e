"""A family is on the Pareto front if and only if no other beats it."""

import numpy as np
import pytest

from benchmarks.analysis.pareto import pareto_front


@pytest.mark.parametrize(
    ("costs", "accuracies", "front"),
    [
        ([1, 2, 3], [0.5, 0.7, 0.9], [True, True, True]),
        ([1, 2, 3], [0.9, 0.7, 0.9], [True, False, False]),
        ([1, 1, 2], [0.5, 0.6, 0.6], [False, True, False]),
        ([2, 2, 1], [0.8, 0.8, 0.1], [True, True, True]),
        ([np.nan, 2, 3], [0.99, 0.7, np.nan], [False, True, False]),
        ([5], [0.1], [True]),
        ([], [], []),
    ],
    ids=["all pay", "the cheapest is best", "ties in one", "equal pairs", "unknown", "one", "none"],
)
def test_front(costs, accuracies, front):
    assert pareto_front(np.array(costs, float), np.array(accuracies, float)).tolist() == front


def test_whoever_is_not_on_the_front_is_beaten_by_somebody_on_it():
    rng = np.random.default_rng(0)
    costs, accuracies = rng.integers(0, 12, 60).astype(float), rng.integers(0, 12, 60) / 12
    front = pareto_front(costs, accuracies)
    for cost, accuracy in zip(costs[~front], accuracies[~front], strict=True):
        no_worse = (costs[front] <= cost) & (accuracies[front] >= accuracy)
        assert (no_worse & ((costs[front] < cost) | (accuracies[front] > accuracy))).any()
    order = np.lexsort((accuracies[front], costs[front]))
    assert (np.diff(accuracies[front][order]) >= 0).all(), "along the front what costs more is better"
