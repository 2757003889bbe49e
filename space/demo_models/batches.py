"""Batches of about equal lengths, which need little padding, in random order."""

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_batches(
    examples: Sequence[T], *, length: Callable[[T], int], batch_size: int, pool: int, rng: random.Random
) -> list[list[T]]:
    """Full batches; the few examples that fill none are left for another epoch.

    Args:
        examples: in random order.
        length: what the examples of a batch should have in common.
        pool: from how many batches' worth of examples they are chosen for that.
    """
    batches = []
    for start in range(0, len(examples), pool * batch_size):
        alike = sorted(examples[start : start + pool * batch_size], key=length)
        batches += [alike[index : index + batch_size] for index in range(0, len(alike), batch_size)]
    full = [batch for batch in batches if len(batch) == batch_size]
    rng.shuffle(full)
    return full


def epoch_after_epoch(batches: Callable[[int], Iterable[T]]) -> Iterator[T]:
    """The batches of epoch 0, 1, 2 and so on without end."""
    for epoch in itertools.count():
        yield from batches(epoch)
