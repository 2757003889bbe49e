"""Batches: training visits each example at most once an epoch, evaluation visits every one, in order."""

import jax
import numpy as np
import pytest

from jax_models.data.batches import IMAGE_SIZE, pad_to_image_size, padded_batches, shuffled_batches


def epoch(count: int, batch_size: int, *, seed: int = 0) -> list[np.ndarray]:
    return list(shuffled_batches(count, batch_size, key=jax.random.key(seed)))


@pytest.mark.parametrize(("count", "batch_size", "batches"), [(23, 5, 4), (20, 5, 4), (5, 5, 1)])
def test_an_epoch_visits_each_example_at_most_once_in_full_batches(count, batch_size, batches):
    order = np.concatenate(epoch(count, batch_size))
    assert [len(batch) for batch in epoch(count, batch_size)] == [batch_size] * batches
    assert len(set(order.tolist())) == batches * batch_size
    assert set(order.tolist()) <= set(range(count))


def test_order_is_the_keys_own():
    first, again, other = (np.concatenate(epoch(23, 5, seed=seed)) for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert (first != np.arange(20)).any()


def test_examples_left_out_of_one_epoch_come_in_another():
    seen = {index for seed in range(20) for batch in epoch(23, 5, seed=seed) for index in batch.tolist()}
    assert seen == set(range(23))


def test_small_images_are_centred_on_black():
    images = np.random.default_rng(0).integers(1, 256, (2, 28, 28, 1), dtype=np.uint8)
    padded = pad_to_image_size(images)
    assert padded.shape == (2, IMAGE_SIZE, IMAGE_SIZE, 1)
    assert (padded[:, 2:-2, 2:-2] == images).all()
    assert padded.sum(dtype=np.int64) == images.sum(dtype=np.int64)


def test_images_of_the_right_size_are_left_alone():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    assert (pad_to_image_size(images) == images).all()


@pytest.mark.parametrize("count", [1, 5, 12])
def test_evaluation_batches_hold_every_image_in_order_and_black_ones_to_fill_the_last(count):
    images = np.random.default_rng(0).integers(1, 256, (count, 4, 4, 1), dtype=np.uint8)
    batches = list(padded_batches(images, 5))
    assert {len(batch) for batch in batches} == {5}
    together = np.concatenate(batches)
    assert (together[:count] == images).all()
    assert not together[count:].any()
    assert len(together) - count < 5
