"""Convolution and pooling as plain functions: the one file that decides in which form they run.

On GPU and TPU everything is `lax.conv_general_dilated` and `lax.reduce_window`. On the CPU, each operation takes the
form that was fastest in the training steps of the seven families (`python -m benchmarks.speed --modes train --eager`),
if compiled by `jax_models.compilation.jit`: XLA (jaxlib 0.10) is fast for a few shapes, and oneDNN for most where it is
installed (`jax_models.onednn`; without it, the forms below it):

| operation                                   | form on the CPU                                                       |
|---------------------------------------------|-----------------------------------------------------------------------|
| depthwise, 2^20 numbers or more, oneDNN     | oneDNN                                                                |
| depthwise                                   | one multiply-add per kernel tap                                       |
| 1x1, 1 GFLOP or more, many rows, oneDNN     | oneDNN                                                                |
| 1x1                                         | matrix product                                                        |
| 3x3, stride 1, 150 MFLOP or more, oneDNN    | oneDNN by Winograd's algorithm, F(4x4, 3x3), if tiles are many enough |
| other, groups = 1, 50 MFLOP or more, oneDNN | oneDNN                                                                |
| unpadded, at most 8 channels, oneDNN        | oneDNN, with pairs of neighbours as channels, if rows are even        |
| unpadded, at most 16 channels, oneDNN       | oneDNN                                                                |
| strided, or window > image                  | patches (im2col), then a matrix product                               |
| unpadded, at most 16 channels in and out    | banded: rows of the image as channels of a convolution over its height |
| at most 16 channels in                      | `lax.conv`                                                            |
| other, groups = 1                           | `lax.conv`; for the weight gradient images and gradients change roles |
| other groups                                | `lax.conv`                                                            |
| max-pooling                                 | maximum of the taps; the gradient reads which tap won                 |

Winograd's algorithm is that of arXiv 1509.09308. Every form gives the same result up to rounding:
`tests/jax_models/test_lowering.py` holds each to `lax.conv_general_dilated`, in value and both gradients.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

from jax_models import onednn

# The weight gradient of 3 to 64 channels, 3x3, 32x32, batch 128, takes 6.5 ms as JAX derives it and 23.5 with the roles
# changed; from 16 channels on the two take the same time alone, and the second less in a whole network.
FEW_CHANNELS = 16

# A call of oneDNN costs more than its work. With 2.5e8 for this, AlexNet's quick training step takes 27.9 ms for 22.2
# on two cores and 41.0 for 35.2 on one, those of the ResNets and GoogLeNet the same on two and more on one (SE-
# ResNet-18: 72.6 for 65.7); one image at full width 23.9 for 31.0 (GoogLeNet) and 14.6 for 12.6 (ResNet-18).
# LeNet-5's small ones are faster by it at any size: an image takes 0.10 ms, and 0.36 by XLA.
LARGE_CONVOLUTION = 5e7  # FLOP

# Alone, oneDNN takes a half to a tenth of the time of the taps (weight gradient of 728 channels, 4x4, batch 128: 0.4 ms
# for 3.3), but its call keeps XLA from doing anything else meanwhile: below this size of images no network gains.
LARGE_DEPTHWISE = 2**20

# XLA's matrix product is as fast, except for the weight gradient of many rows and few channels: 192 to 64 channels,
# 32x32, batch 128, takes it 32.6 ms, and oneDNN 14.4; 728 to 728, 4x4, 10.9 both.
LARGE_PRODUCT, MOST_CHANNELS_PER_ROW = 1e9, 32  # FLOP; input times output channels

# Winograd's algorithm multiplies 36 numbers where the sum of 3x3 taps takes 144. All three directions, 128 images: 512
# to 512 channels, 4x4, take 57 ms for 116; 64 to 64, 32x32, 80 for 135; but 16 to 32, 20.0 for 17.9. One image, 16x16,
# 160 to 320, which are too few tiles for the kernel's transform: 4.2 ms for 3.6. Its errors against float64 are 1 to 2
# times those of the sum (0.5 for some weight gradients).
LARGE_WINOGRAD, TILE, MANY_TILES = 1.5e8, 4, 64  # FLOP of the sum; pixels, squared, that it computes at once
LEAST_MEAN_CHANNELS = 32  # harmonic mean of those in and out
MOST_NUMBERS = 2**27  # of images and features, of which it needs copies and transforms: up to 1.7 GB

Pairs = Sequence[tuple[int, int]]
Pads = tuple[tuple[int, int], tuple[int, int]]
Images = Float[Array, "b h w c"]
Kernel = Float[Array, "kh kw i o"]

_plain = contextvars.ContextVar("plain", default=False)


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Inside, every function here traces to the plain XLA operation: to count FLOPs and to compare forms."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def _for_cpu() -> bool:
    return jax.default_backend() == "cpu" and not _plain.get()


def conv(
    images: Images,
    kernel: Kernel,
    *,
    strides: tuple[int, int] = (1, 1),
    padding: str | Pairs = "SAME",
    groups: int = 1,
) -> Float[Array, "b y x o"]:
    """Cross-correlates NHWC images with an HWIO kernel; `padding`: "SAME", "VALID", ((top, bottom), (left, right))."""
    pads = _pads(images.shape[1:3], kernel.shape[:2], strides, padding)
    if not _for_cpu():
        return _lax_conv(images, kernel, strides, pads, groups)
    geometry = onednn.Geometry(images.shape, kernel.shape, strides, pads, images.dtype.name, groups)
    if images.dtype == kernel.dtype and _suits_onednn(geometry) and onednn.available():
        if _suits_pairs(geometry) and onednn.supports(_of_pairs(geometry)):
            return _conv_of_pairs(geometry, images, kernel)
        by_winograd = geometry._replace(algorithm="winograd")
        if _suits_winograd(geometry) and onednn.supports(by_winograd):
            return onednn.conv(by_winograd, images, kernel)
        if onednn.supports(geometry):
            return onednn.conv(geometry, images, kernel)
    if geometry.depthwise:
        return _depthwise(_pad(images, pads), kernel, strides)
    if groups > 1:
        return _lax_conv(images, kernel, strides, pads, groups)
    if kernel.shape[:2] == (1, 1):
        return _matmul(_pad(images, pads)[:, :: strides[0], :: strides[1]], kernel[0, 0])
    if strides != (1, 1) or kernel.shape[0] > images.shape[1] or kernel.shape[1] > images.shape[2]:
        patches = _patches(_pad(images, pads), kernel.shape[:2], strides)
        return _matmul(patches, kernel.reshape(-1, kernel.shape[-1]))
    if _suits_rows(geometry):
        return _banded_conv(images, kernel)
    if kernel.shape[2] <= FEW_CHANNELS:
        return _lax_conv(images, kernel, (1, 1), pads)
    return _unit_conv(images, kernel, pads)


def _suits_onednn(geometry: onednn.Geometry) -> bool:
    """Whether a network is faster by it than by XLA's forms."""
    if geometry.depthwise:
        return math.prod(geometry.images) >= LARGE_DEPTHWISE
    if geometry.groups > 1:
        return False
    if geometry.kernel[:2] == (1, 1):
        rows, weights = math.prod(geometry.features[:3]), math.prod(geometry.kernel)
        return geometry.flops >= LARGE_PRODUCT and weights <= MOST_CHANNELS_PER_ROW * rows
    return geometry.flops >= LARGE_CONVOLUTION or _suits_rows(geometry)


def _suits_winograd(geometry: onednn.Geometry) -> bool:
    """Whether its transforms of images, kernel and features cost less than the multiplications that they save."""
    b, y, x, o = geometry.features
    i = geometry.images[3]
    tiles = -(-y // TILE) * -(-x // TILE)
    return (
        (geometry.kernel[:2], geometry.strides, geometry.groups) == ((3, 3), (1, 1), 1)
        and geometry.flops >= LARGE_WINOGRAD
        and b * tiles >= MANY_TILES
        and 2 * y * x >= tiles * TILE**2  # at least half of what the tiles give is asked for
        and 2 * i * o >= LEAST_MEAN_CHANNELS * (i + o)
        and math.prod(geometry.images) + math.prod(geometry.features) <= MOST_NUMBERS
    )


def _suits_rows(geometry: onednn.Geometry) -> bool:
    """LeNet-5's: stride 1, unpadded, few channels."""
    unpadded = geometry.strides == (1, 1) and geometry.pads == ((0, 0), (0, 0))
    return unpadded and max(geometry.kernel[2:]) <= FEW_CHANNELS


def _suits_pairs(geometry: onednn.Geometry) -> bool:
    """Whether twice as many channels are still few, and rows have an even length, before and after."""
    even = geometry.images[2] % 2 == 0 and geometry.features[2] % 2 == 0
    return even and _suits_rows(geometry) and max(geometry.kernel[2:]) <= FEW_CHANNELS // 2


def _of_pairs(geometry: onednn.Geometry) -> onednn.Geometry:
    """The same convolution, with pairs of neighbours in a row as channels."""
    (b, h, w, i), (kh, kw, _, o) = geometry.images, geometry.kernel
    return geometry._replace(images=(b, h, w // 2, 2 * i), kernel=(kh, (kw + 1) // 2, 2 * i, 2 * o))


def _conv_of_pairs(geometry: onednn.Geometry, images: Images, kernel: Kernel) -> Float[Array, "b y x o"]:
    """By pairs, because oneDNN computes 16 channels at once, however few there are.

    A pair of results sees one pixel more than one of them: its kernel is the given one at either end of that window.
    """
    paired = _of_pairs(geometry)
    both = [jnp.pad(kernel, ((0, 0), (left, 1 - left), (0, 0), (0, 0))) for left in (0, 1)]
    pairs = jnp.stack(both, axis=3).reshape(paired.kernel)
    features: Any = onednn.conv(paired, images.reshape(paired.images), pairs)
    return features.reshape(geometry.features)


def max_pool(
    images: Images, window: tuple[int, int], *, strides: tuple[int, int] | None = None, padding: str | Pairs = "VALID"
) -> Float[Array, "b y x c"]:
    """Largest value under each window; `strides` defaults to the window."""
    strides = strides or window
    pads = _pads(images.shape[1:3], window, strides, padding)
    if not _for_cpu():
        return lax.reduce_window(images, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), ((0, 0), *pads, (0, 0)))
    return _max_pool(_pad(images, pads, value=-jnp.inf), window, strides)  # XLA's gradient is a slow scatter


def _pads(size: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: str | Pairs) -> Pads:
    pairs = lax.padtype_to_pads(size, window, strides, padding) if isinstance(padding, str) else padding
    (top, bottom), (left, right) = pairs
    return (int(top), int(bottom)), (int(left), int(right))


def _pad(images: Images, pads: Pairs, *, value: float = 0.0) -> Float[Array, "b y x c"]:
    edges = ((0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0))
    return lax.pad(images, jnp.asarray(value, images.dtype), edges)


def _lax_conv(images, kernel, strides, pads, groups=1) -> Float[Array, "b y x o"]:
    return lax.conv_general_dilated(
        images, kernel, strides, pads, feature_group_count=groups, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _taps(images: Shaped[Array, "b h w c"], window: Sequence[int], strides: Sequence[int]) -> list[Array]:
    """What each position of the window sees, row by row: window[0] * window[1] strided slices."""
    b, h, w, c = images.shape
    y, x = (h - window[0]) // strides[0] + 1, (w - window[1]) // strides[1] + 1
    return [
        lax.slice(
            images,
            (0, i, j, 0),
            (b, i + (y - 1) * strides[0] + 1, j + (x - 1) * strides[1] + 1, c),
            (1, *strides, 1),
        )
        for i in range(window[0])
        for j in range(window[1])
    ]


def _patches(images: Images, window: Sequence[int], strides: Sequence[int]) -> Float[Array, "b y x p"]:
    return jnp.concatenate(_taps(images, window, strides), axis=-1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_pool(images, window, strides):
    """Largest value under each window of padded images; its gradient reads which tap that was, a byte each."""
    return functools.reduce(jnp.maximum, _taps(images, window, strides))


def _max_pool_forward(images, window, strides):
    largest, *others = _taps(images, window, strides)
    chosen = jnp.zeros(largest.shape, jnp.int8 if len(others) < 128 else jnp.int32)
    for number, tap in enumerate(others, start=1):
        chosen = jnp.where(tap > largest, jnp.asarray(number, chosen.dtype), chosen)  # the first of equals wins
        largest = jnp.maximum(largest, tap)
    return largest, (chosen, images.shape)


def _max_pool_backward(window, strides, residuals, grads):
    chosen, shape = residuals
    if window == strides and shape[-1] >= FEW_CHANNELS:
        return (_into_windows(grads, chosen, shape, window),)
    grads, chosen = (_spread(array, shape, window, strides, value) for array, value in ((grads, 0), (chosen, -1)))
    pairs = zip(_taps(grads, window, (1, 1)), _taps(chosen, window, (1, 1)), strict=True)
    return (sum(tap * (number == at) for at, (tap, number) in enumerate(reversed(list(pairs)))),)


def _into_windows(grads: Array, chosen: Array, shape: Sequence[int], window: Sequence[int]) -> Array:
    """Puts each gradient where the chosen tap of its window lies, in padded images of a shape; windows do not overlap.

    One pass, which XLA vectorises over channels, if there are many: VGG-16's quick training step takes 49 ms so, and 53
    with the sum over taps that overlapping windows need; of LeNet-5's first, of 6 channels, it is 3 ms instead of 1.
    """
    b, y, x, c = grads.shape
    numbers = np.arange(math.prod(window), dtype=chosen.dtype).reshape(1, 1, window[0], 1, window[1], 1)
    grads, chosen = (array[:, :, None, :, None] for array in (grads, chosen))
    images = jnp.where(chosen == numbers, grads, 0).reshape(b, y * window[0], x * window[1], c)
    rest = ((0, size - used, 0) for size, used in zip(shape[1:3], images.shape[1:3], strict=True))
    return lax.pad(images, jnp.zeros((), images.dtype), ((0, 0, 0), *rest, (0, 0, 0)))


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _spread(array: Array, shape: Sequence[int], window: Sequence[int], strides: Sequence[int], value: int) -> Array:
    """Puts what came of each window where the window's last tap lies, in padded images of a shape; `value` elsewhere.

    A window moved over the result sees at tap t, counted backwards, what came of the window whose tap t it is.
    """
    edges = [
        (k - 1, size - 1 - (n - 1) * stride, stride - 1)
        for size, n, stride, k in zip(shape[1:3], array.shape[1:3], strides, window, strict=True)
    ]
    return lax.pad(array, jnp.asarray(value, array.dtype), ((0, 0, 0), *edges, (0, 0, 0)))


def _matmul(features: Float[Array, "b y x i"], weights: Float[Array, "i o"]) -> Float[Array, "b y x o"]:
    """Matrix product over the last axis, as a product of two-axis matrices in both directions."""
    return _matrix_product(features.reshape(-1, features.shape[-1]), weights).reshape(*features.shape[:-1], -1)


@jax.custom_vjp
def _matrix_product(rows, weights):
    return rows @ weights


def _matrix_product_forward(rows, weights):
    return rows @ weights, (rows, weights)


def _matrix_product_backward(residuals, grads):
    rows, weights = residuals
    # JAX's own gradient is this product transposed, for which XLA copies `grads` into another layout first.
    weight_grads = lax.dot_general(rows, grads, (((0,), (0,)), ((), ())))
    return grads @ weights.T, weight_grads


_matrix_product.defvjp(_matrix_product_forward, _matrix_product_backward)


def _by_rows(images: Images, kernel: Kernel) -> Float[Array, "b y x o"]:
    """Rows as channels: the kernel, repeated along the band of a matrix, takes whole rows to whole rows."""
    b, h, w, i = images.shape
    kh, kw, _, o = kernel.shape
    x = w - kw + 1
    band = np.stack([np.eye(w, x, -tap, dtype=np.float32) for tap in range(kw)])
    matrix = jnp.einsum("kwx,ykio->ywixo", band.astype(kernel.dtype), kernel).reshape(kh, 1, w * i, x * o)
    rows = _lax_conv(images.reshape(b, h, 1, w * i), matrix, (1, 1), ((0, 0), (0, 0)))
    return rows.reshape(b, h - kh + 1, x, o)


@jax.custom_vjp
def _banded_conv(images, kernel):
    """An unpadded convolution by rows. LeNet-5's first, batch 128, takes 2.3 ms so, and 7.9 by `lax.conv`."""
    return _by_rows(images, kernel)


def _banded_conv_forward(images, kernel):
    return _by_rows(images, kernel), (images, kernel)


def _banded_conv_backward(residuals, grads):
    images, kernel = residuals
    _, to_images = jax.vjp(lambda images: _by_rows(images, kernel), images)
    _, to_kernel = jax.vjp(lambda kernel: _lax_conv(images, kernel, (1, 1), ((0, 0), (0, 0))), kernel)  # the faster one
    return *to_images(grads), *to_kernel(grads)


_banded_conv.defvjp(_banded_conv_forward, _banded_conv_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _unit_conv(images, kernel, pads):
    """Stride-1 convolution whose gradients are convolutions that XLA's CPU backend runs fast."""
    return _lax_conv(images, kernel, (1, 1), pads)


def _unit_conv_forward(images, kernel, pads):
    return _unit_conv(images, kernel, pads), (images, kernel)


def _unit_conv_backward(pads, residuals, grads):
    images, kernel = residuals
    kh, kw = kernel.shape[:2]
    back = tuple((size - 1 - low, size - 1 - high) for size, (low, high) in zip((kh, kw), pads, strict=True))
    image_grads = _lax_conv(grads, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), (1, 1), back)
    # `grads` are in memory, while XLA would make `images` anew, by batch norm and ReLU, in each layout asked for: so
    # `grads` take the part of the images, whose transpose is the dear one, and the taps come in reverse.
    reversed_grads = _lax_conv(grads.transpose(3, 1, 2, 0), images.transpose(1, 2, 0, 3), (1, 1), back)
    return image_grads, jnp.flip(reversed_grads, (1, 2)).transpose(1, 2, 3, 0)


_unit_conv.defvjp(_unit_conv_forward, _unit_conv_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _depthwise(images, kernel, strides):
    """Depthwise convolution of padded images as one multiply-add per kernel tap."""
    weights = kernel.reshape(-1, kernel.shape[-1])
    return sum(
        tap * weight
        for tap, weight in zip(_taps(images, kernel.shape[:2], strides), weights[:, None, None, None], strict=True)
    )


def _depthwise_forward(images, kernel, strides):
    return _depthwise(images, kernel, strides), (images, kernel)


def _depthwise_backward(strides, residuals, grads):
    images, kernel = residuals
    kh, kw = kernel.shape[:2]
    # Rows are added one by one, which is fast, before XLA's slow sum over the leading axes of a product.
    kernel_grads = jnp.stack([_sum_rows(tap, grads).sum((0, 1)) for tap in _taps(images, (kh, kw), strides)])
    spread = _spread(grads, images.shape, (kh, kw), strides, 0)
    image_grads = _depthwise(spread, jnp.flip(kernel, (0, 1)), (1, 1))
    return image_grads, kernel_grads.reshape(kernel.shape)


def _sum_rows(images: Images, grads: Images) -> Float[Array, "b w c"]:
    return functools.reduce(jnp.add, (images[:, row] * grads[:, row] for row in range(images.shape[1])))


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)
