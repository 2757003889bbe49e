"""`python -m jax_models.predict`: what the networks of the zoo say of pictures."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from jax_models.errors import UsageError
from jax_models.predict import main
from jax_models.registry import MODELS


@pytest.fixture
def one(tmp_path):
    """A one, drawn with a pen."""
    picture = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(picture).line((100, 30, 100, 170), fill="black", width=16)
    picture.save(tmp_path / "one.png")
    return tmp_path / "one.png"


def test_all_seven_families_say_what_they_see(one, capsys):
    main([str(one)])
    shown = capsys.readouterr().out
    assert "one.png" in shown
    lines = [line.split() for line in shown.splitlines()]
    for spec in MODELS.values():
        (line,) = [line for line in lines if line and line[0] == spec.title]
        assert line[1] == "1"
        assert float(line[2]) > 50


def test_one_network_and_one_class_are_enough(one, tmp_path, capsys):
    Image.fromarray(np.full((40, 60, 3), 128, np.uint8)).save(tmp_path / "grey.jpg")
    pictures = [str(one), str(tmp_path / "grey.jpg")]
    main([*pictures, "--model", "lenet5", "--dataset", "cifar10", "--top", "1"])
    shown = capsys.readouterr().out
    assert shown.count("LeNet-5") == 2
    assert "AlexNet" not in shown
    assert " or " not in shown


def test_many_classes_are_shown_in_a_narrow_terminal(one, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    main([str(one), "--model", "lenet5", "--top", "10"])
    shown = capsys.readouterr().out
    assert "The classes are those of MNIST" in shown
    words = shown.replace(",", " ").split()
    assert set("0123456789") <= set(words)


def test_what_cannot_be_shown_is_told_before_anything_is_loaded(one, tmp_path, monkeypatch):
    monkeypatch.setattr("jax_models.predict.from_pretrained", None)
    (tmp_path / "note.txt").write_text("hello")
    for arguments, words in (
        ([str(one), str(tmp_path / "note.txt")], "note.txt is not a picture"),
        ([str(tmp_path / "none.png")], "none.png: No such file"),
        ([str(one), "--dataset", "imagenet"], "invalid choice: 'imagenet'"),
        ([str(one), "--model", "mnist/lenet5-quick", "--dataset", "cifar10"], "--dataset is for families and all"),
        ([str(one), "--top", "0"], "'0' is not a whole number of at least 1"),
    ):
        with pytest.raises(UsageError, match=words):
            main(arguments)


def test_an_empty_picture_is_named(one, tmp_path):
    Image.new("RGB", (50, 50), "white").save(tmp_path / "empty.png")
    with pytest.raises(UsageError, match=r"empty\.png: the picture is empty"):
        main([str(one), str(tmp_path / "empty.png"), "--model", "lenet5"])
    with pytest.raises(UsageError, match="no trained network 'resnet99'"):
        main([str(one), "--model", "resnet99"])
