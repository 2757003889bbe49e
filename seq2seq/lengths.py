"""Exact match by length, also far beyond the lengths of the training."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Int

from seq2seq.decoding import Searcher
from seq2seq.storage import TrainedModel
from seq2seq.tasks import SHORTEST_HELD_OUT, TEST, held_out_sources, with_targets
from seq2seq.vocabulary import PAD, SPECIAL

GROWTH = 5  # lengths up to this times the training's share a program, as do those up to this times those, and so on


def errors_by_length(
    trained: TrainedModel, lengths: Iterable[int], *, per_length: int
) -> Iterator[tuple[int, tuple[int, int]]]:
    """For each length how many of the model's own outputs, decoded greedily, have an error, and of how many."""
    config = trained.config
    searcher = Searcher(trained.model, batch_size=per_length)
    for length in lengths:
        source = sources_of_length(length, per_length, num_symbols=config.vocabulary_size)
        width = config.max_length
        while width < length:
            width *= GROWTH
        rows = len(source)
        source = np.pad(source, ((0, per_length - rows), (0, width - length)), constant_values=PAD)
        output = searcher(source, max_steps=width + 1).tokens
        target = with_targets(config.task, source).target
        exact = (np.asarray(output) == np.asarray(target)).all(1)[:rows]
        yield length, (int((~exact).sum()), rows)


def sources_of_length(length: int, count: int, *, num_symbols: int) -> Int[np.ndarray, "n s"]:
    """Unique test sequences, the same at every call: `count` of them, or all where there are fewer.

    Those too short to be held out are the exception: they are all sequences of their length, which training draws, too.
    """
    if length >= SHORTEST_HELD_OUT:
        return held_out_sources(TEST, count, num_symbols=num_symbols, min_length=length, max_length=length)
    return np.arange(SPECIAL, SPECIAL + num_symbols, dtype=np.int32)[:count, None]
