"""The bootstrap over seeds and test images together: a second opinion on the intervals of `comparison`.

Each resample draws images, the same for all families, and seeds of each family on its own, and takes the mean over
those seeds and images (the pigeonhole bootstrap: Owen 2007, doi 10.1214/07-AOAS122). Of n seeds n - 1 are drawn, which
makes up for the spread of a few seeds being smaller than that of all (Rao and Wu 1988, JASA 83(401)). It assumes no
distribution. But it counts flips of single images three times, so it is too wide where these decide.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

RESAMPLES = 2000


def bootstrap_accuracies(
    correct: Mapping[str, Bool[np.ndarray, "_ _"]], *, resamples: int = RESAMPLES
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Each family's accuracy in every resample; equal arguments give equal resamples.

    Args:
        correct: by family, whether a seed (row) classifies a test image (column) rightly; at least one seed each.
    """
    rng = np.random.default_rng(0)
    images = next(iter(correct.values())).shape[1]
    drawn = np.stack([np.bincount(rng.integers(0, images, images), minlength=images) for _ in range(resamples)])
    by_images = drawn.astype(np.float32)
    found = {}
    for family, answers in correct.items():
        by_seed = by_images @ answers.T.astype(np.float32) / images  # (resample, seed)
        draws = max(1, len(answers) - 1)
        seeds = rng.multinomial(draws, np.full(len(answers), 1 / len(answers)), resamples)
        found[family] = (by_seed * seeds).sum(1) / draws
    return found


def bootstrap_interval(
    first: Float[np.ndarray, " resamples"], second: Float[np.ndarray, " resamples"]
) -> tuple[float, float]:
    """The 95 % percentile interval of the first family's accuracy less the second's, from the same resamples."""
    low, high = np.quantile(first - second, (0.025, 0.975)).tolist()
    return low, high
