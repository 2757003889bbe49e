"""The four blurs of arXiv 1903.12261, for the lens: out of focus, behind frosted glass, in motion, zooming.

Beyond the edge the image goes on with its last pixels, mirrored or repeated, so that no dark frame appears.
"""

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from benchmarks.probes.noise import Images

ZOOM_STEP = 0.01
WIDEST_DISK = 3  # pixels; all radii and the one pixel of their antialiasing fit


def defocus_blur(images: Images, level: tuple[float, float], *, rng: np.random.Generator) -> Images:
    """Spreads each pixel over a disk; `level` is its radius and the deviation of a 3x3 blur that softens its edge."""
    del rng
    radius, softness = level
    offsets = np.arange(-WIDEST_DISK, WIDEST_DISK + 1)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.float32)
    kernel = ndimage.gaussian_filter(disk / disk.sum(), softness, radius=1)
    blurred = np.zeros_like(images)
    padding = ((0, 0), (WIDEST_DISK, WIDEST_DISK), (WIDEST_DISK, WIDEST_DISK), (0, 0))
    padded, (height, width) = np.pad(images, padding, mode="reflect"), images.shape[1:3]
    for row, column in np.argwhere(kernel):
        blurred += kernel[row, column] * padded[:, row : row + height, column : column + width]
    return blurred


def glass_blur(images: Images, level: tuple[float, int, int], *, rng: np.random.Generator) -> Images:
    """Scatters pixels over their neighbourhood; `level`: deviation of a blur before and after, reach, repetitions.

    Each pixel takes the colour of one up to `reach` above and to the left of it, or keeps its own: what the authors'
    code does to colour images, where its swaps of two pixels overwrite the second one.
    """
    sigma, reach, repetitions = level
    count, height, width = images.shape[:3]
    scattered = _gaussian_blur(images, sigma)
    for _ in range(repetitions):
        up, left = rng.integers(0, reach + 1, (2, count, height, width))
        rows = np.maximum(np.arange(height)[:, None] - up, 0)
        columns = np.maximum(np.arange(width) - left, 0)
        scattered = scattered[np.arange(count)[:, None, None], rows, columns]
    return _gaussian_blur(scattered, sigma)


def motion_blur(images: Images, level: tuple[int, float], *, rng: np.random.Generator) -> Images:
    """Smears each image along a direction of its own, within 45 degrees of the horizontal; see `smear`."""
    return smear(images, level, degrees=rng.uniform(-45, 45, len(images)))


def smear(images: Images, level: tuple[int, float], *, degrees: Float[np.ndarray, " n"]) -> Images:
    """Averages the pixels that lie ahead in a direction, the nearest most; `level`: radius and deviation, in pixels.

    ImageMagick's kernel, with which the authors blurred: 2 radius + 1 steps ahead, half of a Gaussian, each step at the
    nearest pixel.
    """
    radius, sigma = level
    count, height, width = images.shape[:3]
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2)).astype(np.float32)
    angles = np.deg2rad(degrees)[:, None, None]
    smeared = np.zeros_like(images)
    for step, weight in enumerate(weights / weights.sum()):
        rows = np.arange(height)[:, None] + np.rint(step * np.sin(angles)).astype(int)
        columns = np.arange(width) + np.rint(step * np.cos(angles)).astype(int)
        ahead = images[np.arange(count)[:, None, None], rows.clip(0, height - 1), columns.clip(0, width - 1)]
        smeared += weight * ahead
    return smeared


def zoom_blur(images: Images, level: float, *, rng: np.random.Generator) -> Images:
    """Mean of the image, once more itself, and itself enlarged by up to `level`, in steps of 0.01."""
    del rng
    factors = np.arange(1, level + ZOOM_STEP / 2, ZOOM_STEP)
    return (images + sum(enlarge(images, factor) for factor in factors)) / np.float32(len(factors) + 1)


def enlarge(images: Images, factor: float) -> Images:
    """The middle of the images, `factor` times as large, interpolated linearly, of the same size."""
    rows, columns = (_linear_interpolation(size, factor) for size in images.shape[1:3])
    return np.einsum("yh,nhwc,xw->nyxc", rows, images, columns, optimize=True)


def _linear_interpolation(size: int, factor: float) -> Float[np.ndarray, "s s"]:
    """The matrix that reads a line of pixels at positions drawn together about its middle."""
    middle, pixels = (size - 1) / 2, np.arange(size)
    positions = middle + (pixels - middle) / factor
    return np.maximum(0, 1 - np.abs(positions[:, None] - pixels)).astype(np.float32)


def _gaussian_blur(images: Images, sigma: float) -> Images:
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest")
