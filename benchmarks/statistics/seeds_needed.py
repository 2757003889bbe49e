"""How many seeds would settle a pair that is not distinguished, if its difference and variances are as they look now.

A difference found by luck promises too much, so the number is a plan, not a guarantee. Pairs are allowed for by
Bonferroni's level, which Holm's verdict is never stricter than. The power is averaged over the spreads that few seeds
may happen to show: the textbook's noncentral t, at the expected spread, promises too much of three or four seeds.
"""

import bisect
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from benchmarks.statistics.comparison import Comparison, satterthwaite
from benchmarks.statistics.crossed import TrainingLuck
from benchmarks.statistics.verdicts import EQUIVALENCE_MARGIN, LEVEL, Verdict

POWER = 0.8
MOST_SEEDS = 200
QUANTILES = (np.arange(32) + 0.5) / 32  # of the spread of either family's seeds


@dataclass(frozen=True, kw_only=True)
class SeedsNeeded:
    """The smallest number of seeds a side, and the verdict to expect.

    Attributes:
        seeds: None if no number up to `MOST_SEEDS` does.
        verdict: what these seeds would find with a chance of 80 % or more; None without a number.
        reason: why there is no number; None with one.
    """

    seeds: int | None
    verdict: Verdict | None
    reason: str | None


def seeds_needed(comparison: Comparison, *, pairs: int) -> SeedsNeeded:
    """The number of seeds at which the pair would be established or equivalent, one of `pairs` that are tested."""
    if comparison.training is None:
        return _never("one seed does not tell how much training varies: two a side do")
    level = LEVEL / pairs
    no_luck = TrainingLuck(variance=0.0, flips=0.0)
    if _likely_verdict(replace(comparison, training=(no_luck, no_luck)), level) is None:
        return _never("the test images leave too much uncertain, however many seeds")
    designs = [replace(comparison, seeds=(seeds, seeds)) for seeds in range(2, MOST_SEEDS + 1)]
    first = bisect.bisect_left(designs, True, key=lambda design: _likely_verdict(design, level) is not None)
    if first == len(designs):
        return _never(f"it would take more than {MOST_SEEDS} seeds a side")
    return SeedsNeeded(seeds=designs[first].seeds[0], verdict=_likely_verdict(designs[first], level), reason=None)


def _likely_verdict(design: Comparison, level: float) -> Verdict | None:
    """The verdict that a new experiment, with this one's numbers for the truth, gives with a chance of `POWER`."""
    assert design.training is not None
    first, second = (
        np.maximum(luck.variance * stats.chi2.ppf(QUANTILES, seeds - 1) / (seeds - 1), luck.flips) / seeds
        for luck, seeds in zip(design.training, design.seeds, strict=True)
    )
    terms = (*np.meshgrid(first, second), np.full((len(first), len(second)), design.image_variance))
    errors = np.sqrt(sum(terms))
    freedoms = satterthwaite(terms, seeds=design.seeds, images=design.images)
    found = stats.norm(abs(design.difference), design.standard_error)
    if found.sf(stats.t.isf(level / 2, freedoms) * errors).mean() >= POWER:
        return Verdict.ESTABLISHED
    room = np.maximum(EQUIVALENCE_MARGIN - stats.t.isf(level, freedoms) * errors, 0.0)
    return Verdict.EQUIVALENT if (found.cdf(room) - found.cdf(-room)).mean() >= POWER else None


def _never(reason: str) -> SeedsNeeded:
    return SeedsNeeded(seeds=None, verdict=None, reason=reason)
