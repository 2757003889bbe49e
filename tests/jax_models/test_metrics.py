"""Metrics are sums over examples: merged by addition, divided once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_models.training.metrics import MetricSums, classification_sums

LOGITS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
LABELS = np.asarray([0, 1, 2, 3, 3, 2, 1, 0, 0, 0], np.int32)


def sums_of(part: slice, mask: np.ndarray | None = None) -> MetricSums:
    kept = None if mask is None else jnp.asarray(mask)
    return classification_sums(jnp.asarray(LOGITS[part]), jnp.asarray(LABELS[part]), kept)


def expected(kept: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of these examples, in NumPy."""
    logits, labels = LOGITS[kept].astype(np.float64), LABELS[kept]
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(len(labels)), labels].mean()
    return float(loss), float((logits.argmax(axis=1) == labels).mean())


def test_means_are_the_cross_entropy_in_nats_and_the_share_of_hits():
    assert sums_of(slice(None)).means() == pytest.approx(expected(np.arange(10)), rel=1e-6)


def test_uneven_parts_add_up_to_the_whole():
    parts = sums_of(slice(0, 7)) + sums_of(slice(7, 8)) + sums_of(slice(8, 10))
    assert float(parts.count) == 10
    assert parts.means() == pytest.approx(sums_of(slice(None)).means(), rel=1e-6)


def test_masked_examples_do_not_count():
    mask = np.asarray([True, False, True, True, False, True, True, True, False, True])
    masked = sums_of(slice(None), mask)
    assert float(masked.count) == 7
    assert masked.means() == pytest.approx(expected(np.flatnonzero(mask)), rel=1e-6)


def test_sums_pass_through_a_compiled_function():
    doubled = jax.jit(lambda sums: sums + sums)(sums_of(slice(None)))
    assert isinstance(doubled, MetricSums)
    assert float(doubled.count) == 20
    assert doubled.means() == pytest.approx(sums_of(slice(None)).means(), rel=1e-6)
