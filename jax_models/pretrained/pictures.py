"""Pictures of any size in the form of the data sets: a digit as MNIST has it, a garment, a photo."""

import struct
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from jax_models.errors import UsageError

MOST_PIXELS = 100_000_000  # of a file
LARGEST_SIDE = 1024  # to work with, where a small image is wanted
SIDE = 28  # of MNIST and FashionMNIST
DIGIT_SIDE = 20  # a digit of MNIST fits in 20x20, around its centre of mass (LeCun et al., 1998)
PHOTO_SIDE = 32  # of CIFAR-10
FAINTEST = 24  # grey levels between ink and ground: less is an empty picture
NOISE = 0.2  # of the strongest ink: what is weaker does not count as part of the figure


def read_picture(path: Path) -> Image.Image:
    """A picture file, upright, as RGBA.

    Raises:
        UsageError: there is no such file, it is no picture, it is broken, or has more than 100 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is the lower one
            with Image.open(path) as picture:
                too_large = picture.width * picture.height > MOST_PIXELS
                upright = None if too_large else ImageOps.exif_transpose(picture).convert("RGBA")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnidentifiedImageError as error:
        raise UsageError(f"{path} is not a picture; PNG, JPEG, WebP, GIF, BMP and others are") from error
    # What Pillow raises for truncated and twisted files, and for broken EXIF data.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error) as error:
        raise UsageError(f"{path} is broken: it cannot be read as a picture") from error
    if upright is None:
        raise UsageError(f"{path} has more than {MOST_PIXELS // 1_000_000} million pixels")
    return upright


def as_digit(picture: Image.Image) -> np.ndarray:
    """A picture in the form of MNIST: light ink on black, 28x28x1, the figure in 20x20 around its centre of mass.

    A picture of 28x28 pixels counts as being in that form already.

    Raises:
        UsageError: there is nothing on it.
    """
    return _in_form(picture, side=DIGIT_SIDE, corner=_around_its_mass)


def as_garment(picture: Image.Image) -> np.ndarray:
    """A picture in the form of FashionMNIST: light on black, 28x28x1, the longer side filled.

    A picture of 28x28 pixels counts as being in that form already.

    Raises:
        UsageError: there is nothing on it.
    """
    return _in_form(picture, side=SIDE, corner=_in_the_middle)


def as_photo(picture: Image.Image) -> np.ndarray:
    """The square in the middle of a picture in the form of CIFAR-10: 32x32x3."""
    picture = on_white(_within(picture))
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS))


FORMS: Mapping[str, Callable[[Image.Image], np.ndarray]] = {
    "mnist": as_digit,
    "fashion_mnist": as_garment,
    "cifar10": as_photo,
}


def on_white(picture: Image.Image) -> Image.Image:
    """RGB, with white where the picture is transparent."""
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _within(picture: Image.Image) -> Image.Image:
    """The picture with no side longer than `LARGEST_SIDE`."""
    smaller = picture.convert("RGBA")
    smaller.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return smaller


def _in_form(picture: Image.Image, *, side: int, corner: Callable[[np.ndarray], list[int]]) -> np.ndarray:
    grey = _light_on_dark(_within(picture))
    if grey.shape == (SIDE, SIDE):
        return _as_bytes(grey)[..., None]
    figure = _shrink(_cut_out(grey), side)
    top, left = corner(figure)
    canvas = np.zeros((SIDE, SIDE), np.float32)
    canvas[top : top + figure.shape[0], left : left + figure.shape[1]] = figure
    return _as_bytes(canvas)[..., None]


def _around_its_mass(figure: np.ndarray) -> list[int]:
    mass = figure.sum()
    return [
        int(np.clip(round((SIDE - 1) / 2 - (places * figure).sum() / mass), 0, SIDE - size))
        for places, size in zip(np.indices(figure.shape), figure.shape, strict=True)
    ]


def _in_the_middle(figure: np.ndarray) -> list[int]:
    return [(SIDE - size) // 2 for size in figure.shape]


def _light_on_dark(picture: Image.Image) -> np.ndarray:
    """Grey levels above the ground, float (h, w): the ground is what the border shows; dark ink is turned light."""
    over = {
        ground: np.asarray(Image.alpha_composite(Image.new("RGBA", picture.size, ground), picture).convert("L"))
        for ground in ("black", "white")
    }
    grey = max(over.values(), key=lambda levels: float(levels.std())).astype(np.float32)  # ink may be of either colour
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = float(np.median(border))
    grey = ground - grey if ground > 127 else grey - ground
    grey = np.clip(grey, 0, None)
    if grey.max() < FAINTEST:
        raise UsageError("the picture is empty; take one with more contrast")
    return grey * (255 / grey.max())


def _cut_out(grey: np.ndarray) -> np.ndarray:
    ink = grey > NOISE * grey.max()
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _shrink(figure: np.ndarray, side: int) -> np.ndarray:
    """The figure with its longer side of `side` pixels and its strongest ink white again."""
    height, width = figure.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(
        Image.fromarray(figure).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    )
    return np.clip(small, 0, None) * (255 / small.max())


def _as_bytes(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
