"""The 15 common corruptions at five severities: Hendrycks, Dietterich, 2019, arXiv 1903.12261, as in CIFAR-10-C.

The levels are those with which CIFAR-10-C was made. By them three corruptions do not change the pixels more with every
severity: elastic_transform stretches less as it wrinkles more, glass_blur blurs more before it scatters twice, frost
dims the scene as it adds ice. Under the first two a network is not always less accurate at a higher severity, either.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from benchmarks.probes import blur, digital, noise, weather
from jax_models.checks import check_choice, check_seed
from jax_models.errors import UsageError

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """One corruption: the paper's group, what it does to images, and its levels at severities 1 to 5."""

    group: Literal["noise", "blur", "weather", "digital"]
    apply: Callable[..., Any]
    levels: tuple[Any, ...]


CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        "gaussian_noise": Corruption("noise", noise.gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
        "shot_noise": Corruption("noise", noise.shot_noise, (500, 250, 100, 75, 50)),
        "impulse_noise": Corruption("noise", noise.impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07)),
        "defocus_blur": Corruption(
            "blur", blur.defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))
        ),
        "glass_blur": Corruption(
            "blur", blur.glass_blur, ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))
        ),
        "motion_blur": Corruption("blur", blur.motion_blur, ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))),
        "zoom_blur": Corruption("blur", blur.zoom_blur, (1.06, 1.11, 1.16, 1.21, 1.26)),
        "snow": Corruption(
            "weather",
            weather.snow,
            (
                (0.1, 0.2, 1.0, 0.6, 8.0, 3.0, 0.95),
                (0.1, 0.2, 1.0, 0.5, 10.0, 4.0, 0.9),
                (0.15, 0.3, 1.75, 0.55, 10.0, 4.0, 0.9),
                (0.25, 0.3, 2.25, 0.6, 12.0, 6.0, 0.85),
                (0.3, 0.3, 1.25, 0.65, 14.0, 12.0, 0.8),
            ),
        ),
        "frost": Corruption("weather", weather.frost, ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
        "fog": Corruption("weather", weather.fog, ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))),
        "brightness": Corruption("weather", weather.brightness, (0.05, 0.1, 0.15, 0.2, 0.3)),
        "contrast": Corruption("digital", digital.contrast, (0.75, 0.5, 0.4, 0.3, 0.15)),
        "elastic_transform": Corruption(
            "digital",
            digital.elastic_transform,
            ((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        ),
        "pixelate": Corruption("digital", digital.pixelate, (0.95, 0.9, 0.85, 0.75, 0.65)),
        "jpeg_compression": Corruption("digital", digital.jpeg_compression, (80, 65, 58, 50, 40)),
    }
)
"""The corruptions by name, in the paper's order."""

REPLACED: Mapping[str, str] = MappingProxyType(
    {
        "glass_blur": "SciPy's Gaussian blur; pixels at the edge are scattered, too",
        "motion_blur": "ImageMagick's kernel, computed with NumPy",
        "zoom_blur": "enlarged by exact factors; the authors' code crops whole pixels first",
        "snow": "ImageMagick's motion blur computed with NumPy, and flakes not rounded to 8 bits",
        "frost": "drawn ice in place of photographs of frost",
        "elastic_transform": "one interpolation in place of two, OpenCV's and SciPy's",
        "jpeg_compression": "Pillow of today, whose colour subsampling and tables may differ from those of 2018",
    }
)
"""What differs from the code that made CIFAR-10-C, by corruption; the others follow it up to rounding."""


def corrupt(
    images: UInt8[np.ndarray, "n h w c"], corruption: str, *, severity: int, seed: int = 0
) -> UInt8[np.ndarray, "n h w c"]:
    """The images, of 1 or 3 channels, corrupted; the same every time for the same images, corruption and seed.

    What is drawn does not depend on the severity where the levels allow it, so that severities are compared on the same
    noise, clouds and directions.

    Raises:
        UsageError: no such corruption, or a severity that is not 1 to 5.
    """
    check_choice("corruption", corruption, CORRUPTIONS)
    if severity not in SEVERITIES:
        raise UsageError(f"severity is {severity}; it must be 1, 2, 3, 4 or 5")
    check_seed(seed)
    chosen = CORRUPTIONS[corruption]
    rng = np.random.default_rng((seed, list(CORRUPTIONS).index(corruption)))
    pixels = images.astype(np.float32) / np.float32(255)
    corrupted = chosen.apply(pixels, chosen.levels[severity - 1], rng=rng)
    return np.rint(255 * corrupted.clip(0, 1)).astype(np.uint8)
