"""Pairs of texts, such as sentences and their translations: read from files, cut into subwords, batched by length."""

import codecs
import dataclasses
import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from jax_models.errors import UsageError
from jax_models.training.config import fingerprint
from seq2seq.subwords import Subwords
from seq2seq.tasks import Examples
from seq2seq.vocabulary import EOS, pad

NARROWEST = 8
POOL = 50  # batches that are shuffled together before they are sorted by length


@dataclasses.dataclass(frozen=True)
class Texts:
    """Sources and targets, line by line."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.sources) != len(self.targets):
            raise UsageError(f"{len(self.sources)} sources and {len(self.targets)} targets; they must belong together")

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that change with any text."""
        return fingerprint([self.sources, self.targets])

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, part: slice) -> "Texts":
        return Texts(self.sources[part], self.targets[part])


def read_texts(files: Sequence[Path]) -> Texts:
    """Pairs from one file with a tab in every line, or from two files whose lines belong together; `.gz` is unpacked.

    Raises:
        UsageError: a file that cannot be read or is not UTF-8, is empty, holds a line without a pair, or files that
            do not have the same number of lines.
    """
    if len(files) == 1:
        name, lines = files[0], _read_lines(files[0])
        pairs = [line.split("\t") for line in lines]
        for number, pair in enumerate(pairs, 1):
            if len(pair) != 2:
                raise UsageError(
                    f"{name}, line {number}: {len(pair) - 1} tabs; a line is a source, one tab and its target"
                )
        columns = ([source for source, _ in pairs], [target for _, target in pairs])
    elif len(files) == 2:
        columns = (_read_lines(files[0]), _read_lines(files[1]))
        if len(columns[0]) != len(columns[1]):
            counts = f"{files[0]} has {len(columns[0])} lines and {files[1]} has {len(columns[1])}"
            raise UsageError(f"{counts}; line by line they must belong together")
    else:
        raise UsageError(f"{len(files)} files were given; pairs are one file with tabs, or two aligned files")
    for name, column in zip((files[0], files[-1]), columns, strict=True):
        for number, text in enumerate(column, 1):
            if not text.strip():
                raise UsageError(f"{name}, line {number} has an empty text; remove the pair")
    return Texts(*(tuple(" ".join(text.split()) for text in column) for column in columns))


def encode_texts(
    texts: Texts, vocabulary: Subwords, *, max_length: int, cut: bool = False
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of the pairs; targets end with `EOS`. Pairs with a text that is too long are left out, or else cut."""
    sources, targets = vocabulary.tokens(texts.sources), vocabulary.tokens(texts.targets)
    if cut:
        sources, targets = ([row[:max_length] for row in rows] for rows in (sources, targets))
    fitting = [(a, b) for a, b in zip(sources, targets, strict=True) if 0 < len(a) <= max_length > len(b) > 0]
    return [source for source, _ in fitting], [[*target, EOS] for _, target in fitting]


def as_examples(sources: Sequence[list[int]], targets: Sequence[list[int]]) -> Examples:
    """All pairs as one padded array each, both of the same width."""
    width = round_up(max(map(len, (*sources, *targets))))
    return Examples(pad(sources, width=width), pad(targets, width=width))


def round_up(length: int) -> int:
    """To an eighth of the power of two above it: few widths, so few programs to compile, and little padding."""
    eighth = max(NARROWEST, 1 << (length - 1).bit_length()) // 8
    return max(NARROWEST, -(-length // eighth) * eighth)


def bucketed(
    lengths: Int[np.ndarray, " n"], batch_size: int, *, rng: np.random.Generator
) -> Iterator[Int[np.ndarray, " b"]]:
    """Indices of one epoch's batches: pairs of like length together, batches in random order.

    What is left over after whole batches, at random, waits for another epoch.
    """
    order = rng.permutation(len(lengths))[: len(lengths) // batch_size * batch_size]
    pools = [order[start : start + POOL * batch_size] for start in range(0, len(order), POOL * batch_size)]
    ordered = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    yield from rng.permutation(ordered.reshape(-1, batch_size))


def _read_lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    lines = decode_lines(data, str(path))
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise UsageError(f"{path} is empty; it must hold one text or pair a line")
    return lines


def decode_lines(data: bytes, name: str) -> list[str]:
    """The lines of a text in UTF-8, without their ends; a line ends with a line feed, before which may be a return.

    Raises:
        UsageError: a line is not UTF-8; says which, of the text of that name.
    """
    lines = data.removeprefix(codecs.BOM_UTF8).split(b"\n")
    if not lines[-1]:
        lines.pop()  # the last line feed ends a line and begins none
    decoded = []
    for number, line in enumerate(lines, 1):
        try:
            decoded.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            raise UsageError(f"{name}, line {number} is not UTF-8 ({error.reason}); convert it") from error
    return decoded
