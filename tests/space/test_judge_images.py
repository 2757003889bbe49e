"""The judge of the pictures, a shipped network, on the hundred pictures of the shipped model."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("diffusers")
from PIL import Image

from jax_models.data import DATASETS, Dataset
from jax_models.errors import UsageError
from space.demo_models.judge_images import Judge, Verdict, contact_sheet, describe, judge_real_images, main
from space.demo_models.pictures.seeing import greys_of
from space.demo_models.pictures.wardrobe import SIZE, evaluation_requests
from space.folders import WEIGHTS, zoo_folder

PICTURES = WEIGHTS / "text_to_image"
GARMENTS, COLOURS = (
    np.array([getattr(request, name) for request in evaluation_requests()]) for name in ("garment", "colour")
)


@pytest.fixture(scope="module")
def judge() -> Judge:
    """LeNet-5 of the zoo."""
    return Judge(zoo_folder() / "fashion_mnist" / "lenet5-quick")


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """The hundred pictures, in the order of the requests, out of the sheet that the command wrote."""
    sheet = np.asarray(Image.open(PICTURES / "samples.png").convert("RGB"))[::3, ::3]
    rows = sheet.reshape(10, SIZE, 10, SIZE, 3).transpose(0, 2, 1, 3, 4)
    return rows.reshape(100, SIZE, SIZE, 3) / 255


def test_the_sheet_holds_the_pictures_in_order(pictures):
    np.testing.assert_array_equal(contact_sheet(pictures), Image.open(PICTURES / "samples.png").convert("RGB"))


def test_the_judge_sees_garments_and_colours(judge, pictures):
    verdict = judge.verdict(pictures, garments=GARMENTS, colours=COLOURS)
    assert verdict.count == 100
    assert verdict.colour == 100
    assert verdict.garment >= 90
    assert verdict.both == verdict.garment


def test_what_was_not_asked_for_is_wrong(judge, pictures):
    right = judge.verdict(pictures, garments=GARMENTS, colours=COLOURS)
    other_colours = judge.verdict(pictures, garments=GARMENTS, colours=(COLOURS + 1) % 10)
    assert other_colours == Verdict(100, right.garment, 0, 0)
    other_garments = judge.verdict(pictures, garments=(GARMENTS + 5) % 10, colours=COLOURS)
    assert (other_garments.garment, other_garments.colour) == (other_garments.both, 100)
    assert other_garments.garment <= 10


def test_an_empty_picture_is_right_in_nothing(judge):
    blank = np.ones((10, SIZE, SIZE, 3))
    verdict = judge.verdict(blank, garments=np.arange(10), colours=np.arange(10))
    assert (verdict.colour, verdict.both) == (0, 0)
    assert verdict.garment <= 1


def test_real_images_are_painted_in_the_ten_colours_before_they_are_judged(judge, pictures):
    greys = greys_of(pictures)[:, 2:30, 2:30, None]
    labels = GARMENTS.astype(np.int32)
    dataset = Dataset(
        DATASETS["fashion_mnist"], source="drawn", official_train=(greys, labels), open_test=lambda: (greys, labels)
    )
    verdict = judge_real_images(judge, dataset, count=40)
    assert (verdict.count, verdict.colour) == (40, 40)
    assert verdict.garment >= 34
    swapped = Dataset(
        DATASETS["fashion_mnist"],
        source="drawn",
        official_train=(greys, labels),
        open_test=lambda: (greys, (labels + 5) % 10),
    )
    assert judge_real_images(judge, swapped, count=40).garment <= 4


def test_a_verdict_is_described_as_the_shipped_metrics_have_it():
    shipped = json.loads((PICTURES / "metrics.json").read_text())["evaluation"]
    for figures in (shipped["prompts"], shipped["real_images"]):
        right = (figures[name]["right"] for name in ("garment", "colour", "both"))
        described = describe(Verdict(figures["count"], *right))
        for name in ("garment", "colour", "both"):
            assert described[name]["share"] == figures[name]["share"]
            assert described[name]["interval"] == pytest.approx(figures[name]["interval"], abs=1e-6)


@pytest.mark.parametrize("folder", [zoo_folder(), WEIGHTS / "attention"], ids=["seven", "none"])
def test_a_folder_without_exactly_one_judge_is_refused(folder: Path):
    with pytest.raises(UsageError, match=r"must hold one finished run on fashion_mnist and holds [07]; make one"):
        Judge(folder)


def test_the_command_as_it_is_typed_wants_only_its_judge(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"out.judge must hold .*--preset quick --out out.judge"):
        main([])
