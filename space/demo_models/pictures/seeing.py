"""What a picture shows, read from its pixels alone: its background, its colour of the ten, and its garment in grey.

The request is not looked at, so that a wrong picture cannot be read as a right one.
"""

import numpy as np
from jaxtyping import Float, Int, UInt8

from space.demo_models.pictures.wardrobe import COVERAGE, PALETTE

FOREGROUND_DISTANCE = 25.0  # in CIELAB, from the background: between paper and the palest garment

# Linear sRGB to CIE XYZ relative to the white point D65 (IEC 61966-2-1).
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
D65 = np.array([0.95047, 1.0, 1.08883])


def to_lab(rgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """CIELAB (CIE 1976) of sRGB from 0 to 1."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ XYZ.T / D65
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def backgrounds_of(pictures: Float[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n 3"]:
    """The median colour of the outermost pixels, where FashionMNIST has no garment."""
    n = len(pictures)
    border = np.ones(pictures.shape[1:3], bool)
    border[1:-1, 1:-1] = False
    return np.median(pictures[:, border].reshape(n, -1, 3), axis=1)


def colours_of(pictures: Float[np.ndarray, "n h w 3"]) -> Int[np.ndarray, " n"]:
    """For each picture the index of the colour, of the ten, that is nearest to its foreground's median in CIELAB.

    Foreground is what differs from the background by more than 25; without any, the index is -1.
    """
    lab, ground = to_lab(pictures), to_lab(backgrounds_of(pictures))
    is_garment = np.linalg.norm(lab - ground[:, None, None], axis=-1) > FOREGROUND_DISTANCE
    palette = to_lab(PALETTE.astype(np.float64))
    colours = np.full(len(pictures), -1)
    for index, (pixels, mask) in enumerate(zip(lab, is_garment, strict=True)):
        if mask.any():
            colours[index] = np.linalg.norm(palette - np.median(pixels[mask], axis=0), axis=1).argmin()
    return colours


def greys_of(pictures: Float[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
    """The pictures as FashionMNIST has them, light garments on black: `tint` undone.

    A pixel's coverage is how far it lies on the way from the background to the picture's colour (of the ten); the grey
    is what `COVERAGE` gives that coverage for.
    """
    ground = backgrounds_of(pictures)
    way = PALETTE[colours_of(pictures)] - ground
    steps = ((pictures - ground[:, None, None]) * way[:, None, None]).sum(-1)
    coverage = np.clip(steps / np.square(way).sum(-1)[:, None, None], 0, 1)
    return np.interp(coverage, COVERAGE, np.arange(len(COVERAGE))).round().astype(np.uint8)
