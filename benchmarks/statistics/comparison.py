"""The difference of two families' accuracies on one data set: its 95 % interval, and the tests that go with it.

Paired over images, which both families classify; unpaired over seeds, since seed 3 of one family has nothing to do with
seed 3 of another. The statistic is Student's t on the variance of `crossed`, with Satterthwaite's degrees of freedom,
as Hillis (2007, Statistics in Medicine 26) recommends for several readers and cases.

In these the seeds' variance counts double: three seeds that agree by luck would otherwise pass for many. Simulated at
the level of one pair in 21, the plain formula errs up to 2.4 times too often with three seeds a side and 1.3 times with
five, the double one 1.1 and 0.9 times, for intervals 13 % and 4 % wider. (The quantile of `accuracy` would ask for up
to 20 standard errors there.) Unequal numbers of seeds stay the weak point: equal ones are the better plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy import stats

from benchmarks.statistics.crossed import TrainingLuck, image_variance, training_luck

CAUTION = 2  # how many times seeds count in the degrees of freedom, see the module's docstring


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The first family's mean accuracy less the second's, and what it may vary by. All are fractions.

    Attributes:
        difference: of the mean accuracies.
        seeds: number of seeds of either family.
        images: number of test images.
        training: how far one seed's accuracy varies, for either family; None if one of them has one seed. Then only the
            luck of the test images counts, and what is found holds for these trained networks, not for the families.
        image_variance: of the difference, by the test images.
    """

    difference: float
    seeds: tuple[int, int]
    images: int
    training: tuple[TrainingLuck, TrainingLuck] | None
    image_variance: float

    @property
    def counts_training(self) -> bool:
        """Whether the luck of training is counted beside that of the test images."""
        return self.training is not None

    @property
    def variance(self) -> float:
        """Of the difference of the means."""
        return self.image_variance + sum(self._seed_terms)

    @property
    def standard_error(self) -> float:
        """Of the difference of the means."""
        return self.variance**0.5

    @property
    def degrees_of_freedom(self) -> float:
        """Satterthwaite's: near the number of images where these decide, of seeds where those do."""
        return float(satterthwaite((*self._seed_terms, self.image_variance), seeds=self.seeds, images=self.images))

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference: below 0.05 exactly where the 95 % interval leaves out zero."""
        return float(2 * stats.t.sf(abs(self.difference) / self.standard_error, self.degrees_of_freedom))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference, for this pair alone: not widened for other pairs."""
        half = float(stats.t.ppf(0.975, self.degrees_of_freedom)) * self.standard_error
        return self.difference - half, self.difference + half

    def equivalence_p_value(self, margin: float) -> float:
        """Of a true difference of `margin` or more either way: two one-sided tests (Schuirmann 1987), the larger p."""
        return float(stats.t.sf((margin - abs(self.difference)) / self.standard_error, self.degrees_of_freedom))

    @property
    def _seed_terms(self) -> tuple[float, ...]:
        """What the seeds of either family add to the variance; empty where the luck of training is not counted."""
        if self.training is None:
            return ()
        return tuple(luck.variance / n for luck, n in zip(self.training, self.seeds, strict=True))


def satterthwaite(terms: Sequence[float | np.ndarray], *, seeds: tuple[int, int], images: int) -> float | np.ndarray:
    """Degrees of freedom of a sum of variances: those of the seeds of either family, if any, and of the images."""
    freedoms = (seeds[0] - 1, seeds[1] - 1, images - 1)[-len(terms) :]
    weighed = (*(CAUTION * term for term in terms[:-1]), terms[-1])
    return sum(weighed) ** 2 / sum(term**2 / freedom for term, freedom in zip(weighed, freedoms, strict=True))


def compare_families(
    first: Bool[np.ndarray, "first_seeds images"], second: Bool[np.ndarray, "second_seeds images"]
) -> Comparison:
    """Compares two families on the same test images, in the same order; their numbers of seeds may differ."""
    images = first.shape[1]
    seeds = (len(first), len(second))
    training, flips = None, 0.0
    if min(seeds) > 1:
        training = (training_luck(first), training_luck(second))
        flips = sum(luck.flips / n for luck, n in zip(training, seeds, strict=True))
    rates = first.mean(0) - second.mean(0)
    return Comparison(
        difference=float(rates.mean()),
        seeds=seeds,
        images=images,
        training=training,
        # Half an image more that only the first gets right, and half that only the second does (Agresti and Min 2005):
        # so networks that never differ on these images are not taken for equal on all.
        image_variance=image_variance(rates, flips=flips) + 1 / images**2,
    )
