"""SQuAD's scores (Rajpurkar et al., arXiv 1606.05250): exact match and F1 after normalisation, best over the golds."""

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without punctuation and English articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, golds: Sequence[str]) -> float:
    """1.0 if the answer is one of the golds once all are normalised, else 0.0. No gold: the right answer is ""."""
    return max(float(normalise(answer) == normalise(gold)) for gold in golds or ("",))


def f1(answer: str, golds: Sequence[str]) -> float:
    """Overlap of normalised words with the gold that fits best, as F1 from 0 to 1. No gold: the right answer is ""."""
    return max(_f1(normalise(answer).split(), normalise(gold).split()) for gold in golds or ("",))


def _f1(answer: Sequence[str], gold: Sequence[str]) -> float:
    if not answer or not gold:
        return float(answer == gold)
    common = sum((Counter(answer) & Counter(gold)).values())
    return 2 * common / (len(answer) + len(gold))
