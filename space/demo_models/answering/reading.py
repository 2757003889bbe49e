"""Extractive question answering: passages to learn from, the loss of several right spans, and the model's answers."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from space.demo_models.answering.passages import Company, Library, Passage, hide
from space.demo_models.answering.qamr import Question
from space.jobs import Job
from space.models.store import Loaded

MAX_TOKENS = 384
# Distractors at most, epoch by epoch (the last holds from then on): to find a phrase is learnt on short passages, which
# cost a third of the time, before it is to be found among many sentences.
MOST_DISTRACTORS = (1, 4)
COMPANY: tuple[Company, ...] = ("others", "neighbours", "neighbours", "mixed")
UNANSWERABLE = 0.15


@dataclass(frozen=True)
class Answer:
    """The best candidate's text, and the margin of its score above that of "no answer"."""

    text: str
    margin: float


def training_passages(questions: Sequence[Question], library: Library, *, seed: int, epoch: int) -> list[Passage]:
    """Every question once, in new company each epoch; 15 % without the sentence that answers."""
    rng = random.Random(f"{seed} {epoch}")
    most = MOST_DISTRACTORS[min(epoch, len(MOST_DISTRACTORS) - 1)]
    passages = []
    for question in rng.sample(questions, len(questions)):
        answerable = rng.random() >= UNANSWERABLE
        distractors = rng.randint(0 if answerable else 1, most)
        company = rng.choice(COMPANY)
        passage = hide(question, library, rng, distractors=distractors, company=company, answerable=answerable)
        if passage.spans or not passage.gold:
            passages.append(passage)
    return passages


def encode(tokenizer: Any, passages: Sequence[Passage]) -> tuple[Any, Any]:
    """Token tensors of [CLS] question [SEP] passage [SEP], and which tokens may be an answer: the passage and [CLS]."""
    import torch

    encoded = tokenizer(
        [passage.question for passage in passages],
        [passage.text for passage in passages],
        truncation="only_second",
        max_length=MAX_TOKENS,
        padding="longest",
        return_tensors="pt",
    )
    allowed = torch.tensor([[kind == 1 for kind in encoded.sequence_ids(row)] for row in range(len(passages))])
    allowed[:, 0] = True
    return encoded, allowed


def span_loss(model: Any, tokenizer: Any, passages: Sequence[Passage]) -> Any:
    """Minus the log of the probability of all right spans together: any annotator's answer is right.

    A passage without spans, or whose spans were cut off, has one right span, [CLS].
    """
    import torch

    encoded, allowed = encode(tokenizer, passages)
    most = max(1, *(len(passage.spans) for passage in passages))
    spans = torch.zeros(len(passages), most, 2, dtype=torch.long)
    weights = torch.full((len(passages), most), -torch.inf)
    for row, passage in enumerate(passages):
        found = [_token_span(encoded, row, span) for span in passage.spans]
        for column, span in enumerate([span for span in found if span] or [(0, 0)]):
            spans[row, column] = torch.tensor(span)
            weights[row, column] = 0.0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**encoded)
    start, end = (
        logits.float().masked_fill(~allowed, -torch.inf).log_softmax(-1)
        for logits in (output.start_logits, output.end_logits)
    )
    likelihood = start.gather(1, spans[..., 0]) + end.gather(1, spans[..., 1]) + weights
    return -likelihood.logsumexp(-1).mean()


def _token_span(encoded: Any, row: int, span: tuple[int, int]) -> tuple[int, int] | None:
    first = encoded.char_to_token(row, span[0], sequence_index=1)
    last = encoded.char_to_token(row, span[1] - 1, sequence_index=1)
    return None if first is None or last is None else (first, last)


def answer(loaded: Loaded, passages: Sequence[Passage]) -> list[Answer]:
    """What the app finds in each passage, by its own windows and its own choice among spans, answer or not."""
    from space.text.spans import choose, read, spans_of, split

    answers, job = [], Job[None](deadline=math.inf)
    for passage in passages:
        windows = split(loaded, passage.question, passage.text)
        logits = (pair for batch in read(loaded, windows, job=job) for pair in zip(*batch, strict=True))
        spans = [spans_of(windows, row, *pair, against_null=True) for row, pair in enumerate(logits)]
        found = choose(passage.text, spans, threshold=math.log(len(windows)))
        best, none = found.candidates[0], found.no_answer
        assert none is not None
        answers.append(Answer(best.text, math.log(best.probability / none)))
    return answers
