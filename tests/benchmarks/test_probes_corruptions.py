"""Corruptions are the paper's: reproducible, of the stated size, harder with severity, harmless at level zero."""

import functools

import numpy as np
import pytest
from matplotlib.colors import rgb_to_hsv
from sklearn.datasets import load_sample_image

from benchmarks.probes import blur, digital, noise, weather
from benchmarks.probes.corruptions import CORRUPTIONS, REPLACED, SEVERITIES, corrupt
from jax_models.errors import UsageError

SIDE = 32
# By the published levels these do not change the pixels more with every severity; see the module's docstring.
NOT_ORDERED_BY_PIXELS = {"elastic_transform", "frost", "glass_blur"}
WITHOUT_CHANCE = {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"}


@functools.cache
def photographs() -> np.ndarray:
    """30 pieces of two photographs that scikit-learn ships, uint8 (30, 32, 32, 3), a quarter as large as taken."""
    pieces = []
    for name in ("china.jpg", "flower.jpg"):
        picture = load_sample_image(name)[:384, :640].reshape(96, 4, 160, 4, 3).mean(axis=(1, 3))
        pieces.append(picture.reshape(3, SIDE, 5, SIDE, 3).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 3))
    return np.concatenate(pieces).round().astype(np.uint8)


def digits() -> np.ndarray:
    """Four grey images with a mottled stroke on black, uint8 (4, 28, 28, 1)."""
    images, rng = np.zeros((4, 28, 28, 1), np.uint8), np.random.default_rng(0)
    for number, image in enumerate(images):
        image[4:24, 8 + 3 * number : 11 + 3 * number] = rng.integers(128, 256, (20, 3, 1))
    return images


def floats(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 255


def mean_squared_change(changed: np.ndarray, images: np.ndarray) -> float:
    return float(np.mean((changed.astype(float) - images) ** 2))


def test_there_are_the_fifteen_of_the_paper_with_five_levels_each():
    assert len(CORRUPTIONS) == 15
    assert {len(corruption.levels) for corruption in CORRUPTIONS.values()} == {5}
    groups = [corruption.group for corruption in CORRUPTIONS.values()]
    assert {group: groups.count(group) for group in groups} == {"noise": 3, "blur": 4, "weather": 4, "digital": 4}
    assert set(REPLACED) <= set(CORRUPTIONS)


@pytest.mark.parametrize("images", [digits(), photographs()[:4]], ids=["grey", "colour"])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_keeps_shape_and_type_changes_something_and_comes_out_the_same_again(name, images):
    before = images.copy()
    for severity in SEVERITIES:
        corrupted = corrupt(images, name, severity=severity)
        assert corrupted.shape == images.shape
        assert corrupted.dtype == np.uint8
        assert (corrupted != images).any()
        assert (corrupt(images, name, severity=severity) == corrupted).all()
    assert (images == before).all()
    another = corrupt(images, name, severity=5, seed=1)
    assert (another == corrupted).all() == (name in WITHOUT_CHANCE)


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - NOT_ORDERED_BY_PIXELS))
def test_a_higher_severity_changes_photographs_more(name):
    images = photographs()
    changes = [mean_squared_change(corrupt(images, name, severity=severity), images) for severity in SEVERITIES]
    assert min(changes) > 0
    # Motion blur's levels 3 and 4 differ only in the radius, beyond three deviations.
    assert (np.diff(changes) >= -1e-3 * np.array(changes[1:])).all(), changes
    assert changes[4] > 2 * changes[0]


def test_frost_hides_more_of_the_scene_with_severity():
    images = photographs()
    left = [np.corrcoef(corrupt(images, "frost", severity=s).ravel(), images.ravel())[0, 1] for s in SEVERITIES]
    assert (np.diff(left) < 0).all(), left


def test_glass_scatters_farther_from_severity_four_on():
    images = photographs()
    changes = [mean_squared_change(corrupt(images, "glass_blur", severity=s), images) for s in SEVERITIES]
    assert min(changes[3:]) > 1.2 * max(changes[:3]), changes


def test_elastic_transform_wrinkles_more_and_stretches_less_with_severity():
    def unevenness(severity: int) -> float:
        """How far a straight ramp of grey is from straight afterwards, in steps between neighbours."""
        ramp = np.tile(np.arange(SIDE, dtype=np.float32)[:, None, None] / SIDE, (20, 1, SIDE, 1))
        level = CORRUPTIONS["elastic_transform"].levels[severity - 1]
        moved = digital.elastic_transform(ramp, level, rng=np.random.default_rng(0))[:, 6:-6, 6:-6]
        return float(np.abs(np.diff(moved, n=2, axis=1)).mean())

    wrinkles = [unevenness(severity) for severity in SEVERITIES]
    assert (np.diff(wrinkles) > 0).all(), wrinkles
    assert wrinkles[0] < 1e-6  # severity 1 is an affine map


NOTHING = {
    "gaussian_noise": 0.0,
    "impulse_noise": 0.0,
    "shot_noise": 10**8,
    "defocus_blur": (0.3, 1e-3),
    "glass_blur": (0.0, 0, 1),
    "motion_blur": (6, 1e-3),
    "zoom_blur": 1.0,
    "snow": (0.0, 0.1, 1.0, 9.0, 8.0, 3.0, 1.0),
    "frost": (1.0, 0.0),
    "fog": (0.0, 3.0),
    "brightness": 0.0,
    "contrast": 1.0,
    "elastic_transform": (0.0, 0.0, 0.0),
    "pixelate": 1.0,
}


@pytest.mark.parametrize("images", [digits(), photographs()[:4]], ids=["grey", "colour"])
@pytest.mark.parametrize("name", NOTHING)
def test_the_level_that_means_nothing_leaves_the_image_as_it_was(name, images):
    unchanged = CORRUPTIONS[name].apply(floats(images), NOTHING[name], rng=np.random.default_rng(0))
    np.testing.assert_allclose(unchanged, floats(images), atol=1e-3)


def test_noise_has_the_deviation_of_its_level():
    grey, rng = np.full((20, SIDE, SIDE, 3), 0.5, np.float32), np.random.default_rng(0)
    assert np.std(noise.gaussian_noise(grey, 0.08, rng=rng)) == pytest.approx(0.08, rel=0.02)
    assert np.std(noise.shot_noise(grey, 100, rng=rng)) == pytest.approx(np.sqrt(0.5 / 100), rel=0.02)
    peppered = noise.impulse_noise(grey, 0.07, rng=rng)
    assert np.mean(peppered == 0) == pytest.approx(0.035, rel=0.1)
    assert np.mean(peppered == 1) == pytest.approx(0.035, rel=0.1)


def test_motion_blur_draws_a_point_out_to_one_side():
    point = np.zeros((1, 31, 31, 1), np.float32)
    point[0, 15, 15] = 1
    trace = blur.smear(point, (6, 2.0), degrees=np.zeros(1))[0, :, :, 0]
    assert trace.sum() == pytest.approx(1, abs=1e-6)
    assert set(np.argwhere(trace)[:, 0]) == {15}
    assert set(np.argwhere(trace)[:, 1]) == set(range(3, 16))
    assert (np.diff(trace[15, 3:16]) > 0).all()
    downwards = blur.smear(point, (6, 2.0), degrees=np.full(1, -90.0))[0, :, :, 0]
    np.testing.assert_allclose(downwards, trace[:, ::-1].T, atol=1e-6)


def test_enlarging_keeps_the_middle_and_spreads_the_rest():
    line = np.zeros((1, 33, 33, 1), np.float32)
    line[0, :, [16, 24]] = 1
    enlarged = blur.enlarge(line, 1.5)[0, 16, :, 0]
    assert enlarged.argmax() == 16
    assert enlarged[28] == pytest.approx(1)
    assert enlarged.sum() == pytest.approx(2 * (1 + 2 / 3))  # each point is now a hat, 1.5 pixels to either side


@pytest.mark.parametrize("name", ["defocus_blur", "motion_blur", "contrast"])
def test_blurs_and_contrast_keep_the_mean_brightness(name):
    images = photographs()
    assert corrupt(images, name, severity=5).mean() == pytest.approx(images.mean(), rel=0.02)


def test_brightness_keeps_hue_and_saturation_and_raises_the_value():
    images = floats(photographs())
    brighter = weather.brightness(images, 0.2, rng=np.random.default_rng(0))
    expected = rgb_to_hsv(images)
    expected[..., 2] = np.minimum(expected[..., 2] + 0.2, 1)
    got = rgb_to_hsv(brighter)
    np.testing.assert_allclose(got[..., 1:], expected[..., 1:], atol=1e-4)
    turn = np.abs(got[..., 0] - expected[..., 0])
    assert np.minimum(turn, 1 - turn).max() < 1e-2


def test_clouds_fill_the_range_and_are_smoother_where_details_fade_faster():
    def roughness(decay: float) -> float:
        clouds = weather.plasma((30, 28, 32), decay=decay, rng=np.random.default_rng(0))
        assert clouds.shape == (30, 28, 32, 1)
        assert clouds.min() >= 0
        assert clouds.max() <= 1
        assert np.ptp(clouds, axis=(1, 2)).min() > 0.7
        return float(np.abs(np.diff(clouds, axis=1)).mean())

    assert roughness(1.5) > 1.3 * roughness(2.0)
    assert roughness(2.0) > 1.1 * roughness(3.0)


def test_jpeg_changes_photographs_more_than_what_is_flat():
    flat = np.full((2, SIDE, SIDE, 3), 128, np.uint8)
    assert mean_squared_change(corrupt(flat, "jpeg_compression", severity=5), flat) < 1
    assert mean_squared_change(corrupt(photographs(), "jpeg_compression", severity=5), photographs()) > 20


def test_a_wrong_name_or_severity_says_what_is_allowed():
    with pytest.raises(UsageError, match=r"unknown corruption 'rain'; choose from: gaussian_noise .* jpeg_compression"):
        corrupt(digits(), "rain", severity=1)
    for severity in (0, 6):
        with pytest.raises(UsageError, match="must be 1, 2, 3, 4 or 5"):
            corrupt(digits(), "fog", severity=severity)
