"""Which pixels a network's choice hangs on: input gradients (arXiv 1312.6034) and SmoothGrad (arXiv 1706.03825).

Not Grad-CAM (arXiv 1610.02391), which enlarges the last feature map: that of VGG-16 at 32x32 is 2x2 or 1x1 and could
point nowhere, and of those of the others, 4x4 to 10x10, each would be blurred differently.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from scipy import ndimage

from benchmarks.probes.classifier import Classifier, border_width, logits, picture_mask, to_pixels
from jax_models.compilation import jit
from jax_models.training.state import Network

SAMPLES = 32
NOISE = 0.15  # of each image's range; the paper recommends 10 to 20 %
BRIGHTEST = 99  # percentile that becomes 1, as in the paper: few outliers would leave all else dark
SCALE, GUTTER = 3, 6  # of the gallery: pixels of the figure a pixel, and between images

Heat = Float[np.ndarray, "n h w"]


def input_gradient(
    classifier: Classifier, images: UInt8[np.ndarray, "n h w c"], *, classes: Int[np.ndarray, " n"] | None = None
) -> Heat:
    """How strongly each pixel moves the logit of a class, by default the chosen one; 0..1, of the images' own size."""
    pixels, targets = to_pixels(images), _targets(classifier, images, classes)
    return _as_heat(_gradient()(classifier.network, classifier.variables, pixels, targets), classifier)


def smoothgrad(
    classifier: Classifier,
    images: UInt8[np.ndarray, "n h w c"],
    *,
    classes: Int[np.ndarray, " n"] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Heat:
    """`input_gradient`, as the mean over noisy copies of the images; the same every time for a seed.

    A single gradient flickers from one pixel to the next, as ReLUs switch; the mean keeps what neighbours agree on.
    """
    pixels, targets = to_pixels(images), _targets(classifier, images, classes)
    rng, mask = np.random.default_rng(seed), picture_mask(classifier.spec)
    deviation = NOISE * mask * np.ptp(pixels, axis=(1, 2, 3), keepdims=True)
    total = jnp.zeros(pixels.shape)
    for _ in range(samples):
        noisy = pixels + deviation * rng.standard_normal(pixels.shape, np.float32)
        total += _gradient()(classifier.network, classifier.variables, noisy, targets)
    return _as_heat(total, classifier)


def saliency_gallery(
    classifiers: Sequence[Classifier], images: UInt8[np.ndarray, "n h w c"]
) -> UInt8[np.ndarray, "height width 3"]:
    """A row for each image: the image, then beside it what each network looked at, by `smoothgrad`, laid over it.

    For the eye the heat is blurred by one pixel: a stem of stride 2 reads some rows and columns more often than others,
    and their grid would hide the rest.
    """
    grey = images.mean(axis=-1, keepdims=True) / 255
    columns = [np.broadcast_to(images / 255, (*images.shape[:3], 3))]
    for classifier in classifiers:
        heat = ndimage.gaussian_filter(smoothgrad(classifier, images), (0, 1, 1))
        heat /= np.maximum(heat.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
        glow = matplotlib.colormaps["inferno"](heat)[..., :3]
        columns.append((1 - heat[..., None]) * 0.45 * grey + heat[..., None] * glow)
    cells = np.rint(255 * np.stack(columns, axis=1)).astype(np.uint8).repeat(SCALE, axis=2).repeat(SCALE, axis=3)
    framed = np.pad(cells, ((0, 0), (0, 0), (0, GUTTER), (0, GUTTER), (0, 0)), constant_values=255)
    rows, count, height, width, _ = framed.shape
    sheet = framed.transpose(0, 2, 1, 3, 4).reshape(rows * height, count * width, 3)
    return sheet[:-GUTTER, :-GUTTER]


@functools.cache
def _gradient() -> Callable[..., Any]:
    return jit(_gradient_of_class, static_argnums=0)


def _gradient_of_class(
    network: Network, variables: tuple[Any, ...], pixels: Float[Array, "b h w c"], classes: Int[Array, " b"]
) -> Float[Array, "b h w c"]:
    def score(pixels: Float[Array, "b h w c"]) -> Float[Array, ""]:
        return jnp.take_along_axis(logits(network, variables, pixels), classes[:, None], axis=-1).sum()

    return jax.grad(score)(pixels)


def _targets(
    classifier: Classifier, images: UInt8[np.ndarray, "n h w c"], classes: Int[np.ndarray, " n"] | None
) -> Int[np.ndarray, " n"]:
    return classifier.probabilities(images).argmax(-1) if classes is None else classes


def _as_heat(gradient: Float[Array, "n 32 32 c"], classifier: Classifier) -> Heat:
    """The strongest channel of each pixel, without the border, scaled by image."""
    border = border_width(classifier.spec)
    inner = slice(border, -border or None)
    strength = np.abs(np.asarray(gradient))[:, inner, inner].max(axis=-1)
    brightest = np.percentile(strength, BRIGHTEST, axis=(1, 2), keepdims=True)
    highest = strength.max(axis=(1, 2), keepdims=True)  # counts where fewer pixels matter than are cut off
    scale = np.select((brightest > 0, highest > 0), (brightest, highest), default=1.0)
    return (strength / scale).clip(0, 1).astype(np.float32)
