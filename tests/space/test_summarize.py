"""Summarize: long texts are read whole, and the answer is the model's own."""

import pytest

pytest.importorskip("gradio")
torch = pytest.importorskip("torch")

from space.jobs import Job  # noqa: E402
from space.limits import BadInput  # noqa: E402
from space.text.summaries import LONGEST, _new_numbers, summarize  # noqa: E402
from space.text.windows import first_sentences, whole_sentences  # noqa: E402

LONG = " ".join(f"In {1900 + year} the town built a bridge and {year} houses." for year in range(120))
MODELS = ("t5-small-summary", "smollm2-360m")


def last(answers):
    *_, answer = answers
    return answer


@pytest.mark.parametrize("model", MODELS)
def test_a_short_text_is_one_window(tiny_space, model):
    answer = last(summarize(tiny_space, "The mill was old. It burnt down in May.", length="short", model=model))
    assert answer.done
    assert answer.windows == 1
    assert answer.notes == ()
    assert answer.choice.spec.key == model
    assert answer.words_in == 9


@pytest.mark.parametrize("model", MODELS)
def test_a_long_text_is_read_by_windows_in_order_and_none_is_left_out(tiny_space, model):
    answers = list(summarize(tiny_space, LONG, length="short", model=model))
    first_round = [(answer.window, answer.windows) for answer in answers if answer.choice and not answer.combining]
    windows = first_round[0][1]
    assert windows > 1
    assert sorted(set(first_round)) == [(number, windows) for number in range(1, windows + 1)]
    assert first_round == sorted(first_round)
    assert len(answers[-1].notes) == windows
    assert answers[-1].done


def test_the_summary_is_what_transformers_writes(tiny_space):
    text = "The report says that prices rose by 3.5 percent between 2019 and 2021."
    with tiny_space.store.use("summarize", "t5-small-summary", job=Job(float("inf"))) as loaded:
        ids = loaded.tokenizer(f"summarize: {text}", return_tensors="pt").input_ids
        written = loaded.model.generate(ids, max_new_tokens=60, do_sample=False, num_beams=1)[0]
        expected = loaded.tokenizer.decode(written, skip_special_tokens=True).strip()
        ended = loaded.tokenizer.eos_token_id in written.tolist()
    answer = last(summarize(tiny_space, text, length="short", model="t5-small-summary"))
    expected = first_sentences(expected, 1)
    assert answer.text == (expected if ended else whole_sentences(expected))


def test_numbers_that_the_text_does_not_have_are_named_once():
    text = "In 1911 some 2,000 were left; 3.2 million were spent."
    assert _new_numbers("In 1911, 20 of 2,000 were left, 20 of 3.2 million.", text) == ("20",)
    assert _new_numbers("In 1911.", text) == ()


def test_a_text_of_too_many_characters_is_refused_before_a_model_is_touched(tiny_space):
    before = tiny_space.store.in_memory
    with pytest.raises(BadInput, match="at most 60,000"):
        summarize(tiny_space, "a" * (LONGEST + 1))
    with pytest.raises(BadInput, match="Length must be one of"):
        summarize(tiny_space, "A text.", length="endless")
    assert tiny_space.store.in_memory == before
