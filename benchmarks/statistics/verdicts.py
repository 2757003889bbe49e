"""All pairs of families on one data set, and a verdict for each that allows for their number.

Holm (1979) corrects the p-values of difference, and those of equivalence for themselves: 5 % bounds the chance that any
verdict "established" is wrong, and that any verdict "equivalent" is, however the pairs depend on each other.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool
from statsmodels.stats.multitest import multipletests

from benchmarks.statistics.bootstrap import bootstrap_accuracies, bootstrap_interval
from benchmarks.statistics.comparison import Comparison, compare_families
from benchmarks.statistics.crossed import check_correct
from benchmarks.statistics.networks import NetworkPair, compare_networks
from jax_models.errors import UsageError

LEVEL = 0.05
EQUIVALENCE_MARGIN = 0.003  # 0.3 percentage points: a difference below it is of no use to anyone who picks a family


class Verdict(StrEnum):
    """What a data set establishes about two families."""

    ESTABLISHED = "established"
    EQUIVALENT = "equivalent"
    NOT_DISTINGUISHED = "not distinguished"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two families on one data set.

    Attributes:
        first: a family's name.
        second: the other's.
        comparison: their difference, first less second.
        bootstrap: 95 % interval of that difference by resampling seeds and images, which no verdict rests on.
        networks: their trained networks, seed by seed.
        adjusted_p: Holm's p-value of no difference, over all pairs of the data set.
        adjusted_equivalence_p: Holm's p-value of a difference of `EQUIVALENCE_MARGIN` or more.
    """

    first: str
    second: str
    comparison: Comparison
    bootstrap: tuple[float, float]
    networks: tuple[NetworkPair, ...]
    adjusted_p: float
    adjusted_equivalence_p: float

    @property
    def verdict(self) -> Verdict:
        """Established wins where both hold: the difference is real, and `within_margin` says that it is small.

        It is about families if `comparison.counts_training`, otherwise about these trained networks only.
        """
        if self.adjusted_p < LEVEL:
            return Verdict.ESTABLISHED
        return Verdict.EQUIVALENT if self.within_margin else Verdict.NOT_DISTINGUISHED

    @property
    def within_margin(self) -> bool:
        """Whether the true difference is established to be smaller than `EQUIVALENCE_MARGIN`."""
        return self.adjusted_equivalence_p < LEVEL

    @property
    def differing_networks(self) -> int:
        """How many of `networks` differ, each tested at 5 %: of equal networks one in twenty would."""
        return sum(pair.differ for pair in self.networks)


@dataclass(frozen=True, kw_only=True)
class DatasetComparison:
    """All pairs of one data set's families, and the families' mean accuracies (fractions)."""

    accuracies: dict[str, float]
    pairs: tuple[Pair, ...]

    @property
    def best(self) -> str:
        """The family of highest mean accuracy; of equal ones that which was given first."""
        return max(self.accuracies, key=self.accuracies.__getitem__)

    @property
    def not_distinguished_from_best(self) -> tuple[str, ...]:
        """The families, highest mean accuracy first, whose difference from the best is not established."""
        beaten = {
            family
            for pair in self.pairs
            if self.best in (pair.first, pair.second) and pair.verdict is Verdict.ESTABLISHED
            for family in (pair.first, pair.second)
        }
        close = [family for family in self.accuracies if family != self.best and family not in beaten]
        return tuple(sorted(close, key=lambda family: -self.accuracies[family]))

    def pair(self, one: str, other: str) -> Pair:
        """The pair of two families, in whichever order they were given."""
        return next(pair for pair in self.pairs if {pair.first, pair.second} == {one, other})


def compare_all(correct: Mapping[str, Bool[np.ndarray, "_ _"]]) -> DatasetComparison:
    """Compares every two families of a data set.

    Args:
        correct: by family, whether a seed (row) classifies a test image (column) rightly. Numbers of seeds may differ.

    Raises:
        UsageError: families were tested on different numbers of images or on fewer than two, or one has no seed.
    """
    for rows in correct.values():
        check_correct(rows)
    if len(counts := {rows.shape[1] for rows in correct.values()}) > 1:
        raise UsageError(f"families are compared on the same test images, got {sorted(counts)} of them")
    names = list(itertools.combinations(correct, 2))
    comparisons = [compare_families(correct[first], correct[second]) for first, second in names]
    adjusted = holm([comparison.p_value for comparison in comparisons])
    equivalence = holm([comparison.equivalence_p_value(EQUIVALENCE_MARGIN) for comparison in comparisons])
    resampled = bootstrap_accuracies(correct)
    pairs = tuple(
        Pair(
            first=first,
            second=second,
            comparison=comparison,
            bootstrap=bootstrap_interval(resampled[first], resampled[second]),
            networks=compare_networks(correct[first], correct[second]),
            adjusted_p=p,
            adjusted_equivalence_p=equivalence_p,
        )
        for (first, second), comparison, p, equivalence_p in zip(names, comparisons, adjusted, equivalence, strict=True)
    )
    return DatasetComparison(accuracies={name: float(rows.mean()) for name, rows in correct.items()}, pairs=pairs)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number; NaN, a test that was not made, stays NaN and counts as none."""
    known = [p for p in p_values if p == p]
    corrected = iter(np.asarray(multipletests(known, method="holm")[1]).tolist() if known else [])
    return [next(corrected) if p == p else p for p in p_values]
