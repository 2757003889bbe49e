"""Hard examples: found by the majority of each family's seeds, counted against chance, ordered by agreement."""

import numpy as np
import pytest

from benchmarks.analysis.hard_examples import hard_examples

LABELS = np.array([0, 1, 2, 3])


def test_an_image_is_hard_if_most_seeds_of_every_family_are_wrong():
    predictions = {
        "a": np.array([[1, 0, 0, 3], [1, 0, 2, 3], [1, 1, 0, 3]]),
        "b": np.array([[2, 0, 2, 0]]),
    }
    found = hard_examples(predictions, LABELS, classes=4)
    assert [example.index for example in found.examples] == [1, 0], "0: half say 1, half say 2; 1: five of six say 0"
    assert found.by_every_seed == 1, "one seed gets image 1 right"


def test_half_of_the_seeds_are_no_majority():
    assert hard_examples({"a": np.array([[1, 1, 2, 3], [0, 1, 2, 3]])}, LABELS, classes=4).examples == ()


def test_each_family_has_one_vote_however_many_seeds_it_has():
    predictions = {"a": np.full((9, 1), 1), "b": np.array([[2]]), "c": np.array([[2], [2], [0]])}
    (example,) = hard_examples(predictions, np.array([0]), classes=4).examples
    assert example.votes == ((2, pytest.approx(5 / 9)), (1, pytest.approx(3 / 9)), (0, pytest.approx(1 / 9)))
    assert (example.answer, example.agreement) == (2, pytest.approx(5 / 9))


def test_the_label_is_no_wrong_answer_even_where_it_has_most_votes():
    predictions = {"a": np.array([[1], [2], [3], [0], [0]])}
    (example,) = hard_examples(predictions, np.array([0]), classes=4).examples
    assert example.votes[0] == (0, pytest.approx(0.4))
    assert example.answer == 1


def test_independent_errors_make_as_many_hard_examples_as_expected():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 20_000)
    rates = np.where(labels < 2, 0.5, 0.1)  # two hard classes alone must not look like hard images
    predictions = {name: (labels + (rng.random((1, 20_000)) < rates)) % 10 for name in "abc"}
    found = hard_examples(predictions, labels, classes=10)
    assert found.expected == pytest.approx(4_000 * 0.5**3 + 16_000 * 0.1**3, rel=0.05)
    assert abs(len(found.examples) - found.expected) < 3 * found.expected**0.5


def test_images_that_are_hard_for_all_exceed_what_chance_expects():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 5_000)
    difficult = rng.random(5_000) < 0.02
    predictions = {name: (labels + (rng.random((3, 5_000)) < np.where(difficult, 0.95, 0.01))) % 10 for name in "abcd"}
    found = hard_examples(predictions, labels, classes=10)
    assert {example.index for example in found.examples} <= set(np.flatnonzero(difficult).tolist())
    assert len(found.examples) > 90 * difficult.mean() / 0.02 > 100 * found.expected


def test_faultless_families_have_no_hard_examples():
    found = hard_examples({"a": LABELS[None], "b": LABELS[None]}, LABELS, classes=4)
    assert (found.examples, found.expected, found.by_every_seed) == ((), 0, 0)
