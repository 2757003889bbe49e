"""A folder of pictures as a data set: splits, classes, and what is wrong with a folder in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jax_models.data.folders import load_folder
from jax_models.errors import UsageError
from jax_models.pretrained.pictures import as_photo, read_picture

GREY = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


def make_folder(folder: Path, *, count: int = 20) -> Path:
    """Pictures of three colours, of several sizes and formats."""
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name / "deeper").mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(colour, 25, (40 + number, 50, 3)), 0, 255).astype(np.uint8)
            place = folder / name / ("deeper" if number % 2 else ".") / f"{number}.{'png' if number % 3 else 'jpg'}"
            Image.fromarray(pixels).save(place)
    (folder / ".hidden").mkdir()
    (folder / "red" / "notes.txt").write_text("not a picture, and not looked at")
    return folder


def load(folder: Path):
    return load_folder(folder, to_pixels=as_photo, read=read_picture, **GREY)


def test_sub_folders_are_the_classes_and_every_picture_is_in_one_split(tmp_path):
    dataset = load(make_folder(tmp_path / "colours"))
    assert dataset.spec.classes == ("blue", "green", "red")
    assert dataset.spec.shape == (32, 32, 3)
    assert dataset.spec.title == "colours"
    assert dataset.spec.sizes == {"train": 48, "test": 12}
    assert len(dataset.train) + len(dataset.validation) == 48
    assert np.bincount(dataset.test.labels).tolist() == [4, 4, 4]
    brightest = dataset.test.images.mean((1, 2)).argmax(-1)  # red, green, blue
    assert (brightest == 2 - dataset.test.labels).all()


def test_the_same_folder_gives_the_same_splits_and_another_one_another_name(tmp_path):
    first, second = load(make_folder(tmp_path / "colours")), load(tmp_path / "colours")
    assert first.spec.name == second.spec.name
    np.testing.assert_array_equal(first.test.images, second.test.images)
    Image.new("RGB", (9, 9), "red").save(tmp_path / "colours" / "red" / "one_more.png")
    assert load(tmp_path / "colours").spec.name != first.spec.name


def test_what_is_wrong_with_a_folder_is_told_in_one_line(tmp_path):
    folder = make_folder(tmp_path / "colours")
    (tmp_path / "one" / "red").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(tmp_path / "one" / "red" / "a.png")
    (tmp_path / "empty").mkdir()
    for path, words in (
        (tmp_path / "none", r"there is no folder .*none; give folder:PATH"),
        (tmp_path / "one", "has one class, red; there must be two sub-folders at least"),
        (tmp_path / "empty", "has no class with pictures; there must be two"),
        (make_folder(tmp_path / "few", count=9), "must have 10 pictures at least: blue has 9, green has 9, red has 9"),
    ):
        with pytest.raises(UsageError, match=words) as error:
            load(path)
        assert "\n" not in str(error.value)
    for number in range(5):
        (folder / "red" / f"broken{number}.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    with pytest.raises(UsageError, match=r"5 of 65 pictures cannot be used.*broken0.png.*broken2.png.*and 2 more"):
        load(folder)
