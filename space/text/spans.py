"""Where a question's answer stands in a text: the text in overlapping windows, and spans chosen from all of them.

A span's score is its start logit plus its end logit. For models that know "no answer" (Rajpurkar, Jia and Liang, "Know
What You Don't Know", arXiv 1806.03822) the score of the classification token, start plus end, says how much a window
speaks for it, and is taken off the scores of that window's spans, so that scores of all windows can be compared
(Clark and Gardner, arXiv 1710.10723, let paragraphs share their "no answer" for the same end). Candidates are whole
words, chosen best first; one that shares a character with a better one is the same answer and is left out.
Probabilities are the softmax over the candidates and, where the model knows it, "no answer".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int, Int64

from space.jobs import Job
from space.limits import BadInput
from space.models.store import Loaded
from space.text.answers import Answer, Found

WINDOW = 384  # tokens, of question and text together
OVERLAP = 128  # tokens that two windows share: an answer at the edge of one is read whole in the other
BATCH_WINDOWS = 2  # about 0.2 s on two cores, after which a job is asked whether it goes on
LONGEST_ANSWER = 30  # tokens
CANDIDATES = 20
MOST_QUESTION = 0.5  # of a window


@dataclass(frozen=True)
class Windows:
    """A question with a text, as the model reads them.

    Attributes:
        inputs: what the model takes.
        offsets: the characters of the text under each token, from and to; white space at the edges left out.
        allowed: which tokens are text.
        begins: which of them begin a word that is whole in its window.
        ends: which of them end one.
        null: the place of the classification token in each window.
    """

    inputs: dict[str, Int[torch.Tensor, "windows tokens"]]
    offsets: Int64[np.ndarray, "windows tokens 2"]
    allowed: Bool[np.ndarray, "windows tokens"]
    begins: Bool[np.ndarray, "windows tokens"]
    ends: Bool[np.ndarray, "windows tokens"]
    null: Int64[np.ndarray, " windows"]

    def __len__(self) -> int:
        return len(self.null)


@dataclass(frozen=True)
class Spans:
    """Spans of the text with their scores.

    Attributes:
        starts: first characters.
        ends: the places after the last characters.
        scores: their logits.
    """

    starts: Int64[np.ndarray, " n"]
    ends: Int64[np.ndarray, " n"]
    scores: Float64[np.ndarray, " n"]


def split(loaded: Loaded, question: str, context: str) -> Windows:
    """The text in windows that overlap. Nothing of it is left out.

    Raises:
        BadInput: the question leaves too little room for the text.
    """
    tokenizer = loaded.tokenizer
    size = min(WINDOW, loaded.context)
    asked = len(tokenizer(question, add_special_tokens=False).input_ids)
    room = size - asked - tokenizer.num_special_tokens_to_add(pair=True)
    if asked > MOST_QUESTION * size or room < 8:
        raise BadInput(f"The question has {asked} tokens; at most {int(MOST_QUESTION * size)} leave room for the text.")
    encoded = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=size,
        stride=min(OVERLAP, room // 2),
        padding=True,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_tensors="pt",
    )
    parts = np.array([encoded.sequence_ids(row) for row in range(len(encoded["input_ids"]))])
    text = parts == 1
    offsets = _without_space(encoded["offset_mapping"].numpy() * text[..., None], context)
    ids = encoded["input_ids"].numpy()
    null = (ids == tokenizer.cls_token_id).argmax(axis=1)  # the first token where there is none
    names = [name for name in tokenizer.model_input_names if name in encoded]
    inputs = {name: encoded[name] for name in names}
    allowed = text & (offsets[..., 1] > offsets[..., 0])
    words = np.array([[-1 if word is None else word for word in encoded.word_ids(row)] for row in range(len(offsets))])
    begins, ends = _word_edges(words, allowed)
    return Windows(inputs, offsets, allowed, begins, ends, null)


def read(
    loaded: Loaded, windows: Windows, *, job: Job[Any]
) -> Iterator[tuple[Float64[np.ndarray, "batch tokens"], Float64[np.ndarray, "batch tokens"]]]:
    """The start and end logits of each window, batch after batch.

    Raises:
        Stopped: the job was stopped.
    """
    for first in range(0, len(windows), BATCH_WINDOWS):
        job.check()
        batch = {
            name: values[first : first + BATCH_WINDOWS].to(loaded.model.device)
            for name, values in windows.inputs.items()
        }
        with torch.inference_mode():
            output = loaded.model(**batch)
        yield output.start_logits.double().cpu().numpy(), output.end_logits.double().cpu().numpy()


def spans_of(
    windows: Windows,
    row: int,
    start: Float64[np.ndarray, " tokens"],
    end: Float64[np.ndarray, " tokens"],
    *,
    against_null: bool,
) -> Spans:
    """Every span of whole words of one window, of up to `LONGEST_ANSWER` tokens.

    Args:
        start: start logits of its tokens; `end` likewise.
        against_null: whether the window's score of "no answer" is taken off.
    """
    tokens = np.flatnonzero(windows.allowed[row])
    first, length = np.meshgrid(np.arange(len(tokens)), np.arange(LONGEST_ANSWER), indexing="ij")
    inside = first + length < len(tokens)
    first, last = tokens[first[inside]], tokens[(first + length)[inside]]
    kept = windows.begins[row, first] & windows.ends[row, last] & (last - first < LONGEST_ANSWER)
    first, last = first[kept], last[kept]
    null = start[windows.null[row]] + end[windows.null[row]] if against_null else 0.0
    offsets = windows.offsets[row]
    return Spans(offsets[first, 0], offsets[last, 1], start[first] + end[last] - null)


def choose(context: str, spans: Sequence[Spans], *, threshold: float | None) -> Found:
    """The best spans of all windows as answers, best first, none overlapping a better one.

    Args:
        threshold: the score above which there is an answer; None for a model that always answers.
    """
    starts, ends, scores = (
        np.concatenate([getattr(some, name) for some in spans]) for name in ("starts", "ends", "scores")
    )
    found: list[tuple[int, int, float]] = []
    while len(scores) and len(found) < CANDIDATES:
        best = int(scores.argmax())
        start, end = int(starts[best]), int(ends[best])
        found.append((start, end, float(scores[best])))
        apart = (ends <= start) | (starts >= end)
        starts, ends, scores = starts[apart], ends[apart], scores[apart]
    against = [] if threshold is None else [threshold]
    logits = np.array([score for _, _, score in found] + against)
    probabilities = np.exp(logits - np.logaddexp.reduce(logits)).tolist() if len(logits) else []
    answers = tuple(
        Answer(context[start:end], start, end, probability)
        for (start, end, _), probability in zip(found, probabilities, strict=False)
    )
    there = bool(found) and (threshold is None or found[0][2] > threshold)
    return Found(answers, no_answer=None if threshold is None else probabilities[-1], answered=there)


def _word_edges(words: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where words begin and end. A window's edge may cut a word, which its neighbour then has whole."""
    changes = np.not_equal(words[:, 1:], words[:, :-1])
    edge = np.ones((len(words), 1), dtype=bool)
    begins = np.concatenate([edge, changes | ~allowed[:, :-1]], axis=1) & allowed
    ends = np.concatenate([changes | ~allowed[:, 1:], edge], axis=1) & allowed
    rows, width = np.arange(len(words)), words.shape[1]
    some = allowed.sum(axis=1) > 0
    begins[rows[1:], allowed.argmax(axis=1)[1:]] &= ~some[1:]
    ends[rows[:-1], (width - 1 - allowed[:, ::-1].argmax(axis=1))[:-1]] &= ~some[:-1]
    return begins, ends


def _without_space(offsets: np.ndarray, context: str) -> np.ndarray:
    """Byte-level tokenizers may count the space before a word to it; an answer does not begin with it."""
    space = np.array([letter.isspace() for letter in context] + [False])
    offsets = offsets.copy()
    while (leading := space[offsets[..., 0]] & (offsets[..., 0] < offsets[..., 1])).any():
        offsets[..., 0] += leading
    while (trailing := (offsets[..., 0] < offsets[..., 1]) & space[offsets[..., 1] - 1]).any():
        offsets[..., 1] -= trailing
    return offsets
