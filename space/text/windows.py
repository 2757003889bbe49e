"""A text longer than a model reads at once, as overlapping windows that end where sentences do."""

import math
import re
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

_BOUNDARY = re.compile(r"(?<=[.!?\u2026])[\"')\]\u00bb\u201d\u2019]*\s+|(?<=[\u3002\uff01\uff1f])|\n\s*\n\s*")
# Not after an initial or a title: "J. R. Smith", "Dr. Jones".
_NO_END = r"(?<!\b[A-Z]\.)(?<!\b(?:Mr|Dr|St|No)\.)(?<!\bMrs\.)(?<!\bProf\.)"
_END = re.compile(rf"[.!?\u2026]{_NO_END}[\"')\]\u00bb\u201d\u2019]*(?=\s|$)|[\u3002\uff01\uff1f]")


@dataclass(frozen=True)
class _Piece:
    """A sentence, or a part of one too long for a window; where it lies in the text."""

    start: int
    end: int
    tokens: int


def windows(text: str, tokenizer: Any, *, size: int, overlap: int) -> list[slice]:
    """Windows of about equal length that together hold every character of `text`, in order.

    Each but the first begins with the last sentences of the one before, as many as fit into `overlap` tokens.

    Args:
        tokenizer: of transformers, a fast one.
        size: most tokens of a window, counted sentence by sentence.
        overlap: less than `size`.
    """
    pieces = _pieces(text, tokenizer, size=size, overlap=overlap)
    total, longest = sum(piece.tokens for piece in pieces), max(piece.tokens for piece in pieces)
    if total > size:
        number = math.ceil((total - overlap) / (size - overlap))
        size = min(size, math.ceil(total / number) + overlap + longest)
    found, start = [], 0
    while True:
        end = start + _fitting(pieces[start:], size)
        found.append(slice(pieces[start].start, pieces[end - 1].end))
        if end == len(pieces):
            return found
        start = end - _fitting(pieces[start + 1 : end][::-1], overlap)


def whole_sentences(text: str) -> str:
    """`text` up to the end of its last whole sentence; all of it if it has none."""
    ends = [match.end() for match in _END.finditer(text)]
    return text[: ends[-1]] if ends else text


def first_sentences(text: str, number: int) -> str:
    """So many sentences of `text`; all of it if it has fewer."""
    ends = [match.end() for match in _END.finditer(text)]
    return text[: ends[number - 1]] if len(ends) >= number else text


def _fitting(pieces: list[_Piece], tokens: int) -> int:
    """How many of the first pieces have at most so many tokens together."""
    return sum(total <= tokens for total in accumulate(piece.tokens for piece in pieces))


def _pieces(text: str, tokenizer: Any, *, size: int, overlap: int) -> list[_Piece]:
    """The sentences; those that would not fit after an overlap are cut as finely as the overlap."""
    cuts = sorted({0, *(match.end() for match in _BOUNDARY.finditer(text)), len(text)})
    pieces: list[_Piece] = []
    for start, end in pairwise(cuts):
        offsets = tokenizer(text[start:end], add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        most = size if len(offsets) <= size - overlap else overlap or size
        starts = [0, *(offsets[place][0] for place in range(most, len(offsets), most)), end - start]
        counts = [min(most, len(offsets) - place) for place in range(0, max(len(offsets), 1), most)]
        pieces += [
            _Piece(start + first, start + last, count)
            for (first, last), count in zip(pairwise(starts), counts, strict=True)
        ]
    return pieces
