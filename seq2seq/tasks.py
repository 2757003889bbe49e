"""Tasks on sequences of integers: what the target is, and which sequences are for training and which for the test.

A hash of the sequence decides. So training data can be drawn at random for ever, inside the compiled step, and still
never holds a sequence of the test set.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from seq2seq.vocabulary import EOS, PAD, SPECIAL

BUCKETS = 16  # sequences fall into so many parts by their hash: one is the test set, one validation, the rest training
TEST, VALIDATION = 0, 1
SHORTEST_HELD_OUT = 2  # every shorter sequence is for training: there are too few of them to hold any out

FEWEST_SYMBOLS, FEW_SYMBOLS, FEW_SYMBOLS_EVERY = 2, 12, 2  # see `draw_training_sources`

Tokens = Any  # int arrays of NumPy or JAX


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Examples:
    """Sources and targets as token ids, (b, s) and (b, t), padded at the right; a target ends with `EOS`."""

    source: Tokens
    target: Tokens

    def __len__(self) -> int:
        return len(self.source)


def reverse(source: Int[Array, "b s"]) -> Int[Array, "b s"]:
    """The symbols from the last to the first."""
    last = (source != PAD).sum(1)[:, None] - 1
    return _take(source, last - jnp.arange(source.shape[1])[None, :])


def copy(source: Int[Array, "b s"]) -> Int[Array, "b s"]:
    """The symbols as they are."""
    return source


def sort(source: Int[Array, "b s"]) -> Int[Array, "b s"]:
    """The symbols in the order of the vocabulary."""
    last = jnp.iinfo(source.dtype).max
    ordered = jnp.sort(jnp.where(source == PAD, last, source), axis=1)
    return jnp.where(ordered == last, PAD, ordered)


INTEGER_TASKS: dict[str, Callable[[Int[Array, "b s"]], Int[Array, "b s"]]] = {
    "reverse": reverse,
    "copy": copy,
    "sort": sort,
}


def with_targets(task: str, source: Tokens) -> Examples:
    """The examples with these sources."""
    source = jnp.asarray(source)
    target = jnp.pad(INTEGER_TASKS[task](source), ((0, 0), (0, 1)))
    length = (source != PAD).sum(1)[:, None]
    return Examples(source, jnp.where(jnp.arange(target.shape[1])[None, :] == length, EOS, target))


def bucket(source: Tokens) -> Tokens:
    """The part, 0 to `BUCKETS` - 1, that each padded sequence belongs to, however much padding it has.

    Sequences too short to be held out get -1. The mixing is the end of MurmurHash3 (Appleby, public domain).
    """
    tokens = source.astype(np.uint32)
    places = np.arange(source.shape[1], dtype=np.uint32)[None, :]
    mixed = _mix(tokens * np.uint32(0x9E3779B1) + places * np.uint32(0x85EBCA77)) * (source != PAD)
    hashed = _mix(mixed.sum(1, dtype=np.uint32))
    part = (hashed % np.uint32(BUCKETS)).astype(np.int32)
    held_out = (source != PAD).sum(1) >= SHORTEST_HELD_OUT
    return part * held_out - 1 * ~held_out


def draw_training_sources(
    key: Array, count: int, *, num_symbols: int, min_length: int, max_length: int
) -> Int[Array, "b s"]:
    """Random sequences of the training part, int32 (count, max_length); may be jitted.

    They dwell on what is hard. A length is the longer of two uniform draws. Symbols are uniform, but every
    `FEW_SYMBOLS_EVERY`-th sequence has only `FEWEST_SYMBOLS` to `FEW_SYMBOLS` of them (uniform on a logarithmic scale),
    so that the same symbol stands in several places: with uniform draws alone, the errors that are left after training
    are all near a repeated symbol. What falls into another part is drawn again at the same length.
    """
    key_lengths, key = jax.random.split(key)
    few = (jnp.arange(count) % FEW_SYMBOLS_EVERY == 0)[:, None]
    lengths = jax.random.randint(key_lengths, (count, 2), min_length, max_length + 1).max(1, keepdims=True)
    mask = jnp.arange(max_length)[None, :] < lengths

    def draw(key: Array) -> Int[Array, "b s"]:
        key_any, key_few, key_number, key_choice = jax.random.split(key, 4)
        symbols = jax.random.randint(key_any, (count, max_length), SPECIAL, SPECIAL + num_symbols)
        own = jax.random.randint(key_few, (count, FEW_SYMBOLS), SPECIAL, SPECIAL + num_symbols)
        smallest, largest = math.log(FEWEST_SYMBOLS), math.log(FEW_SYMBOLS + 1)
        number = jnp.floor(jnp.exp(jax.random.uniform(key_number, (count, 1), minval=smallest, maxval=largest)))
        choice = jnp.floor(number * jax.random.uniform(key_choice, (count, max_length))).astype(jnp.int32)
        return jnp.where(mask, jnp.where(few, jnp.take_along_axis(own, choice, axis=1), symbols), PAD)

    def redraw(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        key, source = carry
        key, key_now = jax.random.split(key)
        return key, jnp.where(_is_held_out(source)[:, None], draw(key_now), source)

    key, key_first = jax.random.split(key)
    _, source = jax.lax.while_loop(lambda carry: _is_held_out(carry[1]).any(), redraw, (key, draw(key_first)))
    return source


def held_out_sources(
    part: int, count: int, *, num_symbols: int, min_length: int, max_length: int
) -> Int[np.ndarray, "n s"]:
    """At least `count` unique sequences of one held-out part, the same number of each length, shortest first.

    Where there are fewer, as with few symbols and short sequences, all of them.
    """
    lengths = range(max(min_length, SHORTEST_HELD_OUT), max_length + 1)
    share = -(-count // max(1, len(lengths)))
    rows = []
    for length in lengths:
        if num_symbols**length <= 8 * BUCKETS * share:
            candidates = np.stack(np.meshgrid(*[np.arange(num_symbols)] * length, indexing="ij"), -1)
        else:
            rng = np.random.default_rng((part, num_symbols, length))
            candidates = rng.integers(num_symbols, size=(2 * BUCKETS * share, length))
        candidates = SPECIAL + candidates.reshape(-1, length).astype(np.int32)
        chosen = candidates[bucket(candidates) == part]
        _, first = np.unique(chosen, axis=0, return_index=True)
        chosen = chosen[np.sort(first)][:share]
        rows.append(np.pad(chosen, ((0, 0), (0, max_length - length)), constant_values=PAD))
    return np.concatenate(rows) if rows else np.zeros((0, max_length), np.int32)


def _is_held_out(source: Tokens) -> Tokens:
    part = bucket(source)
    return (part == TEST) | (part == VALIDATION)


def _mix(x: Tokens) -> Tokens:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def _take(source: Int[Array, "b s"], places: Int[Array, "b s"]) -> Int[Array, "b s"]:
    """The tokens at these places, and padding for places before the first."""
    return jnp.where(places >= 0, jnp.take_along_axis(source, jnp.maximum(places, 0), axis=1), PAD)
