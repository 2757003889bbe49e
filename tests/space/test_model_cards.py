"""The cards of the shipped weights say what their metrics say."""

import json
from pathlib import Path

import pytest

from space.demo_models.cards import question_answering_card, sentiment_card
from space.demo_models.lab_cards import write_card
from space.demo_models.pictures.card import render_card
from space.folders import WEIGHTS

ADAPTERS_AND_PICTURES = {
    "question_answering": question_answering_card,
    "sentiment": sentiment_card,
    "text_to_image": render_card,
}


@pytest.mark.parametrize(("name", "render"), ADAPTERS_AND_PICTURES.items(), ids=ADAPTERS_AND_PICTURES)
def test_a_card_is_written_from_its_metrics(name, render):
    metrics = json.loads((WEIGHTS / name / "metrics.json").read_text(encoding="utf-8"))
    assert (WEIGHTS / name / "README.md").read_text(encoding="utf-8") == render(metrics)


def test_the_labs_card_is_written_from_the_descriptions_in_the_files(tmp_path: Path):
    for file in (WEIGHTS / "attention").glob("*.safetensors"):
        (tmp_path / file.name).symlink_to(file)
    write_card(tmp_path)
    assert (WEIGHTS / "attention" / "README.md").read_text() == (tmp_path / "README.md").read_text()


def test_the_calibration_is_the_one_that_was_measured_with():
    folder = WEIGHTS / "question_answering"
    metrics, calibration = (json.loads((folder / f"{name}.json").read_text()) for name in ("metrics", "calibration"))
    assert calibration == {"no_answer_threshold": metrics["no_answer_threshold"]}
