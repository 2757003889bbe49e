"""Scores of answers on a test, with intervals, and the threshold up to which there is "no answer"."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from space.demo_models.answering.passages import Passage
from space.demo_models.answering.reading import Answer
from space.demo_models.answering.squad import exact_match, f1
from space.demo_models.intervals import bootstrap_interval


@dataclass(frozen=True)
class Judged:
    """Per cent over `n` questions: `f1` and `exact` where an answer is always given, and where the threshold decides.

    `answered` is how often the margin passed the threshold. Where nothing can be answered, `f1` and `exact` are None
    and the thresholded scores are the share of right refusals. Intervals are 95 % by bootstrap over sentences.
    """

    n: int
    f1: float | None
    f1_interval: tuple[float, float] | None
    exact: float | None
    answered: float
    f1_with_threshold: float
    exact_with_threshold: float
    f1_with_threshold_interval: tuple[float, float]


def judge_answers(
    passages: Sequence[Passage], answers: Sequence[Answer], *, groups: Sequence[str], threshold: float
) -> Judged:
    """Scores the answers; `groups` names each question's sentence."""
    given = [answer.text if answer.margin > threshold else "" for answer in answers]
    golds = [passage.gold for passage in passages]
    thresholded = np.array([f1(text, gold) for text, gold in zip(given, golds, strict=True)])
    exact = np.mean([exact_match(text, gold) for text, gold in zip(given, golds, strict=True)])
    forced = forced_exact = interval = None
    if all(golds):
        scores = np.array([f1(answer.text, gold) for answer, gold in zip(answers, golds, strict=True)])
        forced, interval = float(100 * scores.mean()), _interval(scores, groups)
        right = [exact_match(answer.text, gold) for answer, gold in zip(answers, golds, strict=True)]
        forced_exact = float(100 * np.mean(right))
    return Judged(
        n=len(passages),
        f1=forced,
        f1_interval=interval,
        exact=forced_exact,
        answered=float(100 * np.mean([bool(text) for text in given])),
        f1_with_threshold=float(100 * thresholded.mean()),
        exact_with_threshold=float(100 * exact),
        f1_with_threshold_interval=_interval(thresholded, groups),
    )


def choose_threshold(passages: Sequence[Passage], answers: Sequence[Answer]) -> float:
    """The margin above which answers are given that makes the mean F1 over all passages largest.

    A refusal is right (1) where there is no gold answer, and wrong (0) where there is.
    """
    margins = np.array([answer.margin for answer in answers])
    answering = np.array(
        [f1(answer.text, p.gold) if p.gold else 0.0 for answer, p in zip(answers, passages, strict=True)]
    )
    refusing = np.array([0.0 if passage.gold else 1.0 for passage in passages])
    order = np.argsort(margins)
    gain = np.concatenate([[0.0], np.cumsum((refusing - answering)[order])])
    best = int(np.argmax(gain))
    bounds = np.concatenate([[margins[order[0]] - 1], margins[order], [margins[order[-1]] + 1]])
    return float((bounds[best] + bounds[best + 1]) / 2)


def _interval(scores: np.ndarray, groups: Sequence[str]) -> tuple[float, float]:
    """In per cent; the questions about a sentence share its difficulty."""
    low, high = bootstrap_interval(scores, groups)
    return 100 * low, 100 * high
