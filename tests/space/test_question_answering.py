"""Question answering: the decoder against brute force, windows, "no answer"; on tiny models of both tokenizer kinds."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("gradio")

from space.jobs import Job, Stopped  # noqa: E402
from space.limits import BadInput  # noqa: E402
from space.text.answers import Answer, Found, answer, no_answer_threshold  # noqa: E402
from space.text.spans import CANDIDATES, LONGEST_ANSWER, Spans, choose, read, spans_of, split  # noqa: E402
from space.ui.answers_view import answer_html, candidates_html, passage_html  # noqa: E402

QUESTION = "Who wrote the letter?"
CONTEXT = "Anna wrote it in Rome, on the second of May.  The river Seine runs through Paris (the capital). Prices rose."
MODELS = ("tinyroberta-squad2", "distilbert-squad")


def a_job() -> Job:
    """A job that nobody stops."""
    return Job(deadline=math.inf)


@pytest.fixture(scope="module", params=MODELS)
def loaded(request, tiny_space):
    """A byte-level and a word-piece model."""
    with tiny_space.store.use("question_answering", request.param, job=a_job()) as found:
        return found


def logits_of(loaded, windows) -> list[tuple[np.ndarray, np.ndarray]]:
    """Start and end logits, one pair a window."""
    return [pair for starts, ends in read(loaded, windows, job=a_job()) for pair in zip(starts, ends, strict=True)]


def brute_force(
    loaded, question: str, context: str, threshold: float | None
) -> tuple[list[tuple[int, int, float]], bool]:
    """Every window by itself, every pair of tokens, every pair of candidates, in plain loops."""
    tokenizer = loaded.tokenizer
    size = min(384, loaded.context)
    room = (
        size - len(tokenizer(question, add_special_tokens=False).input_ids) - tokenizer.num_special_tokens_to_add(True)
    )
    encoded = tokenizer(
        question, context, truncation="only_second", max_length=size, stride=min(128, room // 2),
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    scored: list[tuple[float, int, int]] = []
    for row, ids in enumerate(encoded["input_ids"]):
        with torch.no_grad():
            output = loaded.model(input_ids=torch.tensor([ids]))
        start, end = output.start_logits[0].tolist(), output.end_logits[0].tolist()
        null = start[ids.index(tokenizer.cls_token_id)] + end[ids.index(tokenizer.cls_token_id)]
        spots = encoded["offset_mapping"][row]
        places = [
            place
            for place, part in enumerate(encoded.sequence_ids(row))
            if part == 1 and context[slice(*spots[place])].strip()
        ]
        words = encoded.word_ids(row)
        more_before, more_after = row > 0, row < len(encoded["input_ids"]) - 1
        begins = [p for p in places if p - 1 not in places or words[p - 1] != words[p]][more_before:]
        ends = [p for p in places if p + 1 not in places or words[p + 1] != words[p]]
        for first in begins:
            for last in ends[:-1] if more_after else ends:
                if first <= last < first + LONGEST_ANSWER:
                    low, high = spots[first][0], spots[last][1]
                    low += len(context[low:high]) - len(context[low:high].lstrip())
                    high -= len(context[low:high]) - len(context[low:high].rstrip())
                    scored.append((start[first] + end[last] - (0 if threshold is None else null), low, high))
    scored.sort(key=lambda one: -one[0])
    kept: list[tuple[float, int, int]] = []
    for score, low, high in scored:
        if len(kept) < CANDIDATES and all(high <= start or low >= end for _, start, end in kept):
            kept.append((score, low, high))
    total = sum(math.exp(score) for score, _, _ in kept) + (0 if threshold is None else math.exp(threshold))
    answered = threshold is None or kept[0][0] > threshold
    return [(low, high, math.exp(score) / total) for score, low, high in kept], answered


@pytest.mark.parametrize("copies", [1, 25])
@pytest.mark.parametrize("threshold", [None, 0.0])
def test_decoder_agrees_with_brute_force(loaded, copies, threshold):
    context = " ".join(f"{CONTEXT} {number}" for number in range(copies))
    windows = split(loaded, QUESTION, context)
    assert (len(windows) > 1) == (copies > 1)
    spans = [
        spans_of(windows, row, start, end, against_null=threshold is not None)
        for row, (start, end) in enumerate(logits_of(loaded, windows))
    ]
    found = choose(context, spans, threshold=threshold)
    expected, answered = brute_force(loaded, QUESTION, context, threshold)
    assert found.answered == answered
    assert [(one.start, one.end) for one in found.candidates] == [(low, high) for low, high, _ in expected]
    assert [one.probability for one in found.candidates] == pytest.approx([p for _, _, p in expected], rel=1e-4)
    rest = found.no_answer or 0.0
    assert sum(one.probability for one in found.candidates) + rest == pytest.approx(1)


def test_windows_cover_every_token_of_the_text_and_overlap(loaded):
    context = " ".join([CONTEXT] * 40)
    windows = split(loaded, QUESTION, context)
    covered = np.zeros(len(context), dtype=int)
    for row in range(len(windows)):
        inside = np.zeros(len(context), dtype=bool)
        for start, end in windows.offsets[row][windows.allowed[row]]:
            inside[start:end] = True
        covered += inside
    visible = np.array([not letter.isspace() for letter in context])
    assert (covered[visible] >= 1).all()
    assert (covered[visible] >= 2).sum() > 100 * (len(windows) - 1)
    assert len(logits_of(loaded, windows)) == len(windows)


def test_padding_of_the_last_window_changes_nothing(loaded):
    context = " ".join([CONTEXT] * 25)
    windows = split(loaded, QUESTION, context)
    start, _ = logits_of(loaded, windows)[-1]
    count = int(windows.inputs["attention_mask"][-1].sum())
    assert count < windows.inputs["input_ids"].shape[1]
    with torch.no_grad():
        alone = loaded.model(input_ids=windows.inputs["input_ids"][-1:, :count]).start_logits[0].numpy()
    np.testing.assert_allclose(start[:count], alone, atol=1e-5)


def test_answers_are_pieces_of_the_text_that_do_not_overlap(tiny_space):
    for model in MODELS:
        last = list(answer(tiny_space, QUESTION, CONTEXT, top_k=5, model=model))[-1]
        assert last.windows == last.done == 1
        ranges = sorted((one.start, one.end) for one in last.found.candidates)
        assert len(ranges) == 5
        assert all(before[1] <= after[0] for before, after in pairwise(ranges))
        for one in last.found.candidates:
            assert CONTEXT[one.start : one.end] == one.text == one.text.strip()


def test_answers_are_whole_words(tiny_space):
    for model in MODELS:
        last = list(answer(tiny_space, QUESTION, " ".join([CONTEXT] * 25), top_k=10, model=model))[-1]
        for one in last.found.candidates:
            before, after = last.context[: one.start][-1:], last.context[one.end :][:1]
            assert not (before.isalnum() and one.text[0].isalnum())
            assert not (after.isalnum() and one.text[-1].isalnum())


def test_places_are_those_of_the_text_as_it_was_given(tiny_space):
    given = "\r\n\x00  Anna\u202e wrote\ud800 it.\r\nIn Rome \U0001f469\u200d\U0001f680."
    last = list(answer(tiny_space, QUESTION, given, model=MODELS[0]))[-1]
    assert len(last.context) == len(given)
    for one in last.found.candidates:
        assert given[one.start : one.end].replace("\u202e", " ").replace("\ud800", " ").replace("\r", " ") == one.text


def test_near_duplicates_are_one_answer_and_windows_are_compared():
    text = "abcdefghij"
    first = Spans(np.array([0, 0, 5]), np.array([3, 4, 7]), np.array([2.0, 3.0, 1.0]))
    second = Spans(np.array([3, 5, 8]), np.array([6, 7, 9]), np.array([2.9, 1.5, 0.0]))
    found = choose(text, [first, second], threshold=None)
    assert [one.text for one in found.candidates] == ["abcd", "fg", "i"]
    weights = np.exp([3.0, 1.5, 0.0])
    assert [one.probability for one in found.candidates] == pytest.approx(list(weights / weights.sum()))
    assert found.no_answer is None


@pytest.mark.parametrize(("threshold", "answered"), [(0.9, True), (1.1, False)])
def test_no_answer_is_said_when_no_span_passes_the_threshold(threshold, answered):
    spans = Spans(np.array([0]), np.array([3]), np.array([1.0]))
    found = choose("abc def", [spans], threshold=threshold)
    assert found.answered == answered
    assert (found.no_answer < found.candidates[0].probability) == answered


def test_a_text_of_nothing_that_the_model_can_read_has_no_answer(tiny_space):
    last = list(answer(tiny_space, QUESTION, "\u200b\u00ad\u2060", model="distilbert-squad"))[-1]
    assert last.found == Found((), None, answered=False)


def test_threshold_comes_from_the_calibration_beside_the_weights(loaded, tmp_path: Path):
    own = replace(loaded, folder=tmp_path)
    always = loaded.spec.key == "distilbert-squad"
    assert no_answer_threshold(own, windows=1) == (None if always else 0.0)
    (tmp_path / "calibration.json").write_text(json.dumps({"no_answer_threshold": 1.5}))
    assert no_answer_threshold(own, windows=1) == (None if always else 1.5)


def test_more_windows_ask_for_more_evidence(loaded, tmp_path: Path):
    one, many = (no_answer_threshold(replace(loaded, folder=tmp_path), windows=count) for count in (1, 20))
    assert one is None or many == pytest.approx(one + math.log(20))


def test_a_stopped_job_ends_reading(loaded):
    job: Job = Job(deadline=0.0)
    with pytest.raises(Stopped):
        list(read(loaded, split(loaded, QUESTION, CONTEXT), job=job))


@pytest.mark.parametrize(
    ("question", "context", "top_k", "said"),
    [
        ("", CONTEXT, 3, "The question is empty"),
        (QUESTION, " \x00 ", 3, "The text is empty"),
        (QUESTION, None, 3, "The text must be text"),
        ("x" * 501, CONTEXT, 3, "at most 500"),
        (QUESTION, "x" * 50_001, 3, "at most 50,000"),
        (QUESTION, CONTEXT, 0, "from 1 to 10"),
        (QUESTION, CONTEXT, 11, "from 1 to 10"),
        (QUESTION, CONTEXT, math.nan, "from 1 to 10"),
    ],
)
def test_what_is_out_of_the_limits_is_refused_before_a_model_is_touched(tiny_space, question, context, top_k, said):
    with pytest.raises(BadInput) as error:
        answer(tiny_space, question, context, top_k=top_k)
    assert said in error.value.message


def test_a_question_that_leaves_no_room_for_the_text_is_refused(loaded):
    with pytest.raises(BadInput, match="leave room for the text"):
        split(loaded, "Who wrote it? " * 80, CONTEXT)


def test_html_escapes_the_text_and_marks_the_answer_where_it_stands():
    text = "<b>Anna</b> & <script>x</script> Rome"
    found = Found((Answer("<script>x</script>", 14, 32, 0.7), Answer("Anna", 3, 7, 0.2)), 0.1, True)
    html = passage_html(text, found)
    assert "<script>" not in html + answer_html(found) + candidates_html(found)
    assert '<mark class="best">&lt;script&gt;x&lt;/script&gt;<sup>1</sup></mark>' in html
    assert '&lt;b&gt;<mark class="other">Anna<sup>2</sup></mark>&lt;/b&gt; &amp; ' in html
    none = replace(found, answered=False, no_answer=0.9)
    assert "No answer" in answer_html(none)
    assert 'class="best"' not in passage_html(text, none)
    assert "Closest guesses" in candidates_html(none)
