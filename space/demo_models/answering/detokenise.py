"""From Penn Treebank tokens (-LRB-, ``, n't) to the text a reader expects, with each token's place in it."""

from collections.abc import Sequence
from dataclasses import dataclass

_WRITTEN = {
    "-LRB-": "(",
    "-RRB-": ")",
    "-LSB-": "[",
    "-RSB-": "]",
    "-LCB-": "{",
    "-RCB-": "}",
    "``": '"',
    "''": '"',
    "`": "'",
    "--": "-",
}
_LEANS_LEFT = {",", ".", ":", ";", "?", "!", "%", "...", "-RRB-", "-RSB-", "-RCB-", "''", "'", "n't"}
_LEANS_LEFT |= {"'s", "'m", "'d", "'re", "'ve", "'ll", "'S"}
_LEANS_RIGHT = {"-LRB-", "-LSB-", "-LCB-", "``", "`", "$", "US$", "R$", "#"}
_ONE_WORD = {("can", "not"), ("Can", "not"), ("gon", "na"), ("wan", "na")}

Span = tuple[int, int]


@dataclass(frozen=True)
class Sentence:
    """A natural text and, for each of its tokens, the characters [start, end) that it became."""

    text: str
    tokens: tuple[Span, ...]

    def marked(self, indices: Sequence[int]) -> str:
        """The text of the tokens at `indices` (rising), runs of neighbours as they stand, a space between runs."""
        runs: list[list[int]] = []
        for index in indices:
            if runs and index == runs[-1][1] + 1:
                runs[-1][1] = index
            else:
                runs.append([index, index])
        return " ".join(self.text[self.tokens[first][0] : self.tokens[last][1]] for first, last in runs)

    def span(self, indices: Sequence[int]) -> Span:
        """The characters from the first to the last of the tokens at `indices`."""
        return self.tokens[indices[0]][0], self.tokens[indices[-1]][1]


def detokenise(tokens: Sequence[str]) -> Sentence:
    """Joins Treebank tokens: brackets and quotes as written, no space where print has none."""
    text, spans = "", []
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else ""
        if index and token not in _LEANS_LEFT and before not in _LEANS_RIGHT and (before, token) not in _ONE_WORD:
            text += " "
        written = _WRITTEN.get(token, token)
        spans.append((len(text), len(text) + len(written)))
        text += written
    return Sentence(text, tuple(spans))
