"""The painted FashionMNIST: what pictures and prompts hold, and that a picture can be read back."""

from collections import Counter

import numpy as np
import pytest

from space.demo_models.pictures.seeing import colours_of, greys_of, to_lab
from space.demo_models.pictures.wardrobe import (
    COLOURS,
    GARMENTS,
    PALETTE,
    SIZE,
    balanced_colours,
    evaluation_requests,
    known_words,
    name_thing,
    pad,
    tint,
    write_prompt,
)

WHITE, BLACK = 1.0, 0.0


def squares(count: int, *, seed: int = 0) -> np.ndarray:
    """Grey images of woven squares on black, as FashionMNIST has garments."""
    images = np.zeros((count, SIZE, SIZE), np.uint8)
    images[:, 8:24, 8:24] = np.random.default_rng(seed).integers(60, 256, size=(count, 16, 16))
    return images


def painted(images: np.ndarray, *, background: float) -> np.ndarray:
    """The images in the ten colours in turn, rounded as a PNG rounds."""
    colours = PALETTE[np.arange(len(images)) % len(PALETTE)]
    pictures = tint(images, colours=colours, backgrounds=np.full(len(images), background, np.float32))
    return np.round(pictures.astype(np.float64) * 255) / 255


@pytest.mark.parametrize("background", [WHITE, BLACK])
def test_black_becomes_background_and_full_grey_becomes_the_colour(background):
    grey = np.zeros((1, SIZE, SIZE), np.uint8)
    grey[0, 5, 5] = 255
    picture = tint(grey, colours=PALETTE[:1], backgrounds=np.array([background], np.float32))[0]
    np.testing.assert_allclose(picture[5, 5], PALETTE[0], atol=1e-6)
    np.testing.assert_allclose(picture[0, 0], background, atol=1e-6)


@pytest.mark.parametrize("background", [WHITE, BLACK])
def test_colour_of_a_painted_garment_is_read_back(background):
    pictures = painted(squares(20), background=background)
    np.testing.assert_array_equal(colours_of(pictures), np.arange(20) % len(COLOURS))


@pytest.mark.parametrize("background", [WHITE, BLACK])
def test_grey_of_a_painted_garment_is_read_back(background):
    images = squares(20)
    differences = np.abs(greys_of(painted(images, background=background)).astype(int) - images)
    assert differences.mean() < 1
    assert differences.max() <= 4


def test_a_picture_without_a_garment_has_no_colour():
    assert colours_of(np.ones((1, SIZE, SIZE, 3))).tolist() == [-1]


def test_lab_of_white_and_of_red_are_the_published_values():
    np.testing.assert_allclose(to_lab(np.array([1.0, 1.0, 1.0])), [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(to_lab(np.array([1.0, 0.0, 0.0])), [53.24, 80.09, 67.20], atol=0.02)


def test_the_ten_colours_lie_well_apart():
    lab = to_lab(PALETTE.astype(np.float64))
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert distances[~np.eye(len(lab), dtype=bool)].min() > 25


def test_evaluation_asks_for_every_pair_once_with_a_seed_of_its_own():
    requests = evaluation_requests()
    assert len(requests) == 100
    assert len({(request.garment, request.colour) for request in requests}) == 100
    assert len({request.seed for request in requests}) == 100
    assert requests == evaluation_requests()
    assert [request.prompt for request in requests[::33]] == [
        "a red t-shirt",
        "a green dress",
        "a purple shirt",
        "a gray boot",
    ]


@pytest.mark.parametrize(
    ("garment", "colour", "adjective", "expected"),
    [
        ("sneaker", "red", "", "a red sneaker"),
        ("bag", "orange", "", "an orange bag"),
        ("trousers", "gray", "", "gray trousers"),
        ("boot", "red", "old", "an old red boot"),
    ],
)
def test_things_are_named_in_english(garment, colour, adjective, expected):
    assert name_thing(garment, colour, adjective=adjective) == expected


def test_prompts_name_garment_and_colour_and_black_backgrounds():
    rng = np.random.default_rng(0)
    for _ in range(200):
        garment, colour = int(rng.integers(10)), int(rng.integers(10))
        prompt = write_prompt(rng, garment=garment, colour=colour, background="black")
        assert list(COLOURS)[colour] in prompt
        assert any(word in prompt for word in GARMENTS[garment])
        assert "black" in prompt


def test_prompts_are_the_same_for_the_same_generator():
    prompts = [
        write_prompt(np.random.default_rng(5), garment=1, colour=2, background="white"),
        write_prompt(np.random.default_rng(5), garment=1, colour=2, background="white"),
    ]
    assert prompts[0] == prompts[1]


def test_every_garment_wears_every_colour_equally_often():
    garments = np.repeat(np.arange(10), 30)
    colours = balanced_colours(garments, np.random.default_rng(0))
    assert set(Counter(zip(garments.tolist(), colours.tolist(), strict=True)).values()) == {3}


def test_known_words_hold_garments_and_colours():
    words = set(known_words())
    assert words >= {*COLOURS, "shirt", "trousers", "running", "white", "black", "a", "an"}


def test_padding_puts_the_garment_in_the_middle():
    padded = pad(np.full((1, 28, 28, 1), 9, np.uint8))
    assert padded.shape == (1, SIZE, SIZE)
    assert padded[0, 2:30, 2:30].min() == 9
    assert padded.sum() == 9 * 28 * 28
