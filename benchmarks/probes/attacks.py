"""Accuracy on images that were changed to fool the network, no pixel by more than epsilon (L-infinity, white box).

FGSM takes one step (arXiv 1412.6572), PGD several from a random start (arXiv 1706.06083). Both follow the sign of the
gradient, and both leave the black border around small images as it is (see `classifier.picture_mask`).
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from benchmarks.probes.classifier import Classifier, logits, picture_mask, to_pixels
from jax_models.checks import check_at_least
from jax_models.compilation import jit
from jax_models.data import Split
from jax_models.training.state import Network

# In units of the 0..1 range. The largest is the literature's (arXiv 1706.06083 for MNIST and CIFAR-10), for networks
# that were trained against attacks; those that were not still differ at the smaller ones.
EPSILONS: Mapping[str, tuple[float, ...]] = {
    "mnist": (0.05, 0.1, 0.3),
    "fashion_mnist": (0.01, 0.03, 0.1),
    "cifar10": (1 / 255, 2 / 255, 8 / 255),
}
PGD_STEPS = 10
REACH = 2.5  # steps of 2.5 epsilon / steps reach all of the ball from any start and can turn at its edge (1706.06083)
BATCH_SIZE = 250

Pixels = Float[np.ndarray, "n h w c"]


def attacked_accuracy(
    classifier: Classifier,
    sample: Split,
    *,
    epsilons: Sequence[float] | None = None,
    steps: int = PGD_STEPS,
    seed: int = 0,
) -> dict[str, Any]:
    """Accuracy on `sample` under both attacks by epsilon, as fractions, ready for JSON; epsilons as in `EPSILONS`.

    An image counts as right if it is so before the attack and after it: what is wrong already needs no attacker.
    """
    epsilons = EPSILONS[classifier.spec.name] if epsilons is None else epsilons
    images, labels = sample.images, sample.labels
    clean = is_right(classifier, to_pixels(images), labels)

    def accuracy(attacked: Pixels) -> float:
        return float(np.mean(clean & is_right(classifier, attacked, labels)))

    by_pgd = functools.partial(pgd, classifier, images, labels, steps=steps, seed=seed)
    return {
        "count": len(sample),
        "clean_accuracy": float(np.mean(clean)),
        "steps": steps,
        "epsilons": list(epsilons),
        "fgsm": [accuracy(fgsm(classifier, images, labels, epsilon=epsilon)) for epsilon in epsilons],
        "pgd": [accuracy(by_pgd(epsilon=epsilon)) for epsilon in epsilons],
    }


def fgsm(
    classifier: Classifier, images: UInt8[np.ndarray, "n h w c"], labels: Int[np.ndarray, " n"], *, epsilon: float
) -> Float[np.ndarray, "n 32 32 c"]:
    """Images after one step of length epsilon, padded, in 0..1."""
    pixels = to_pixels(images)
    return _climb(classifier, pixels, pixels, labels, epsilon=epsilon, step_size=epsilon, steps=1)


def pgd(
    classifier: Classifier,
    images: UInt8[np.ndarray, "n h w c"],
    labels: Int[np.ndarray, " n"],
    *,
    epsilon: float,
    steps: int = PGD_STEPS,
    seed: int = 0,
) -> Float[np.ndarray, "n 32 32 c"]:
    """Images after steps from a random start within epsilon, padded, in 0..1; the same every time for a seed."""
    check_at_least(1, "steps", steps)
    pixels = to_pixels(images)
    noise = np.random.default_rng(seed).uniform(-epsilon, epsilon, pixels.shape).astype(np.float32)
    start = (pixels + noise * picture_mask(classifier.spec)).clip(0, 1)
    step_size = REACH * epsilon / steps
    return _climb(classifier, start, pixels, labels, epsilon=epsilon, step_size=step_size, steps=steps)


def is_right(classifier: Classifier, pixels: Pixels, labels: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether the network's first choice for each image, padded and in 0..1, is its label."""
    score = _compiled(logits)
    scores = [score(classifier.network, classifier.variables, batch) for (batch,) in _batches(classifier, pixels)]
    return np.concatenate(jax.device_get(scores))[: len(labels)].argmax(-1) == labels


def _climb(
    classifier: Classifier,
    start: Pixels,
    clean: Pixels,
    labels: Int[np.ndarray, " n"],
    *,
    epsilon: float,
    step_size: float,
    steps: int,
) -> Float[np.ndarray, "n 32 32 c"]:
    """A plain loop over one compiled step: on a CPU convolutions inside a loop of XLA's are slow (jax issue 12868)."""
    step, variables, mask = _compiled(_step), classifier.variables, jnp.asarray(picture_mask(classifier.spec))
    climbed = []
    for pixels, origin, targets in _batches(classifier, start, clean, labels):
        for _ in range(steps):
            pixels = step(classifier.network, variables, pixels, origin, targets, step_size * mask, epsilon)
        climbed.append(pixels)
    return np.concatenate(jax.device_get(climbed))[: len(labels)]


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return jit(function, static_argnums=0)


def _step(
    network: Network,
    variables: tuple[Any, ...],
    pixels: Float[Array, "b h w c"],
    clean: Float[Array, "b h w c"],
    labels: Int[Array, " b"],
    steps: Float[Array, "1 h w 1"],
    epsilon: Float[Array, ""],
) -> Float[Array, "b h w c"]:
    """One step uphill, back into the ball and into 0..1."""
    gradient = jax.grad(lambda pixels: _wrongness(logits(network, variables, pixels), labels).sum())(pixels)
    moved = pixels + steps * jnp.sign(gradient)
    return jnp.clip(jnp.clip(moved, clean - epsilon, clean + epsilon), 0, 1)


def _wrongness(scores: Float[Array, "b k"], labels: Int[Array, " b"]) -> Float[Array, " b"]:
    """By how much all other classes together lead the true one, in nats.

    The gradient of cross-entropy is this one's times the probability of being wrong: the same signs, but of a confident
    network that probability rounds to 0, which would hide the way from the attack (arXiv 1802.00420).
    """
    true = jax.nn.one_hot(labels, scores.shape[-1], dtype=bool)
    others = jax.nn.logsumexp(scores, axis=-1, where=~true)
    return others - jnp.sum(scores, axis=-1, where=true)


def _batches(classifier: Classifier, *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Arrays cut alike along their first axis; the last pieces are filled up with zeros, for the caller to cut off."""
    count = len(arrays[0])
    size = min(classifier.network.examples_at_once or BATCH_SIZE, count)
    for start in range(0, count, size):
        pieces = [array[start : start + size] for array in arrays]
        yield tuple(np.pad(piece, [(0, size - len(piece))] + [(0, 0)] * (piece.ndim - 1)) for piece in pieces)
