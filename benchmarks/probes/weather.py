"""The four weathers of arXiv 1903.12261: snow, frost, fog and brightness."""

import numpy as np
from jaxtyping import Float

from benchmarks.probes.blur import enlarge, smear
from benchmarks.probes.noise import Images

LUMINANCE = np.array((0.299, 0.587, 0.114), np.float32)  # ITU-R BT.601
ICE = np.array((0.86, 0.94, 1.0), np.float32)  # the light that ice lets through, slightly blue


def snow(images: Images, level: tuple[float, ...], *, rng: np.random.Generator) -> Images:
    """Whitens the scene and lets flakes fall: sparse specks, enlarged, smeared downwards, and once more upside down.

    `level`: mean and deviation of the specks, their enlargement, the threshold that leaves few of them, radius and
    deviation of the smear, and how much of the scene stays as it was.
    """
    mean, deviation, factor, threshold, radius, sigma, kept = level
    count, height, width = images.shape[:3]
    specks = enlarge(rng.normal(mean, deviation, (count, height, width, 1)).astype(np.float32), factor)
    specks = np.where(specks < threshold, 0, specks).clip(0, 1)
    flakes = smear(specks, (int(radius), sigma), degrees=rng.uniform(-135, -45, count))
    whitened = np.maximum(images, 1.5 * _luminance(images) + 0.5)
    scene = kept * images + (1 - kept) * whitened
    return (scene + flakes + flakes[:, ::-1, ::-1]).astype(np.float32)


def frost(images: Images, level: tuple[float, float], *, rng: np.random.Generator) -> Images:
    """Lays a pane with ice over the scene; `level`: how much of the scene and of the ice is seen."""
    scene, ice = level
    colour = ICE if images.shape[-1] == len(ICE) else np.ones(1, np.float32)
    return (scene * images + ice * _ice(images.shape[:3], rng=rng) * colour).astype(np.float32)


def fog(images: Images, level: tuple[float, float], *, rng: np.random.Generator) -> Images:
    """Adds drifting haze and dims the whole to the range it had; `level`: density, and how fast details fade."""
    density, decay = level
    brightest = images.max(axis=(1, 2, 3), keepdims=True)
    hazy = images + density * plasma(images.shape[:3], decay=decay, rng=rng)
    return (hazy * brightest / (brightest + density)).astype(np.float32)


def brightness(images: Images, level: float, *, rng: np.random.Generator) -> Images:
    """Adds `level` to the value of hue, saturation and value, up to 1: all channels grow by the same factor."""
    del rng
    value = images.max(axis=-1, keepdims=True)
    brighter = np.minimum(value + level, 1)
    return np.where(value > 0, images * brighter / np.where(value > 0, value, 1), brighter).astype(np.float32)


def plasma(shape: tuple[int, ...], *, decay: float, rng: np.random.Generator) -> Float[np.ndarray, "n h w 1"]:
    """Clouds in 0..1 by the diamond-square algorithm (Fournier, Fussell, Carpenter 1982), one for each of n images.

    From corners, the middles of squares and then of their sides are the mean of four neighbours and a random part. It
    falls by the square of `decay` from one size to the next, as in the authors' code.
    """
    count, height, width = shape
    step = side = 1 << (max(height, width) - 1).bit_length()
    clouds = np.zeros((count, side, side))
    amplitude = 1.0
    while step > 1:
        half = step // 2
        corners = clouds[:, ::step, ::step]

        def random_part(amplitude: float = amplitude, shape: tuple[int, ...] = corners.shape) -> np.ndarray:
            return amplitude * rng.uniform(-1, 1, shape)

        right, below = np.roll(corners, -1, 2), np.roll(corners, -1, 1)
        middles = (corners + right + below + np.roll(right, -1, 1)) / 4 + random_part()
        clouds[:, half::step, half::step] = middles
        clouds[:, ::step, half::step] = (corners + right + middles + np.roll(middles, 1, 1)) / 4 + random_part()
        clouds[:, half::step, ::step] = (corners + below + middles + np.roll(middles, 1, 2)) / 4 + random_part()
        step, amplitude = half, amplitude / decay**2
    clouds -= clouds.min(axis=(1, 2), keepdims=True)
    clouds /= clouds.max(axis=(1, 2), keepdims=True)
    return clouds[:, :height, :width, None]


def _ice(shape: tuple[int, ...], *, rng: np.random.Generator) -> Float[np.ndarray, "n h w 1"]:
    """Panes of ice in 0..1: a film of uneven thickness and, on it, patches of needles in three directions."""
    film = plasma(shape, decay=1.5, rng=rng)
    grain = rng.random((*shape, 1)) ** 4  # few bright points, from which needles grow
    needles = np.zeros((*shape, 1))
    for _ in range(3):
        patches = plasma(shape, decay=1.4, rng=rng) ** 2
        needles = np.maximum(needles, smear(grain * patches, (6, 4.0), degrees=rng.uniform(0, 360, shape[0])))
    return (0.5 * film - 0.1 + 1.5 * needles / needles.max(axis=(1, 2), keepdims=True)).clip(0, 1)


def _luminance(images: Images) -> Float[np.ndarray, "n h w 1"]:
    if images.shape[-1] != len(LUMINANCE):
        return images.mean(axis=-1, keepdims=True)
    return (images @ LUMINANCE)[..., None]
