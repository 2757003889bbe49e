"""Next word: probabilities are the model's, filters do what sampling does, and the table escapes what it shows."""

import math

import pytest

pytest.importorskip("gradio")
torch = pytest.importorskip("torch")

from space.jobs import Job  # noqa: E402
from space.limits import BadInput  # noqa: E402
from space.tasks.next_word import _table  # noqa: E402
from space.text.next_words import Candidate, NextWords, predict  # noqa: E402

MODELS = ("distilgpt2", "smollm2-360m")


def last(answers):
    *_, answer = answers
    return answer


@pytest.mark.parametrize("model", MODELS)
def test_probabilities_are_those_of_the_model(tiny_space, model):
    answer = last(predict(tiny_space, "The capital of", rows=20, model=model))
    with tiny_space.store.use("next_word", model, job=Job(float("inf"))) as loaded:
        logits = loaded.model(loaded.tokenizer("The capital of", return_tensors="pt").input_ids).logits[0, -1]
        expected = torch.softmax(logits, -1).sort(descending=True).values[:20]
    assert [c.probability for c in answer.candidates] == pytest.approx(expected.tolist(), rel=1e-4)
    assert [c.sampled for c in answer.candidates] == pytest.approx(expected.tolist(), rel=1e-4)
    assert answer.kept_probability == pytest.approx(1, abs=1e-4)


def test_top_k_leaves_so_many_and_they_sum_to_one(tiny_space):
    answer = last(predict(tiny_space, "The capital of", top_k=3, rows=20))
    assert [c.sampled > 0 for c in answer.candidates] == [True] * 3 + [False] * 17
    assert sum(c.sampled for c in answer.candidates) == pytest.approx(1)
    assert answer.kept == 3
    assert answer.kept_probability == pytest.approx(sum(c.probability for c in answer.candidates[:3]))


def test_top_p_keeps_the_likeliest_that_reach_it(tiny_space):
    answer = last(predict(tiny_space, "The capital of", top_p=0.05, rows=20))
    assert answer.kept_probability >= 0.05
    assert answer.kept_probability - answer.candidates[answer.kept - 1].probability < 0.05


def test_a_low_temperature_sharpens_and_leaves_the_order(tiny_space):
    flat, sharp = (last(predict(tiny_space, "The capital of", temperature=t)) for t in (2.0, 0.1))
    assert sharp.candidates[0].sampled > sharp.candidates[0].probability > flat.candidates[0].sampled
    assert [c.token for c in sharp.candidates] == [c.token for c in flat.candidates]


def test_white_space_at_the_end_is_part_of_the_text(tiny_space):
    bare, spaced = (last(predict(tiny_space, text)) for text in ("The capital", "The capital\n"))
    assert spaced.read > bare.read


def test_a_text_longer_than_the_model_reads_is_said_to_be(tiny_space):
    answer = last(predict(tiny_space, "\u2603" * 2000, model="distilgpt2"))
    assert answer.read == 1024
    assert answer.unread > 0


@pytest.mark.parametrize(
    "setting",
    [{"temperature": 0.0}, {"temperature": math.nan}, {"top_k": -1}, {"top_k": 101}, {"top_p": 0.0}, {"rows": 21}],
    ids=str,
)
def test_a_number_out_of_range_is_refused(tiny_space, setting):
    with pytest.raises(BadInput):
        predict(tiny_space, "The capital of", **setting)


def test_the_table_escapes_tokens_and_offers_only_whole_ones():
    hostile = Candidate('"><script>', 0.5, 0.5)
    part = Candidate("\ufffd", 0.2, 0.0)
    table = _table(NextWords((hostile, part)))
    assert "<script>" not in table
    assert "&quot;&gt;&lt;script&gt;" in table
    assert table.count("data-token") == 1
