"""Batches of example numbers: the images stay on the device, only their numbers are shuffled."""

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Int, UInt8

IMAGE_SIZE = 32  # LeNet-5's own; MNIST and FashionMNIST are padded to it


def pad_to_image_size(images: UInt8[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "n y x c"]:
    """Surrounds images that are smaller than 32x32 evenly with black; larger ones stay as they are."""
    margins = [max(0, IMAGE_SIZE - size) // 2 for size in images.shape[1:3]]
    if not any(margins):
        return np.asarray(images)
    return np.pad(images, ((0, 0), *((margin, margin) for margin in margins), (0, 0)))


def shuffled_batches(count: int, batch_size: int, *, key: jax.Array) -> Iterator[Int[np.ndarray, " b"]]:
    """One epoch of example numbers in random order; the last examples that fill no batch wait for another epoch."""
    order = np.asarray(jax.random.permutation(key, count))
    for start in range(0, count - batch_size + 1, batch_size):
        yield order[start : start + batch_size]


def padded_batches(images: UInt8[np.ndarray, "n h w c"], batch_size: int) -> Iterator[UInt8[np.ndarray, "b h w c"]]:
    """All images in order; the last batch is filled up with black images, for the caller to cut off."""
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        yield np.pad(batch, ((0, batch_size - len(batch)), *((0, 0),) * 3))
