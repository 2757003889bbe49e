"""Symbols and the token ids that the model knows them by."""

import dataclasses
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int

from jax_models.errors import UsageError

PAD, BOS, EOS = 0, 1, 2
SPECIAL = 3  # ids below this are the three marks above; symbols come after them


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """An ordered set of symbols; symbol number i has the token id `SPECIAL + i`."""

    symbols: tuple[int | str, ...]

    @classmethod
    def of_integers(cls, size: int) -> "Vocabulary":
        """The integers 0 to `size` - 1."""
        return cls(tuple(range(size)))

    @property
    def num_tokens(self) -> int:
        """All symbols, and the marks for padding, beginning and end."""
        return SPECIAL + len(self.symbols)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {str(symbol): SPECIAL + index for index, symbol in enumerate(self.symbols)}

    def encode(self, sequences: Sequence[Sequence[object]], *, max_length: int) -> Int[np.ndarray, "b s"]:
        """Token ids, padded to the longest sequence. A symbol may be given as itself or as the string it prints as.

        Raises:
            UsageError: an unknown symbol, an empty sequence, or one longer than `max_length`.
        """
        if not len(sequences):
            raise UsageError("there is no sequence; give at least one")
        rows = [self._encode(sequence, f"sequence {n}", max_length) for n, sequence in enumerate(sequences, 1)]
        return pad(rows, width=max(map(len, rows)))

    def decode(self, tokens: Iterable[Any]) -> list[Any]:
        """The symbols before the first end mark; marks are left out."""
        symbols = []
        for token in map(int, tokens):
            if token == EOS:
                break
            if token >= SPECIAL:
                symbols.append(self.symbols[token - SPECIAL])
        return symbols

    def _encode(self, sequence: Sequence[object], name: str, max_length: int) -> list[int]:
        if not len(sequence):
            raise UsageError(f"{name} is empty; give at least one symbol")
        if len(sequence) > max_length:
            raise UsageError(
                f"{name} has {len(sequence)} symbols, and the limit is {max_length}; shorten it or raise max_length"
            )
        tokens = []
        for symbol in map(str, sequence):
            if symbol not in self._ids:
                first, last = self.symbols[0], self.symbols[-1]
                raise UsageError(f"{name} holds {symbol!r}, which is not in the vocabulary ({first} to {last})")
            tokens.append(self._ids[symbol])
        return tokens


def pad(rows: Sequence[Sequence[int]], *, width: int) -> Int[np.ndarray, "b s"]:
    """One array of int32 rows, filled up with `PAD` at the right."""
    padded = np.full((len(rows), width), PAD, np.int32)
    for row, tokens in zip(padded, rows, strict=True):
        row[: len(tokens)] = tokens
    return padded
