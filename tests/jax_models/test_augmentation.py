"""Augmentation moves and mirrors whole images, and does nothing else; normalisation gives mean 0 and deviation 1."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_models.data.augment import normalize, take_augmented

HEIGHT, WIDTH, PADDING, DRAWS = 6, 7, 2, 1000
IMAGES = np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH, 2), dtype=np.uint8)
WHICH = 1  # the image that is drawn


def draw(*, crop_padding: int, flip: bool, seed: int = 0, count: int = DRAWS) -> np.ndarray:
    """The same image many times, each time augmented."""
    indices, key = jnp.full((count,), WHICH), jax.random.key(seed)
    settings = {"crop_padding": jnp.asarray(crop_padding), "flip": jnp.asarray(flip)}
    return np.asarray(take_augmented(jnp.asarray(IMAGES), indices, key, **settings))


def windows(crop_padding: int, *, mirrored: bool) -> set[bytes]:
    """Every crop of the reflect-padded image, of the image's size."""
    image = IMAGES[WHICH, :, ::-1] if mirrored else IMAGES[WHICH]
    padded = np.pad(image, ((crop_padding, crop_padding), (crop_padding, crop_padding), (0, 0)), mode="reflect")
    offsets = itertools.product(range(2 * crop_padding + 1), repeat=2)
    return {padded[top : top + HEIGHT, left : left + WIDTH].tobytes() for top, left in offsets}


def as_set(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_without_crop_and_flip_the_images_come_back_exactly():
    settings = {"crop_padding": jnp.asarray(0), "flip": jnp.asarray(False)}
    taken = take_augmented(jnp.asarray(IMAGES), jnp.asarray([2, 0, 2]), jax.random.key(0), **settings)
    assert taken.dtype == jnp.uint8
    assert (np.asarray(taken) == IMAGES[[2, 0, 2]]).all()


@pytest.mark.parametrize("crop_padding", [1, PADDING])
def test_crops_are_all_windows_of_the_reflect_padded_image_and_nothing_else(crop_padding):
    assert as_set(draw(crop_padding=crop_padding, flip=False)) == windows(crop_padding, mirrored=False)


def test_crop_and_flip_together_give_all_windows_of_the_image_and_of_its_mirror_image():
    both = windows(PADDING, mirrored=False) | windows(PADDING, mirrored=True)
    assert len(both) == 2 * (2 * PADDING + 1) ** 2
    assert as_set(draw(crop_padding=PADDING, flip=True)) == both


def test_about_half_of_the_images_are_mirrored_left_to_right():
    mirrored = [image.tobytes() == IMAGES[WHICH, :, ::-1].tobytes() for image in draw(crop_padding=0, flip=True)]
    assert as_set(draw(crop_padding=0, flip=True)) == {IMAGES[WHICH].tobytes(), IMAGES[WHICH, :, ::-1].tobytes()}
    assert abs(np.mean(mirrored) - 0.5) < 0.08, "five standard deviations"


def test_each_example_keeps_its_place_in_the_batch():
    settings = {"crop_padding": jnp.asarray(PADDING), "flip": jnp.asarray(True)}
    taken = take_augmented(jnp.asarray(IMAGES), jnp.asarray([2, 0, 1]), jax.random.key(0), **settings)
    for image, index in zip(np.asarray(taken), [2, 0, 1], strict=True):
        assert set(np.unique(image[..., 0])) <= set(np.unique(IMAGES[index, ..., 0]))


def test_the_same_key_gives_the_same_batch_and_another_key_another():
    settings = {"crop_padding": PADDING, "flip": True, "count": 20}
    assert (draw(**settings) == draw(**settings)).all()
    assert (draw(**settings) != draw(**settings, seed=1)).any()


def test_normalised_images_have_mean_0_and_deviation_1_in_every_channel():
    images = np.random.default_rng(1).integers(0, 256, (20, 8, 8, 2), dtype=np.uint8)
    images[..., 1] //= 3  # a darker channel of less contrast
    mean, std = (jnp.asarray(statistic / 255) for statistic in (images.mean((0, 1, 2)), images.std((0, 1, 2))))
    normalised = np.asarray(normalize(jnp.asarray(images), mean, std), np.float64)
    assert normalised.mean((0, 1, 2)) == pytest.approx([0, 0], abs=1e-5)
    assert normalised.std((0, 1, 2)) == pytest.approx([1, 1], abs=1e-5)
