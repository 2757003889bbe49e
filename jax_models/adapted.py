"""A network that was made for ImageNet, on a data set's small images: enlarged, and normalised as it knows them."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jax_models.data import DatasetSpec
from jax_models.evaluation import examples_at_once
from jax_models.layers import Linear
from jax_models.recipes import Variant

COLOURS = 3


class Adapted(nnx.Module):
    """Maps images as the pipeline gives them, normalised by the data set's mean and deviation, to a network's logits.

    Grey images get three equal channels. Enlarging inside the network, bilinearly, keeps the data small: the device
    holds images of 32x32 bytes, and only those of a batch in the size that the network reads.
    """

    def __init__(self, network: nnx.Module, variant: Variant, spec: DatasetSpec):
        self.network, self.image_size = network, variant.image_size
        self.examples_at_once = examples_at_once(variant.image_size)
        means, deviations = (value * (COLOURS // len(value)) for value in (spec.mean, spec.std))
        known = list(zip(means, deviations, variant.mean, variant.std, strict=True))
        self.scale = tuple(deviation / wanted for _, deviation, _, wanted in known)
        self.shift = tuple((mean - wanted_mean) / wanted for mean, _, wanted_mean, wanted in known)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits; in training mode `rngs` must carry a `dropout` stream."""
        scale, shift = (jnp.asarray(values).reshape(1, 1, 1, -1) for values in (self.scale, self.shift))
        pixels = images.astype(jnp.float32) * scale + shift
        shape = (len(images), self.image_size, self.image_size, COLOURS)
        network: Any = self.network
        return network(jax.image.resize(pixels, shape, "bilinear").astype(images.dtype), rngs=rngs)


def with_new_head(model: nnx.Module, num_classes: int, *, rngs: nnx.Rngs) -> nnx.Module:
    """A copy of a network whose last layer is drawn anew, for another number of classes."""
    copy: Any = nnx.clone(model)
    copy.head = Linear(copy.head.kernel.shape[0], num_classes, rngs=rngs)
    return copy
