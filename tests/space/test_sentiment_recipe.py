"""The recipe for sentiment: which sentences teach and which judge, and the true code on a tiny random BERT."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from jax_models.errors import UsageError
from space.demo_models import everyday
from space.demo_models.command import AdapterPlan
from space.demo_models.intervals import wilson_interval
from space.demo_models.sentiment import EVERYDAY, LABELS, Review, divide, read_reviews
from space.folders import WEIGHTS

PLAN = AdapterPlan(steps=30, batch_size=8, rank=2, learning_rate=1e-2, checkpoint_every=5)


def test_every_tenth_line_of_each_file_is_the_test():
    files = [[f"bad {number}" for number in range(25)], [f"good {number}" for number in range(10)]]
    training, test = divide(files)
    assert test == [Review("bad 9", 0), Review("bad 19", 0), Review("good 9", 1)]
    assert len(training) == 32


def test_no_sentence_of_the_test_teaches_and_none_teaches_twice():
    files = [["same", "dull", "dull", *"abcdef", "same"], ["fine", *"ghijklmno"]]
    training, test = divide(files)
    assert [review.text for review in test] == ["same", "o"]
    assert "same" not in {review.text for review in training}
    assert [review.text for review in training].count("dull") == 1


def test_another_archive_is_refused_with_its_origin(tmp_path):
    (tmp_path / "sentence_polarity.zip").write_bytes(b"something else")
    with pytest.raises(UsageError, match=r"expected 6e1ed440.*Pang and Lee 2005, CC BY 4\.0"):
        read_reviews(tmp_path)


def test_everyday_sentences_are_forty_and_each_is_there_once():
    assert len(everyday.POSITIVE) == len(everyday.NEGATIVE) == 20
    assert len({review.text for review in EVERYDAY}) == 40


def test_wilson_interval_is_the_published_one():
    low, high = wilson_interval(82, 100)
    assert (low, high) == pytest.approx((0.733, 0.883), abs=5e-4)
    assert wilson_interval(10, 10)[1] == pytest.approx(1)


def test_the_recipe_learns_and_its_adapter_knows_its_labels(tiny_models, tmp_path):
    pytest.importorskip("peft")
    from transformers import AutoModelForSequenceClassification

    from space.demo_models.adapters import load_adapted
    from space.demo_models.sentiment import make, probabilities

    good, bad = "I loved this wonderful film.", "What a terrible and dull waste, I hated it."
    reviews = [Review(good, 1), Review(bad, 0)] * 40
    base = tiny_models / "offline" / "minilm-l6"
    metrics = make(
        reviews,
        [Review(good, 1), Review(bad, 0)],
        base=base,
        plan=replace(PLAN, steps=200, learning_rate=1e-2),
        out=tmp_path,
    )
    assert metrics["test"]["accuracy"] == 100.0
    assert metrics["everyday"]["n"] == 40
    adapter = tmp_path / "adapter"
    assert json.loads((adapter / "calibration.json").read_text()) == {"labels": list(LABELS)}
    assert "| 2 | 100.0 % |" in (adapter / "README.md").read_text()
    model, tokenizer = load_adapted(base, adapter, AutoModelForSequenceClassification)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    (negative, positive), (other, _) = probabilities(model, tokenizer, [good, bad])
    assert positive > 0.6 > negative
    assert other > 0.6


def test_a_run_that_is_repeated_gives_the_same_weights(tiny_models, tmp_path):
    pytest.importorskip("peft")
    from space.demo_models.sentiment import make

    reviews = [Review("I loved it.", 1), Review("I hated it.", 0)] * 8
    plan = AdapterPlan(steps=2, batch_size=8, rank=2, learning_rate=1e-3)
    for out in (tmp_path / "one", tmp_path / "two"):
        out.mkdir()
        make(reviews, reviews[:2], base=tiny_models / "offline" / "minilm-l6", plan=plan, out=out)
    one, two = (tmp_path / name / "adapter" / "adapter_model.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_folder_without_an_adapter_is_said(tiny_models, tmp_path):
    pytest.importorskip("peft")
    from transformers import AutoModelForSequenceClassification

    from jax_models.errors import RunError
    from space.demo_models.adapters import load_adapted, load_base

    base = tiny_models / "offline" / "minilm-l6"
    with pytest.raises(RunError, match=r"no adapter in .*adapter_model\.safetensors is missing"):
        load_adapted(base, tmp_path, AutoModelForSequenceClassification)
    with pytest.raises(RunError, match=r"run python -m space\.demo_models"):
        load_base(tmp_path, AutoModelForSequenceClassification)


def test_a_damaged_calibration_is_said(tiny_models, tmp_path):
    pytest.importorskip("peft")
    from transformers import AutoModelForSequenceClassification

    from jax_models.errors import RunError
    from space.demo_models.adapters import load_adapted

    (tmp_path / "adapter_model.safetensors").touch()
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(RunError, match="cannot read the calibration in"):
        load_adapted(tiny_models / "offline" / "minilm-l6", tmp_path, AutoModelForSequenceClassification)


@pytest.mark.slow
def test_shipped_weights_judge_everyday_sentences(minilm):
    from transformers import AutoModelForSequenceClassification

    from space.demo_models.adapters import load_adapted
    from space.demo_models.sentiment import probabilities

    model, tokenizer = load_adapted(minilm, WEIGHTS / "sentiment", AutoModelForSequenceClassification)
    judged = probabilities(model, tokenizer, [review.text for review in EVERYDAY])
    right = sum((yes > no) == bool(review.label) for review, (no, yes) in zip(EVERYDAY, judged, strict=True))
    assert right >= 32
