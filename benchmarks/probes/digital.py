"""The four digital corruptions of arXiv 1903.12261: contrast, elastic transform, pixelate and JPEG compression."""

import io

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy import ndimage

from benchmarks.probes.noise import Images


def contrast(images: Images, level: float, *, rng: np.random.Generator) -> Images:
    """Draws the pixels of each image towards their mean, by channel; `level` is the share of contrast that stays."""
    del rng
    mean = images.mean(axis=(1, 2), keepdims=True)
    return mean + np.float32(level) * (images - mean)


def elastic_transform(images: Images, level: tuple[float, float, float], *, rng: np.random.Generator) -> Images:
    """Stretches the image as a whole and wrinkles it; lengths in `level` are shares of the image's height.

    `level`: the wrinkles' strength, the deviation of the blur that makes neighbours move together, and how far each of
    three points at most moves, which together define the affine map.
    """
    count, height, width = images.shape[:3]
    strength, smoothness, shift = (height * share for share in level)
    shifts = rng.uniform(-shift, shift, (count, 2, 3))
    wrinkles = rng.uniform(-1, 1, (count, 2, height, width))
    wrinkles = strength * ndimage.gaussian_filter(wrinkles, (0, 0, smoothness, smoothness), truncate=3)
    grid = np.mgrid[:height, :width]
    positions = grid + np.einsum("nds,syx->ndyx", shifts, _shares_of_corners(height, width)) + wrinkles
    moved = [
        [ndimage.map_coordinates(channel, where, order=1, mode="mirror") for channel in np.moveaxis(image, -1, 0)]
        for image, where in zip(images, positions, strict=True)
    ]
    return np.moveaxis(np.asarray(moved, np.float32), 1, -1)


def pixelate(images: Images, level: float, *, rng: np.random.Generator) -> Images:
    """Shrinks each image to a share `level` of its size and enlarges it again, by boxes."""
    del rng
    height, width = images.shape[1:3]
    small = (int(width * level), int(height * level))
    box = Image.Resampling.BOX
    return _as_floats([picture.resize(small, box).resize((width, height), box) for picture in _pictures(images)])


def jpeg_compression(images: Images, level: int, *, rng: np.random.Generator) -> Images:
    """Writes and reads each image as a JPEG file of quality `level`, 1 to 95."""
    del rng
    return _as_floats([_through_jpeg(picture, level) for picture in _pictures(images)])


def _shares_of_corners(height: int, width: int) -> Float[np.ndarray, "3 h w"]:
    """How much each of three corners of a square about the middle moves a pixel: barycentric coordinates."""
    rows, columns = np.mgrid[:height, :width]
    half = min(height, width) // 3
    u, v = (columns - width // 2) / half, (rows - height // 2) / half
    return np.stack(((1 + v) / 2, (u - v) / 2, (1 - u) / 2))


def _pictures(images: Images) -> list[Image.Image]:
    pixels = np.rint(255 * images).astype(np.uint8)
    return [Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in pixels]


def _as_floats(pictures: list[Image.Image]) -> Images:
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    return pixels.reshape(*pixels.shape[:3], -1).astype(np.float32) / np.float32(255)


def _through_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)
