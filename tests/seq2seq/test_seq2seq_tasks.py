"""Tasks: what the target is, and that training never sees a held-out sequence."""

import jax
import numpy as np
import pytest

from seq2seq.tasks import (
    SHORTEST_HELD_OUT,
    TEST,
    VALIDATION,
    bucket,
    draw_training_sources,
    held_out_sources,
    with_targets,
)
from seq2seq.vocabulary import EOS, PAD, SPECIAL, pad

TINY = {"num_symbols": 3, "min_length": 1, "max_length": 4}
USUAL = {"num_symbols": 100, "min_length": 1, "max_length": 20}


def as_set(sources: np.ndarray) -> set[bytes]:
    return {np.asarray(row, np.int32).tobytes() for row in np.asarray(sources)}


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        ("reverse", [[4, 9, 5, EOS], [7, EOS, PAD, PAD]]),
        ("copy", [[5, 9, 4, EOS], [7, EOS, PAD, PAD]]),
        ("sort", [[4, 5, 9, EOS], [7, EOS, PAD, PAD]]),
    ],
)
def test_targets_are_what_the_task_says_and_end_with_the_end_mark(task, targets):
    examples = with_targets(task, pad([[5, 9, 4], [7]], width=3))
    assert np.asarray(examples.target).tolist() == targets


def test_training_draws_every_sequence_that_is_not_held_out_and_no_other():
    draw = jax.jit(lambda key: draw_training_sources(key, 4000, **TINY))
    drawn = set().union(*(as_set(draw(jax.random.key(seed))) for seed in range(3)))
    held_out = as_set(held_out_sources(TEST, 10**6, **TINY)) | as_set(held_out_sources(VALIDATION, 10**6, **TINY))
    assert not drawn & held_out
    assert len(drawn) + len(held_out) == 3 + 9 + 27 + 81, "together they are all sequences"
    singles = [row for row in drawn if np.frombuffer(row, np.int32)[1] == PAD]
    assert len(singles) == 3, "every sequence of length 1 is for training"


def test_the_usual_test_set_is_ten_thousand_unique_sequences_of_every_length_apart_from_training():
    sources = held_out_sources(TEST, 10_000, **USUAL)
    lengths = (sources != PAD).sum(1)
    assert len(sources) >= 10_000
    assert len(as_set(sources)) == len(sources)
    assert set(lengths.tolist()) == set(range(SHORTEST_HELD_OUT, 21))
    assert (bucket(sources) == TEST).all()
    drawn = draw_training_sources(jax.random.key(0), 5000, **USUAL)
    assert not np.isin(np.asarray(bucket(drawn)), [TEST, VALIDATION]).any()
    assert np.asarray(drawn)[np.asarray(drawn) != PAD].min() >= SPECIAL


def test_the_part_of_a_sequence_does_not_depend_on_its_padding_or_on_who_computes_it():
    sources = held_out_sources(TEST, 200, **USUAL)
    wide = np.pad(sources, ((0, 0), (0, 9)))
    assert (bucket(wide) == TEST).all()
    assert (np.asarray(jax.jit(bucket)(wide)) == TEST).all()


def test_long_sequences_are_drawn_more_often_than_short_ones():
    lengths = (np.asarray(draw_training_sources(jax.random.key(0), 4000, **USUAL)) != PAD).sum(1)
    assert lengths.min() >= 1
    assert lengths.max() == 20
    assert (lengths > 10).mean() == pytest.approx(0.75, abs=0.03)
