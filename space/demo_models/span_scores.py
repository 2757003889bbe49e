"""From start and end logits to answers: the best spans of a window, and the score of there being none."""

from dataclasses import dataclass

import numpy as np

MAX_ANSWER_TOKENS = 30


@dataclass(frozen=True)
class ScoredSpan:
    """Tokens first to last (both included). `margin` is the span's logit above that of "no answer" in its window."""

    first: int
    last: int
    margin: float


def best_spans(
    start: np.ndarray, end: np.ndarray, allowed: np.ndarray, *, top: int = 1, max_tokens: int = MAX_ANSWER_TOKENS
) -> list[ScoredSpan]:
    """The `top` best spans of one window, best first, none overlapping a better one; [] if no token is allowed.

    `start` and `end` are logits per token, `allowed` says which tokens are context. Token 0, [CLS], is "no answer".
    """
    tokens = np.flatnonzero(allowed)
    if not tokens.size:
        return []
    low, high = int(tokens[0]), int(tokens[-1]) + 1
    scores = start[low:high, None].astype(np.float64) + end[None, low:high]
    length = np.arange(high - low)[None, :] - np.arange(high - low)[:, None]
    scores[(length < 0) | (length >= max_tokens)] = -np.inf
    scores[~allowed[low:high], :] = scores[:, ~allowed[low:high]] = -np.inf
    null, found = float(start[0]) + float(end[0]), []
    while len(found) < top and np.isfinite(scores).any():
        first, last = (int(index) for index in np.unravel_index(np.argmax(scores), scores.shape))
        found.append(ScoredSpan(low + first, low + last, float(scores[first, last]) - null))
        scores[: last + 1, first:] = -np.inf
    return found
