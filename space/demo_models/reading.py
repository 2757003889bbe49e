"""Extractive question answering: batches with several right spans, their loss, and the model's answers."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from space.demo_models.passages import Company, Library, Passage, hide
from space.demo_models.qamr import Question
from space.demo_models.span_scores import best_spans

MAX_TOKENS = 384
# Distractors at most, epoch by epoch (the last holds from then on): to find a phrase is learnt on short passages, which
# cost a third of the time, before it is to be found among many sentences.
MOST_DISTRACTORS = (1, 4)
COMPANY: tuple[Company, ...] = ("others", "neighbours", "neighbours", "mixed")
UNANSWERABLE = 0.15


@dataclass(frozen=True)
class Answer:
    """The best span's text, and its logit above that of "no answer"."""

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


def in_batches(passages: Sequence[Passage], *, batch_size: int, seed: int, epoch: int) -> Iterator[list[Passage]]:
    """Full batches of about equal lengths, in random order; the few that fill no batch are left for another epoch."""
    rng = random.Random(f"{seed} {epoch} batches")
    pool = 64 * batch_size
    batches = []
    for start in range(0, len(passages), pool):
        chunk = sorted(passages[start : start + pool], key=lambda passage: len(passage.text))
        batches += [chunk[index : index + batch_size] for index in range(0, len(chunk), batch_size)]
    full = [batch for batch in batches if len(batch) == batch_size]
    rng.shuffle(full)
    yield from full


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


def answer(model: Any, tokenizer: Any, passages: Sequence[Passage], *, batch_size: int = 32) -> list[Answer]:
    """The best span of each passage, whether or not there is an answer; in bfloat16, as in training."""
    import torch

    order = sorted(range(len(passages)), key=lambda index: len(passages[index].text))
    answers: dict[int, Answer] = {}
    model.eval()
    for begin in range(0, len(order), batch_size):
        rows = order[begin : begin + batch_size]
        encoded, allowed = encode(tokenizer, [passages[index] for index in rows])
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(**encoded)
        start, end = output.start_logits.float().numpy(), output.end_logits.float().numpy()
        allowed[:, 0] = False
        for row, index in enumerate(rows):
            best = best_spans(start[row], end[row], allowed[row].numpy())[0]
            low = encoded.token_to_chars(row, best.first).start
            high = encoded.token_to_chars(row, best.last).end
            answers[index] = Answer(passages[index].text[low:high], best.margin)
    return [answers[index] for index in range(len(passages))]
