"""How far apart two accuracies must lie before the difference means something."""

from collections.abc import Sequence
from math import hypot

from scipy import stats

from jax_models.evaluation import wilson_interval


def margin(best: float, images: int, *, spreads: Sequence[tuple[int, float | None]]) -> float:
    """The smallest difference to the accuracy `best` that runs on one data set can establish, as a fraction.

    `spreads` holds, per family, the number of seeds and the standard deviation of their accuracies (None for one seed).

    Test images: half the width of Newcombe's 95 % interval for the difference of two equal proportions (1998, method
    10), that is two Wilson intervals added in quadrature. Seeds: Student's 95 % half-width for a difference of two
    means, from the spread within families pooled over all of them; left out where every family has one seed. The two
    are added in quadrature. The families share their test images, which a paired test would use: so this margin is
    cautious about the images. With one seed it is silent about the luck of training.
    """
    low, high = wilson_interval(best, images)
    half_width = hypot(best - low, high - best)
    freedom = sum(n - 1 for n, _ in spreads)
    if freedom == 0:
        return half_width
    variance = sum((n - 1) * std**2 for n, std in spreads if std is not None) / freedom
    fewest = min(n for n, _ in spreads)
    return hypot(half_width, float(stats.t.ppf(0.975, freedom)) * (2 * variance / fewest) ** 0.5)
