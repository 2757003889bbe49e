"""Convolution and pooling as plain functions: the one file that decides in which form they run.

On GPU and TPU everything is `lax.conv_general_dilated` and `lax.reduce_window`. On the CPU, XLA is fast for some shapes
only (jaxlib 0.10: stride 1, more than 16 channels, an image larger than the window; weight gradients want the batch in
slices), so there each convolution takes the form that was fastest:

| convolution                     | form on the CPU                                             |
|---------------------------------|-------------------------------------------------------------|
| depthwise                       | one multiply-add per kernel tap                             |
| 1x1                             | matrix product                                              |
| strided, or window > image      | patches (im2col), then a matrix product                     |
| other, groups = 1               | `lax.conv`; weight gradient summed over slices of the batch |
| other groups                    | `lax.conv`                                                  |

Every form computes the same sums: `tests/jax_models/test_lowering.py` holds each to `lax.conv_general_dilated`, in
value and both gradients.
"""

import contextlib
import contextvars
import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Images in a slice of the weight gradient, for images of more rows than the first number; smaller ones go at once. The
# step of the full ResNet-18, batch 128, takes 1.99 s with 4, 8 and 32; 1.95 with 4, 8 and 16, and longer to compile;
# 2.16 with 8, 8 and 32; 2.04 with 2, 8 and 16 (medians of 4 in a process each, 2 cores).
SLICES = ((16, 4), (8, 8), (4, 32))
MOST_SLICES = 32  # each is compiled for itself

Pairs = Sequence[tuple[int, int]]
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
    if groups == images.shape[-1] == kernel.shape[-1] and groups > 1:
        return _depthwise(_pad(images, pads), kernel, strides)
    if groups > 1:
        return _lax_conv(images, kernel, strides, pads, groups)
    if kernel.shape[:2] == (1, 1):
        return _matmul(_pad(images, pads)[:, :: strides[0], :: strides[1]], kernel[0, 0])
    if strides != (1, 1) or kernel.shape[0] > images.shape[1] or kernel.shape[1] > images.shape[2]:
        patches = _patches(_pad(images, pads), kernel.shape[:2], strides)
        return _matmul(patches, kernel.reshape(-1, kernel.shape[-1]))
    return _sliced_conv(images, kernel, pads)


def max_pool(
    images: Images, window: tuple[int, int], *, strides: tuple[int, int] | None = None, padding: str | Pairs = "VALID"
) -> Float[Array, "b y x c"]:
    """Largest value under each window; `strides` defaults to the window."""
    strides = strides or window
    pads = _pads(images.shape[1:3], window, strides, padding)
    if not _for_cpu():
        return lax.reduce_window(images, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), ((0, 0), *pads, (0, 0)))
    images = _pad(images, pads, value=-jnp.inf)  # XLA's gradient is a scatter; these forms have none
    if strides == window and images.shape[1] % window[0] == 0 == images.shape[2] % window[1]:
        return _tiles(images, window).max(axis=(2, 4))
    for axis in (1, 2):  # a window maximum is a maximum of rows, then of columns
        size, stride = window[axis - 1], strides[axis - 1]
        count = (images.shape[axis] - size) // stride + 1
        taps = [lax.slice_in_dim(images, tap, tap + (count - 1) * stride + 1, stride, axis=axis) for tap in range(size)]
        images = _maximum(taps)
    return images


def _pads(size: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: str | Pairs) -> Pairs:
    if isinstance(padding, str):
        return tuple(lax.padtype_to_pads(size, window, strides, padding))
    return tuple((int(low), int(high)) for low, high in padding)


def _pad(images: Images, pads: Pairs, *, value: float = 0.0) -> Float[Array, "b y x c"]:
    """Pads by concatenation: XLA would fuse a pad, and what made the image, into each of the slices that read it."""
    for axis, (low, high) in enumerate(pads, start=1):
        if low or high:
            before, after = ((*images.shape[:axis], size, *images.shape[axis + 1 :]) for size in (low, high))
            edges = jnp.full(before, value, images.dtype), jnp.full(after, value, images.dtype)
            images = jnp.concatenate([edges[0], images, edges[1]], axis)
    return images


def _lax_conv(images, kernel, strides, pads, groups=1) -> Float[Array, "b y x o"]:
    return lax.conv_general_dilated(
        images, kernel, strides, pads, feature_group_count=groups, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _taps(images: Images, window: Sequence[int], strides: Sequence[int]) -> list[Float[Array, "b y x c"]]:
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


def _tiles(images: Images, window: tuple[int, int]) -> Float[Array, "b y i x j c"]:
    b, h, w, c = images.shape
    return images.reshape(b, h // window[0], window[0], w // window[1], window[1], c)


def _maximum(taps: list[Array]) -> Array:
    largest = taps[0]
    for tap in taps[1:]:
        largest = jnp.where(tap > largest, tap, largest)  # the first of equals wins, as in reduce_window's gradient
    return largest


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _sliced_conv(images, kernel, pads):
    """Stride-1 convolution whose gradients are convolutions that XLA's CPU backend runs fast."""
    return _lax_conv(images, kernel, (1, 1), pads)


def _sliced_conv_forward(images, kernel, pads):
    return _sliced_conv(images, kernel, pads), (images, kernel)


def _sliced_conv_backward(pads, residuals, grads):
    images, kernel = residuals
    kh, kw = kernel.shape[:2]
    back = tuple((size - 1 - low, size - 1 - high) for size, (low, high) in zip((kh, kw), pads, strict=True))
    image_grads = _lax_conv(grads, jnp.flip(kernel, (0, 1)).swapaxes(2, 3), (1, 1), back)
    # The batch is the contracted axis of the weight gradient. Whole, its transpose leaves the cache; in slices not.
    count = images.shape[0]
    step = max(next((step for size, step in SLICES if images.shape[1] > size), count), -(-count // MOST_SLICES))
    parts = [
        _lax_conv(
            images[start : start + step].transpose(3, 1, 2, 0),
            grads[start : start + step].transpose(1, 2, 0, 3),
            (1, 1),
            pads,
        )
        for start in range(0, count, step)
    ]
    return image_grads, functools.reduce(jnp.add, parts).transpose(1, 2, 0, 3)


_sliced_conv.defvjp(_sliced_conv_forward, _sliced_conv_backward)


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
    _, y, x, _ = grads.shape
    rest = [
        size - ((n - 1) * stride + k)
        for size, n, stride, k in zip(images.shape[1:3], (y, x), strides, (kh, kw), strict=True)
    ]
    spread = lax.pad(
        grads,
        jnp.zeros((), grads.dtype),
        ((0, 0, 0), (kh - 1, kh - 1 + rest[0], strides[0] - 1), (kw - 1, kw - 1 + rest[1], strides[1] - 1), (0, 0, 0)),
    )
    image_grads = _depthwise(spread, jnp.flip(kernel, (0, 1)), (1, 1))
    return image_grads, kernel_grads.reshape(kernel.shape)


def _sum_rows(images: Images, grads: Images) -> Float[Array, "b w c"]:
    return functools.reduce(jnp.add, (images[:, row] * grads[:, row] for row in range(images.shape[1])))


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)
