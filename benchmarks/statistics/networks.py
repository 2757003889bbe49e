"""McNemar's test of trained networks: do these two differ on all images of the kind, or only on the ones drawn?

It says nothing about families: another seed is another network (Dietterich 1998, Neural Computation 10(7), calls it the
test for what is trained once). So it is the whole answer with one seed a side, and a count over seeds with more.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from statsmodels.stats.contingency_tables import mcnemar


@dataclass(frozen=True, kw_only=True)
class NetworkPair:
    """Two trained networks: how many test images only one of them gets right, and the exact two-sided p-value."""

    only_first: int
    only_second: int
    p_value: float

    @property
    def differ(self) -> bool:
        """Whether p < 0.05, for this pair of networks alone."""
        return self.p_value < 0.05


def compare_networks(
    first: Bool[np.ndarray, "first_seeds images"], second: Bool[np.ndarray, "second_seeds images"]
) -> tuple[NetworkPair, ...]:
    """Tests the networks of the first seeds, of the second seeds, and so on while both families have one."""
    return tuple(_compare(*networks) for networks in zip(first, second, strict=False))


def _compare(first: Bool[np.ndarray, " images"], second: Bool[np.ndarray, " images"]) -> NetworkPair:
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    table = [[int((first & second).sum()), only_first], [only_second, int((~first & ~second).sum())]]
    p_value = float(mcnemar(table, exact=True).pvalue)  # pyright: ignore[reportAttributeAccessIssue]
    return NetworkPair(only_first=only_first, only_second=only_second, p_value=p_value)
