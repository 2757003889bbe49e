"""Average ranks of families over data sets, and what they allow to say: Friedman's test and Nemenyi's after it.

Demšar 2006, "Statistical comparisons of classifiers over multiple data sets", Journal of Machine Learning Research 7.
The data sets are the sample here: three of them can tell next to nothing of families on data sets in general.
Friedman's p-value is that of the chi-square distribution, which needs about ten data sets to be exact. With three and
seven families it is cautious: of equal families it calls 2 % different, not 5 %.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from jax_models.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Families ranked by mean accuracy on each data set, 1 for the best; ties share the mean of their ranks.

    Attributes:
        average_ranks: by family, best first.
        datasets: number of data sets.
        friedman_p: of equal families; None for fewer than three of them, which the test is not for.
        critical_difference: average ranks of two families must lie this far apart (Nemenyi, 5 %).
    """

    average_ranks: dict[str, float]
    datasets: int
    friedman_p: float | None
    critical_difference: float

    @property
    def apart(self) -> tuple[tuple[str, str], ...]:
        """The pairs, better family first, that Nemenyi's test tells apart; none unless Friedman's test rejects."""
        if self.friedman_p is None or self.friedman_p >= 0.05:
            return ()
        ranks = self.average_ranks
        return tuple(
            pair for pair in combinations(ranks, 2) if ranks[pair[1]] - ranks[pair[0]] >= self.critical_difference
        )

    @property
    def conclusion(self) -> str:
        """One sentence that says no more than the number of data sets allows."""
        sets = "1 data set" if self.datasets == 1 else f"{self.datasets} data sets"
        if self.friedman_p is None:
            return f"Ranks of {len(self.average_ranks)} families on {sets} tell no more than their accuracies do."
        if self.friedman_p >= 0.05:
            return f"The ranks on {sets} do not show that any family differs (Friedman's p = {self.friedman_p:.2g})."
        somewhere = f"The ranks on {sets} differ by more than luck (Friedman's p = {self.friedman_p:.2g})"
        needed = f"the critical difference of {self.critical_difference:.1f} ranks"
        if not self.apart:
            return f"{somewhere}, but no two families by {needed}: they do not show which."
        named = "; ".join(f"{better} before {worse}" for better, worse in self.apart)
        return f"{somewhere}, and only these families by {needed}: {named}."


def rank_families(accuracies: Mapping[str, Mapping[str, float]]) -> Ranking:
    """Ranks families by their mean accuracy, given by data set and family.

    Raises:
        UsageError: there is no data set, fewer than two families, or a family is missing on one of the data sets.
    """
    families = list(next(iter(accuracies.values()), ()))
    if len(families) < 2 or any(set(scores) != set(families) for scores in accuracies.values()):
        raise UsageError("ranks need the same families, two or more, on every data set: leave out those that lack one")
    table = np.array([[scores[family] for family in families] for scores in accuracies.values()])
    average = stats.rankdata(-table, axis=1).mean(0)
    datasets, count = table.shape
    quantile = stats.studentized_range.ppf(0.95, count, np.inf) / 2**0.5
    return Ranking(
        average_ranks={families[index]: float(average[index]) for index in np.argsort(average, kind="stable")},
        datasets=datasets,
        friedman_p=_friedman(table) if count > 2 else None,
        critical_difference=float(quantile * (count * (count + 1) / (6 * datasets)) ** 0.5),
    )


def _friedman(table: np.ndarray) -> float:
    if (table == table[:, :1]).all():  # all tied, where the statistic is 0 / 0
        return 1.0
    return float(stats.friedmanchisquare(*table.T).pvalue)
