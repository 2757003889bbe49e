"""The three noises of arXiv 1903.12261, for the sensor: in the dark, of few photons, and with dead pixels.

Every corruption takes images as floats in 0..1, a level (a row of `corruptions.CORRUPTIONS`) and a generator of its
draws, and returns floats that may leave 0..1: `corrupt` clips and rounds them.
"""

import numpy as np
from jaxtyping import Float

Images = Float[np.ndarray, "n h w c"]


def gaussian_noise(images: Images, level: float, *, rng: np.random.Generator) -> Images:
    """Adds independent normal noise to every value; `level` is its standard deviation."""
    return images + np.float32(level) * rng.standard_normal(images.shape, np.float32)


def shot_noise(images: Images, level: int, *, rng: np.random.Generator) -> Images:
    """Counts photons, which come at random (Poisson); a white pixel expects `level` of them."""
    return (rng.poisson(images * level) / level).astype(np.float32)


def impulse_noise(images: Images, level: float, *, rng: np.random.Generator) -> Images:
    """Salt and pepper: a share `level` of the values, each channel by itself, becomes 0 or 1."""
    draws = rng.random(images.shape, np.float32)
    peppered = np.where(draws < level / 2, np.float32(0), images)
    return np.where(draws > 1 - level / 2, np.float32(1), peppered)
