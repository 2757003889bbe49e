"""Scores of answers on a test, with intervals, and the threshold below which there is "no answer"."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from space.demo_models.passages import Passage
from space.demo_models.reading import Answer
from space.demo_models.squad import exact_match, f1


@dataclass(frozen=True)
class Judged:
    """Per cent over `n` questions: `f1` and `exact` of the best span, whatever its margin, and with the threshold.

    `answered` is how often the margin reached the threshold. Where nothing can be answered, `f1` and `exact` are None
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
    given = [answer.text if answer.margin >= threshold else "" for answer in answers]
    golds = [passage.gold for passage in passages]
    thresholded = np.array([f1(text, gold) for text, gold in zip(given, golds, strict=True)])
    exact = np.mean([exact_match(text, gold) for text, gold in zip(given, golds, strict=True)])
    forced = forced_exact = interval = None
    if all(golds):
        scores = np.array([f1(answer.text, gold) for answer, gold in zip(answers, golds, strict=True)])
        forced, interval = float(100 * scores.mean()), bootstrap_interval(scores, groups)
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
        f1_with_threshold_interval=bootstrap_interval(thresholded, groups),
    )


def bootstrap_interval(scores: np.ndarray, groups: Sequence[str], *, draws: int = 1_000) -> tuple[float, float]:
    """95 % interval, in per cent, of the mean of scores, drawing whole groups: their questions share a sentence."""
    _, member = np.unique(list(groups), return_inverse=True)
    sums, counts = np.bincount(member, weights=scores), np.bincount(member)
    drawn = np.random.default_rng(0).integers(len(counts), size=(draws, len(counts)))
    means = 100 * sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def choose_threshold(passages: Sequence[Passage], answers: Sequence[Answer]) -> float:
    """The margin from which answers are given that makes the mean F1 over all passages largest.

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


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval, in per cent, of a share that was measured on n examples."""
    z, share = 1.959964, right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return 100 * (centre - half), 100 * (centre + half)
