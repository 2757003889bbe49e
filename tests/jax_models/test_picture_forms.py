"""Pictures of any kind brought into the form of the data sets, and files that are none."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from jax_models.errors import UsageError
from jax_models.pretrained import pictures
from jax_models.pretrained.pictures import as_digit, as_garment, as_photo, read_picture


def stroke(*, ink: str, ground: str | None, size: tuple[int, int] = (300, 200), at: int = 40) -> Image.Image:
    """An upright bar, off centre."""
    image = Image.new("RGBA", size, ground or (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((at, 30, at + 20, 130), fill=ink)
    return image


def test_a_digit_is_centred_by_mass_in_a_box_of_20_whatever_its_colours():
    forms = [("black", "white"), ("white", "black"), ("black", None), ("white", None), ("navy", "#f4f0e8")]
    pictures = [as_digit(stroke(ink=ink, ground=ground)) for ink, ground in forms]
    for pixels in pictures:
        assert pixels.shape == (28, 28, 1)
        assert pixels.dtype == np.uint8
        rows, columns = np.nonzero(pixels[..., 0] > 128)
        assert rows.max() - rows.min() + 1 == 20
        assert abs(rows.mean() - 13.5) <= 0.5
        assert abs(columns.mean() - 13.5) <= 0.5
        assert pixels.max() == 255
        assert pixels[0].max() == 0
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_a_picture_in_mnists_own_form_stays_as_it_is():
    pixels = np.zeros((28, 28, 1), np.uint8)
    pixels[4:24, 8:12] = 255
    pixels[4:24, 12] = 128
    picture = Image.fromarray(pixels[..., 0])
    assert np.array_equal(as_digit(picture), pixels)
    assert np.array_equal(as_garment(picture), pixels)


def test_a_garment_fills_the_longer_side():
    pixels = as_garment(stroke(ink="white", ground="black"))
    rows, columns = np.nonzero(pixels[..., 0] > 128)
    assert rows.max() - rows.min() + 1 == 28
    assert abs(columns.mean() - 13.5) <= 1


def test_a_photo_is_the_middle_square_in_colour():
    image = Image.new("RGBA", (300, 100), "red")
    image.paste("blue", (100, 0, 200, 100))
    pixels = as_photo(image)
    assert pixels.shape == (32, 32, 3)
    assert np.abs(pixels.reshape(-1, 3).astype(int) - (0, 0, 255)).max() <= 2


def test_a_large_photo_becomes_the_same_as_a_small_one():
    """Work is done on a copy of at most 1,024 pixels a side."""
    assert np.abs(as_photo(Image.new("RGB", (4000, 3000), "green")).astype(int) - (0, 128, 0)).max() == 0


def test_an_empty_picture_is_said_to_be_empty():
    for empty in (Image.new("L", (280, 280)), Image.new("RGBA", (50, 50), (0, 0, 0, 0)), Image.new("L", (1, 1), 255)):
        for form in (as_digit, as_garment):
            with pytest.raises(UsageError, match="the picture is empty"):
                form(empty)


def test_a_file_is_read_upright(tmp_path):
    image = Image.new("RGB", (40, 20), "red")
    exif = image.getexif()
    exif[274] = 6  # to be turned by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").size == (20, 40)


def test_what_is_no_picture_is_told_in_one_line(tmp_path, monkeypatch):
    Image.new("RGB", (40, 20), "red").save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:50])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    told = {"cut.png": "is broken", "text.png": "is not a picture", "empty.png": "is not a picture"}
    for name, words in (told | {"none.png": "No such file", ".": "Is a directory"}).items():
        with pytest.raises(UsageError, match=words) as error:
            read_picture(tmp_path / name)
        assert "\n" not in str(error.value)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 799)
    with pytest.raises(UsageError, match="more than"):
        read_picture(tmp_path / "whole.png")
