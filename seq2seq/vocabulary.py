"""Symbols and the token ids that the model knows them by. Subwords, learnt from text, are in `subwords.py`."""

import dataclasses
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from jax_models.errors import UsageError

PAD, BOS, EOS = 0, 1, 2
SPECIAL = 3  # ids below this are the three marks above; symbols come after them


@runtime_checkable
class Vocabulary(Protocol):
    """What turns what people write into token ids and back."""

    @property
    def num_tokens(self) -> int:
        """All symbols, and the marks for padding, beginning and end."""
        ...

    def encode(self, sequences: Sequence[Any], *, max_length: int, cut: bool = False) -> Int[np.ndarray, "b s"]:
        """Token ids, padded to the longest sequence. With `cut`, what is too long or unknown is left away.

        Raises:
            UsageError: an unknown symbol, an empty sequence, or one longer than `max_length`.
        """
        ...

    def decode(self, tokens: Iterable[Any]) -> Any:
        """What the tokens before the first end mark stand for; marks are left out."""
        ...

    def pieces(self, tokens: Iterable[Any]) -> list[str]:
        """The same, token by token, as a person would label them."""
        ...

    def parse(self, line: str) -> Any:
        """A sequence as `encode` takes it, from a line that a person typed."""
        ...

    def format(self, output: Any) -> str:
        """A line for a person, from what `decode` gives."""
        ...


@dataclasses.dataclass(frozen=True)
class Symbols:
    """An ordered set of symbols; symbol number i has the token id `SPECIAL + i`. A sequence is a list of them."""

    symbols: tuple[int | str, ...]

    @property
    def num_tokens(self) -> int:
        """See `Vocabulary`."""
        return SPECIAL + len(self.symbols)

    def encode(self, sequences: Sequence[Any], *, max_length: int, cut: bool = False) -> Int[np.ndarray, "b s"]:
        """See `Vocabulary`. A symbol may be given as itself or as the string that it prints as."""
        if not len(sequences):
            raise UsageError("there is no sequence; give at least one")
        if cut:
            sequences = [[symbol for symbol in row if str(symbol) in self._ids][:max_length] for row in sequences]
        rows = [self._encode(sequence, f"sequence {n}", max_length) for n, sequence in enumerate(sequences, 1)]
        return pad(rows, width=max(map(len, rows)))

    def decode(self, tokens: Iterable[Any]) -> Any:
        """See `Vocabulary`."""
        return [self.symbols[token - SPECIAL] for token in before_end(tokens)]

    def pieces(self, tokens: Iterable[Any]) -> list[str]:
        """See `Vocabulary`."""
        return [str(self.symbols[token - SPECIAL]) for token in before_end(tokens)]

    def parse(self, line: str) -> Any:
        """See `Vocabulary`. Symbols stand apart by spaces or commas."""
        return line.replace(",", " ").split()

    def format(self, output: Any) -> str:
        """See `Vocabulary`."""
        return " ".join(map(str, output))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {str(symbol): SPECIAL + index for index, symbol in enumerate(self.symbols)}

    @property
    def _wording(self) -> str:
        return f"which is not in the vocabulary ({self.symbols[0]} to {self.symbols[-1]})"

    def _encode(self, sequence: Sequence[object], name: str, max_length: int) -> list[int]:
        if not len(sequence):
            raise UsageError(f"{name} is empty; give at least one symbol")
        check_length(len(sequence), name, max_length)
        tokens = []
        for symbol in map(str, sequence):
            if symbol not in self._ids:
                raise UsageError(f"{name} holds {symbol!r}, {self._wording}")
            tokens.append(self._ids[symbol])
        return tokens


@dataclasses.dataclass(frozen=True)
class Characters(Symbols):
    """The symbols are characters. A sequence is a string."""

    def decode(self, tokens: Iterable[Any]) -> Any:
        """See `Vocabulary`."""
        return "".join(self.pieces(tokens))

    def parse(self, line: str) -> Any:
        """See `Vocabulary`."""
        return line.strip()

    def format(self, output: Any) -> str:
        """See `Vocabulary`."""
        return output

    @property
    def _wording(self) -> str:
        return f"a character that the training never showed; it knows: {''.join(map(str, self.symbols))}"


def before_end(tokens: Iterable[Any]) -> list[int]:
    """The tokens before the first end mark, without marks."""
    found = []
    for token in map(int, tokens):
        if token == EOS:
            break
        if token >= SPECIAL:
            found.append(token)
    return found


def check_length(length: int, name: str, max_length: int) -> None:
    """Raises: UsageError, if there are too many symbols."""
    if length > max_length:
        raise UsageError(f"{name} has {length} symbols, and the limit is {max_length}; shorten it or raise max_length")


def pad(rows: Sequence[Sequence[int]], *, width: int) -> Int[np.ndarray, "b s"]:
    """One array of int32 rows, filled up with `PAD` at the right."""
    padded = np.full((len(rows), width), PAD, np.int32)
    for row, tokens in zip(padded, rows, strict=True):
        row[: len(tokens)] = tokens
    return padded
