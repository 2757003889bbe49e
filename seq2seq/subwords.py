"""Subwords: byte pair encoding of text, learnt from it. Sennrich, Haddow, Birch, 2016, arXiv 1508.07909.

The encoding itself is that of Hugging Face's `tokenizers` (the extra `text`), with the word marks of SentencePiece
(arXiv 1808.06226), so that text comes back as it was, spaces included.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from jax_models.errors import UsageError
from seq2seq.vocabulary import SPECIAL, before_end, check_length, pad

MARKS = ("<pad>", "<begin>", "<end>")  # in the order of their ids in `vocabulary.py`
SPACE = "\u2581"  # what stands for a space before a word


class MissingPackage(UsageError):
    """A package that texts need is not installed."""


class Subwords:
    """A vocabulary of subwords. A sequence is a string; its Unicode form is NFC, its spaces single."""

    def __init__(self, description: str) -> None:
        """From a description, as the property of that name gives it."""
        self._tokenizer: Any = _library().Tokenizer.from_str(description)
        self._tokenizer.encode_special_tokens = True  # a text that holds "<end>" does not end there
        self._known = frozenset("".join(piece for piece in self._tokenizer.get_vocab() if piece not in MARKS)) | {" "}

    @classmethod
    def learn(cls, texts: Iterable[str], *, size: int) -> "Subwords":
        """The `size` most useful subwords: fewer if the texts hold no more, more if they have more letters."""
        library = _library()
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.normalizer = library.normalizers.NFC()
        before = [library.pre_tokenizers.Metaspace(), library.pre_tokenizers.Punctuation()]
        tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence(before)
        tokenizer.decoder = library.decoders.Metaspace()
        trainer = library.trainers.BpeTrainer(
            vocab_size=SPECIAL + size, special_tokens=list(MARKS), show_progress=False, min_frequency=2
        )
        tokenizer.train_from_iterator((_tidy(text) for text in texts), trainer)
        return cls(tokenizer.to_str())

    @property
    def description(self) -> str:
        """All that it is, as JSON."""
        return self._tokenizer.to_str()

    @property
    def num_tokens(self) -> int:
        """See `Vocabulary`."""
        return self._tokenizer.get_vocab_size()

    def encode(self, sequences: Sequence[Any], *, max_length: int, cut: bool = False) -> Int[np.ndarray, "b s"]:
        """See `Vocabulary`."""
        if not len(sequences):
            raise UsageError("there is no line; give at least one")
        rows = self.tokens(sequences)
        for number, (text, row) in enumerate(zip(sequences, rows, strict=True), 1):
            del row[max_length if cut else len(row) :]
            unknown = [character for character in _tidy(text) if character not in self._known]
            if unknown and not cut:
                raise UsageError(f"line {number} holds {unknown[0]!r}, a character that the training never showed")
            if not row:
                raise UsageError(f"line {number} is empty; give at least one word")
            check_length(len(row), f"line {number}", max_length)
        return pad(rows, width=max(map(len, rows)))

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, of any length; characters that it does not know are left out."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch([*map(_tidy, texts)])]

    def decode(self, tokens: Iterable[Any]) -> Any:
        """See `Vocabulary`."""
        return self._tokenizer.decode(before_end(tokens))

    def pieces(self, tokens: Iterable[Any]) -> list[str]:
        """See `Vocabulary`."""
        return [*self._pieces(tokens)]

    def parse(self, line: str) -> Any:
        """See `Vocabulary`."""
        return line.strip()

    def format(self, output: Any) -> str:
        """See `Vocabulary`."""
        return output

    def _pieces(self, tokens: Iterable[Any]) -> Iterator[str]:
        for token in before_end(tokens):
            piece = self._tokenizer.id_to_token(token)
            yield piece if piece == SPACE else piece.replace(SPACE, "")


def _tidy(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _library() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError:
        raise MissingPackage("text needs the package tokenizers: pip install -e '.[text]'") from None
    return tokenizers
