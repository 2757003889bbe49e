"""Crops, flips and normalisation of image batches, in JAX, on the device."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt8


def normalize(
    images: UInt8[Array, "b h w c"], mean: Float[Array, " c"], std: Float[Array, " c"]
) -> Float[Array, "b h w c"]:
    """Pixels 0..255 to zero mean and unit deviation per channel; `mean` and `std` are on the 0..1 scale."""
    scale, offset = 1 / (255 * std), mean / std
    return images.astype(jnp.float32) * scale[None, None, None] - offset[None, None, None]


def take_augmented(
    images: UInt8[Array, "n h w c"],
    indices: Int[Array, " b"],
    key: Key[Array, ""],
    *,
    crop_padding: Int[Array, ""],
    flip: Bool[Array, ""],
) -> UInt8[Array, "b h w c"]:
    """The images at `indices`, each shifted by up to `crop_padding` pixels and mirrored at random.

    How far and whether are arrays, so that one compiled program serves all data sets of a shape.
    """
    key_shift, key_flip = jax.random.split(key)
    shifts = jax.random.randint(key_shift, (2, len(indices)), -crop_padding, crop_padding + 1)
    mirrored = flip & jax.random.bernoulli(key_flip, shape=indices.shape)
    return take_shifted(images, indices, shifts, mirrored=mirrored)


def take_shifted(
    images: UInt8[Array, "n h w c"],
    indices: Int[Array, " b"],
    shifts: Int[Array, "2 b"],
    *,
    mirrored: Bool[Array, " b"],
) -> UInt8[Array, "b h w c"]:
    """The images at `indices`, moved up and left by `shifts`, edges reflected, then mirrored left to right where asked.

    One gather does it all, since shifting and mirroring are arithmetic on the row and column numbers.
    """
    height, width = images.shape[1:3]
    rows = _reflect(jnp.arange(height)[None] + shifts[0][:, None], height)
    columns = jnp.arange(width)[None]
    columns = jnp.where(mirrored[:, None], width - 1 - columns, columns)
    columns = _reflect(columns + shifts[1][:, None], width)
    return images[indices[:, None, None], rows[:, :, None], columns[:, None, :]]


def _reflect(positions: Int[Array, "b s"], size: int) -> Int[Array, "b s"]:
    return (size - 1) - jnp.abs((size - 1) - jnp.abs(positions))
