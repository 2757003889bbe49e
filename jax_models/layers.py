"""Blocks that several papers share: convolutions, batch normalisation and their usual sequences. Images are NHWC.

Parameters are float32; a convolution computes in the type of its input (bfloat16 images give bfloat16 features), batch
normalisation always in float32. Padding is symmetric, as in the papers' own code and in PyTorch, so that strided layers
line up with published weights; XLA's "SAME" would pad even sizes on one side only.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jax_models import lowering


def he_fan_out(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """Normal with variance 2 / fan-out, which keeps the variance of gradients (arXiv 1502.01852, equation 14)."""
    return _normal(key, shape, 2 / (math.prod(shape[:-2]) * shape[-1])).astype(dtype)


def he_fan_in(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """Normal with variance 2 / fan-in, which keeps the variance of activations (equation 10); HWIO or (in, out)."""
    return _normal(key, shape, 2 / math.prod(shape[:-1])).astype(dtype)


def lecun_normal(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """Normal with variance 1 / fan-in, for layers that no ReLU follows."""
    return _normal(key, shape, 1 / math.prod(shape[:-1])).astype(dtype)


def _normal(key: Array, shape: tuple[int, ...], variance: float) -> Array:
    # XLA compiles the generator anew for each shape, 0.8 CPU seconds; a few fixed sizes serve a whole network.
    size = 8 ** max(4, math.ceil(math.log(math.prod(shape), 8)))
    return _cut(jax.random.normal(key, (size,)), math.sqrt(variance), shape=shape)


@partial(jax.jit, static_argnames="shape")
def _cut(draws: Array, scale: float | Array, *, shape: tuple[int, ...]) -> Array:
    return (draws[: math.prod(shape)] * scale).reshape(shape)


def identity(features: Array) -> Array:
    """Returns its argument; stands where a block needs no layer."""
    return features


def symmetric(padding: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The same padding, in pixels, on the four sides, as `jax_models.lowering` takes it."""
    return ((padding, padding), (padding, padding))


def flatten(features: Float[Array, "b h w c"]) -> Float[Array, "b f"]:
    """All numbers of an image in one row: by rows, columns, then channels."""
    return features.reshape(features.shape[0], -1)  # which may be symbolic, unlike len(features)


def pool_with_far_edge(features: Float[Array, "b h w c"], size: int = 3) -> Float[Array, "b y x c"]:
    """Max-pooling of stride 2 whose last windows may reach over the right and lower edge.

    It is Caffe's rounding, which published GoogLeNets and SENets keep (PyTorch: ceil_mode=True).
    """
    edges = tuple((0, max(0, 2 * -(-(length - size) // 2) + size - length)) for length in features.shape[1:3])
    return lowering.max_pool(features, (size, size), strides=(2, 2), padding=edges)


def pool_with_edges(features: Float[Array, "b h w c"], size: int = 3) -> Float[Array, "b y x c"]:
    """Max-pooling of stride 2 whose windows may reach over all four edges by half their size."""
    return lowering.max_pool(features, (size, size), strides=(2, 2), padding=symmetric(size // 2))


def global_avg_pool(features: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """The mean over all positions, summed in float32 whatever the input's type."""
    return features.mean(axis=(1, 2), dtype=jnp.float32).astype(features.dtype)


def adaptive_avg_pool(features: Float[Array, "b h w c"], size: int) -> Float[Array, "b size size c"]:
    """Means of `size` x `size` windows that cover the image evenly, and overlap where they must, as PyTorch has them.

    An image that is smaller than the grid is repeated; one of its size is returned as it is.
    """
    if features.shape[1:3] == (size, size):
        return features
    rows, columns = (_means_of_windows(length, size) for length in features.shape[1:3])
    means = jnp.einsum("bhwc,yh,xw->byxc", features, rows, columns, preferred_element_type=jnp.float32)
    return means.astype(features.dtype)


def _means_of_windows(length: int, count: int) -> Float[np.ndarray, "count length"]:
    """Row i takes the mean from position floor(i length / count) to ceil((i + 1) length / count)."""
    starts = np.arange(count) * length // count
    ends = -(-np.arange(1, count + 1) * length // count)
    inside = (starts[:, None] <= np.arange(length)) & (np.arange(length) < ends[:, None])
    return (inside / inside.sum(axis=1, keepdims=True)).astype(np.float32)


class Linear(nnx.Linear):
    """A dense layer with bias; `kernel_init` is `lecun_normal` for logits and `he_fan_in` before a ReLU."""

    def __init__(self, in_features: int, out_features: int, *, kernel_init=lecun_normal, rngs: nnx.Rngs):
        super().__init__(in_features, out_features, kernel_init=kernel_init, rngs=rngs)


class Conv(nnx.Module):
    """A square convolution: HWIO kernel, He-normal by fan-out, and a bias of zeros if asked for.

    `padding` is in pixels a side; None is half the kernel, which keeps the size at stride 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        use_bias: bool = False,
        rngs: nnx.Rngs,
    ):
        shape = (kernel_size, kernel_size, in_channels, out_channels)
        self.kernel = nnx.Param(he_fan_out(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros((out_channels,))) if use_bias else nnx.data(None)
        self.strides = (stride, stride)
        self.padding = symmetric(kernel_size // 2 if padding is None else padding)

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        kernel = self.kernel[...].astype(images.dtype)
        features = lowering.conv(images, kernel, strides=self.strides, padding=self.padding)
        if self.bias is None:
            return features
        return features + self.bias[...].astype(features.dtype).reshape(1, 1, 1, -1)


class DepthwiseConv(nnx.Module):
    """One square filter for each channel, no bias, size kept; kernel of shape (k, k, 1, channels)."""

    def __init__(self, channels: int, *, kernel_size: int = 3, rngs: nnx.Rngs):
        shape = (kernel_size, kernel_size, 1, channels)
        self.kernel = nnx.Param(he_fan_in(rngs.params(), shape))
        self.padding = symmetric(kernel_size // 2)

    def __call__(self, images: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        kernel = self.kernel[...].astype(images.dtype)
        return lowering.conv(images, kernel, padding=self.padding, groups=images.shape[-1])


class SeparableConv(nnx.Module):
    """A 3x3 depthwise and then a 1x1 convolution, nothing between them (arXiv 1610.02357, section 3)."""

    def __init__(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        self.depthwise = DepthwiseConv(in_channels, rngs=rngs)
        self.pointwise = Conv(in_channels, out_channels, kernel_size=1, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        return self.pointwise(self.depthwise(images))


class BatchStatistic(nnx.BatchStat):
    """A recorded mean or variance. Replacing it as a whole does not ask for the sharding of the old and new array.

    JAX searches all that was traced before to answer that for a tracer: GoogLeNet's training step took 3.0 s to trace
    so, and 1.7 without (two cores).
    """

    def __setitem__(self, key, value) -> None:
        if key is Ellipsis:
            self.set_value(value)
        else:
            super().__setitem__(key, value)


class BatchNorm(nnx.BatchNorm):
    """Batch normalisation (arXiv 1502.03167) over all but the channel axis, in float32; returns the input's type.

    `model.train()` makes it use and record the batch's statistics, `model.eval()` the recorded ones.
    """

    def __init__(self, channels: int, *, scale_init=nnx.initializers.ones, epsilon: float = 1e-5, rngs: nnx.Rngs):
        super().__init__(channels, momentum=0.9, epsilon=epsilon, scale_init=scale_init, dtype=jnp.float32, rngs=rngs)
        self.mean, self.var = (BatchStatistic(statistic[...]) for statistic in (self.mean, self.var))

    def __call__(self, features: Float[Array, "*batch c"]) -> Float[Array, "*batch c"]:
        return super().__call__(features).astype(features.dtype)


class ConvNormAct(nnx.Module):
    """Convolution, batch normalisation, ReLU: the unit of the modern families.

    A bias of the convolution, which the normalisation cancels, is there for published weights that have one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        use_bias: bool = False,
        epsilon: float = 1e-5,
        rngs: nnx.Rngs,
    ):
        shape = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
        self.conv = Conv(in_channels, out_channels, **shape, use_bias=use_bias, rngs=rngs)
        self.norm = BatchNorm(out_channels, epsilon=epsilon, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        return nnx.relu(self.norm(self.conv(images)))


def conv_norm_act_side_by_side(
    units: Sequence[ConvNormAct], images: Float[Array, "b h w i"]
) -> list[Float[Array, "b y x _"]]:
    """What each unit makes of the same images, by one convolution: all must have one kernel size and stride.

    It reads the images and writes their gradient once, and a few channels are dear to multiply alone: GoogLeNet's
    training step at full width takes 7.4 s so, and 7.8 apart (two cores).
    """
    kernel = jnp.concatenate([unit.conv.kernel[...] for unit in units], axis=-1).astype(images.dtype)
    first = units[0].conv
    features = lowering.conv(images, kernel, strides=first.strides, padding=first.padding)
    ends = np.cumsum([unit.conv.kernel.shape[-1] for unit in units])[:-1]
    parts = jnp.split(features, ends, axis=-1)
    return [nnx.relu(unit.norm(part)) for unit, part in zip(units, parts, strict=True)]


class ConvAct(nnx.Module):
    """Convolution with bias and ReLU: the unit of the families that came before batch normalisation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int | None = None,
        rngs: nnx.Rngs,
    ):
        self.conv = Conv(
            in_channels, out_channels, kernel_size=kernel_size, stride=stride, padding=padding, use_bias=True, rngs=rngs
        )

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        return nnx.relu(self.conv(images))
