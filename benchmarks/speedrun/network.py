"""The network of the speed run: a small ResNet after airbench94 (Jordan, 2024, arXiv 2404.00498).

A frozen layer that whitens 2x2 patches, then three groups of two 3x3 convolutions at 31x31, 15x15 and 7x7 pixels; the
first of each group is max-pooled. 1,971,352 parameters that learn, with the usual widths and 10 classes.

Initial values and the scale of the logits are those of the paper's repository, `airbench94_muon.py`.

Differences from it: the second convolution of each group has an identity shortcut (arXiv 1512.03385); GELU by tanh; an
epsilon of 1e-6 in batch normalisation instead of 1e-12.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jax_models import lowering
from jax_models.layers import symmetric

PATCH = 2  # pixels a side of the patches that the first layer whitens
WHITENING_EPSILON = 5e-4  # added to the variances: directions of little variance are mostly noise


def whitening_filters(images: Float[np.ndarray, "n h w c"]) -> Float[np.ndarray, "2 2 c o"]:
    """Filters that make patches white: the principal directions by their deviations, and the negatives of these.

    Args:
        images: normalised, some thousands.
    """
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))  # n y x c kh kw
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, PATCH * PATCH * images.shape[-1]).astype(np.float64)
    variances, directions = np.linalg.eigh(patches.T @ patches / len(patches))
    filters = directions / np.sqrt(variances + WHITENING_EPSILON)
    filters = np.concatenate([filters, -filters], axis=1).astype(np.float32)
    return filters.reshape(PATCH, PATCH, images.shape[-1], -1)


class Whitening(nnx.Module):
    """The frozen first layer; its bias learns. The filters are statistics of the training images, not parameters."""

    def __init__(self, filters: Float[np.ndarray, "2 2 i o"]):
        self.filters = nnx.BatchStat(jnp.asarray(filters))
        self.bias = nnx.Param(jnp.zeros(filters.shape[-1]))

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        features = lowering.conv(images, self.filters[...].astype(images.dtype), padding="VALID")
        return features + self.bias[...].astype(features.dtype).reshape(1, 1, 1, -1)


class PartialIdentityConv(nnx.Module):
    """A 3x3 convolution whose first outputs start as copies of its inputs, the others uniform by fan-in."""

    def __init__(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        bound = (9 * in_channels) ** -0.5
        kernel = jax.random.uniform(rngs.params(), (3, 3, in_channels, out_channels), minval=-bound, maxval=bound)
        copies = jnp.zeros((3, 3, in_channels, in_channels)).at[1, 1].set(jnp.eye(in_channels))
        self.kernel = nnx.Param(kernel.at[..., :in_channels].set(copies))

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        return lowering.conv(images, self.kernel[...].astype(images.dtype), padding=symmetric(1))


class BatchNorm(nnx.BatchNorm):
    """Batch normalisation without a scale; it remembers about as many images as airbench's (0.6, batches of 2,000)."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        super().__init__(channels, momentum=0.9, epsilon=1e-6, use_scale=False, dtype=jnp.float32, rngs=rngs)

    def __call__(self, features: Float[Array, "*batch c"]) -> Float[Array, "*batch c"]:
        return super().__call__(features).astype(features.dtype)


class Group(nnx.Module):
    """Convolution, max-pooling, normalisation, GELU; then a convolution that adds to it."""

    def __init__(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        self.conv1 = PartialIdentityConv(in_channels, out_channels, rngs=rngs)
        self.norm1 = BatchNorm(out_channels, rngs=rngs)
        self.conv2 = PartialIdentityConv(out_channels, out_channels, rngs=rngs)
        self.norm2 = BatchNorm(out_channels, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        features = nnx.gelu(self.norm1(lowering.max_pool(self.conv1(images), (2, 2))))
        return nnx.gelu(features + self.norm2(self.conv2(features)))


class SpeedResNet(nnx.Module):
    """32x32 images to logits."""

    def __init__(
        self,
        num_classes: int,
        *,
        filters: Float[np.ndarray, "2 2 i o"],
        channels: tuple[int, ...] = (64, 256, 256),
        rngs: nnx.Rngs,
    ):
        """`filters` are those of `whitening_filters`, for images as they will be given."""
        self.whitening = Whitening(filters)
        self.groups = nnx.List([])
        in_channels = filters.shape[-1]
        for out_channels in channels:
            self.groups.append(Group(in_channels, out_channels, rngs=rngs))
            in_channels = out_channels
        # Unit weights under a mean over the channels: logits start small, and the head can learn at a large rate.
        self.head = nnx.Param(jax.random.normal(rngs.params(), (in_channels, num_classes)))

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits; `rngs` is not used, there is no dropout."""
        features = nnx.gelu(self.whitening(images))
        for group in self.groups:
            features = group(features)
        features = features.max(axis=(1, 2)).astype(jnp.float32)
        return features @ self.head[...] / features.shape[-1]
