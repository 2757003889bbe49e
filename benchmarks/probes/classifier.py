"""A trained network as the probes see it: from pixels in 0..1 to logits, so that gradients reach the pixels."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8

from jax_models.data import DatasetSpec
from jax_models.data.batches import IMAGE_SIZE, pad_to_image_size
from jax_models.evaluation import predict_probabilities
from jax_models.training.state import Network, Variables, take_apart


@dataclass(frozen=True)
class Classifier:
    """A trained network, its variables, and the data set whose images it knows."""

    network: Network
    params: Variables
    batch_stats: Variables
    spec: DatasetSpec

    @classmethod
    def of(cls, model: nnx.Module, spec: DatasetSpec) -> "Classifier":
        """Takes a model apart; leaves it in evaluation mode."""
        return cls(*take_apart(model), spec)

    @property
    def variables(self) -> tuple[Any, ...]:
        """All arrays that `logits` needs beside the pixels."""
        return self.params, self.batch_stats, jnp.asarray(self.spec.mean), jnp.asarray(self.spec.std)

    def probabilities(self, images: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n k"]:
        """Class probabilities of images, padded or not, by the program that also evaluates."""
        padded = pad_to_image_size(images)
        return predict_probabilities(self.network, self.params, self.batch_stats, images=padded, spec=self.spec)


def logits(network: Network, variables: tuple[Any, ...], pixels: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
    """Logits of padded images with pixels in 0..1; `variables` are a `Classifier`'s. Pure."""
    params, batch_stats, mean, std = variables
    return network.predict(params, batch_stats, (pixels - mean[None, None, None]) / std[None, None, None])


def to_pixels(images: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n 32 32 c"]:
    """Images as the probes change them: padded, in 0..1."""
    return pad_to_image_size(images).astype(np.float32) / np.float32(255)


def picture_mask(spec: DatasetSpec) -> Float[np.ndarray, "1 32 32 1"]:
    """1 where the data set's images are and 0 on the black border around them, which no probe changes.

    The border is no part of an image: a camera cannot fill it, and the network has only ever seen it black.
    """
    height, width, _ = spec.shape
    return pad_to_image_size(np.ones((1, height, width, 1), np.uint8)).astype(np.float32)


def border_width(spec: DatasetSpec) -> int:
    """Of that border, in pixels; 0 where there is none."""
    return (IMAGE_SIZE - spec.shape[0]) // 2
