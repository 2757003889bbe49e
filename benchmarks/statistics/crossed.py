"""How far an accuracy varies with the training seed and with the test images, told apart.

Every seed of a family classifies every test image, so seeds and images are crossed, and both are drawn by luck: another
seed, or other images, would have given another accuracy. The design is that of radiology's studies of several readers
and several cases, with seeds for readers and images for cases, and so are the estimates: the mean squares of a two-way
analysis of variance. With seed effects a, image effects b and the rest e of a correct or wrong answer, the variance of
the mean over S seeds and N images is

    a²/S + b²/N + e²/(S N).

The spread of the seeds' accuracies estimates a² + e²/N, the spread of the images' means b² + e²/S. Summed up they count
e² twice, as does a bootstrap that resamples seeds and images (Owen 2007, "The pigeonhole bootstrap", doi
10.1214/07-AOAS122); here the residual's mean square is taken off once. Tests and intervals rest on this closed form and
on Student's t, not on a bootstrap: its percentiles know nothing of how poorly three seeds tell a spread, and 2,000
resamples barely resolve the p-values of 0.002 that 21 pairs ask for. (Bouthillier et al. 2021, arXiv 2103.03098,
measure how much each source of luck weighs.)
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from jax_models.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class TrainingLuck:
    """How much the accuracy of one trained network varies with its seed, on fixed test images.

    Attributes:
        variance: of one seed's accuracy, estimated from the spread over seeds and never less than `flips`.
        flips: the part that seeds would show if each image's answer varied on its own, e²/N in the module's terms.
            Networks trained to the end vary little more than that (Jordan 2023, arXiv 2304.01910), and thousands of
            images tell it precisely: so it is a floor under the spread of a few seeds that agree by luck.
    """

    variance: float
    flips: float


def training_luck(correct: Bool[np.ndarray, "seeds images"]) -> TrainingLuck:
    """The variance over at least two seeds of one family."""
    seeds, images = correct.shape
    between_seeds = float(correct.mean(1).var(ddof=1))
    rates = correct.mean(0)
    residual = seeds * (rates * (1 - rates)).sum() / (seeds - 1) - images * between_seeds
    flips = max(0.0, float(residual) / (images - 1) / images)
    return TrainingLuck(variance=max(between_seeds, flips), flips=flips)


def image_variance(rates: Float[np.ndarray, " images"], *, flips: float) -> float:
    """Variance of the mean of `rates` by the choice of test images alone.

    `rates` holds each image's share of right answers over seeds, or the difference of two families' shares. `flips` is
    the part of its variance that is luck of training and counted there: the sum of `TrainingLuck.flips` over seeds.
    """
    return max(0.0, float(rates.var(ddof=1)) / rates.size - flips)


def check_correct(correct: Bool[np.ndarray, "seeds images"]) -> None:
    """Raises a `UsageError` unless there is a seed and there are two images."""
    seeds, images = correct.shape
    if seeds < 1 or images < 2:
        raise UsageError(f"accuracies need at least one seed and two test images, got {seeds} and {images}")
