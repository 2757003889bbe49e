"""Our Muon is optax's Muon, computed in fewer multiplications."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

from jax_models.training.config import OptimizerConfig
from jax_models.training.muon import TALL, orthogonalize
from jax_models.training.optim import make_optimizer

SHAPES = [(72, 8), (40, 30), (16, 16), (12, 30), (6, 60)]


def random_matrix(shape: tuple[int, ...], seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalised_matrices_are_those_of_optax(shape):
    matrix = random_matrix(shape)
    expected = contrib._muon.orthogonalize_via_newton_schulz(matrix, jnp.asarray((3.4445, -4.7750, 2.0315)))
    assert np.allclose(orthogonalize(matrix), expected, atol=2e-5)


def test_both_forms_were_compared():
    tall = [max(shape) > TALL * min(shape) for shape in SHAPES]
    assert any(tall)
    assert not all(tall)


@pytest.mark.parametrize("condition", [1e1, 1e4])
def test_singular_values_come_close_to_one_also_in_ill_conditioned_matrices(condition):
    left, _, right = np.linalg.svd(np.asarray(random_matrix((90, 10))), full_matrices=False)
    matrix = (left * np.geomspace(1, 1 / condition, 10)) @ right
    expected = contrib._muon.orthogonalize_via_newton_schulz(
        jnp.asarray(matrix, jnp.float32), jnp.asarray((3.4445, -4.7750, 2.0315))
    )
    ours = np.asarray(orthogonalize(jnp.asarray(matrix, jnp.float32)))
    assert np.linalg.norm(ours - expected, ord=2) < 1e-2
    assert np.linalg.svd(ours, compute_uv=False).max() < 1.25


def test_a_matrix_of_zeros_stays_zero():
    assert not np.asarray(orthogonalize(jnp.zeros((20, 4)))).any()


def test_steps_are_those_of_optax_with_momentum_and_weight_decay():
    params = {"conv": random_matrix((3, 3, 4, 8)), "linear": random_matrix((12, 10)), "bias": random_matrix((8,))}
    config = OptimizerConfig(optimizer="muon", momentum=0.9, weight_decay=0.1)
    numbers = contrib.MuonDimensionNumbers
    theirs = contrib.muon(
        1.0,
        beta=0.9,
        weight_decay=0.1,
        consistent_rms=0.2,
        muon_weight_dimension_numbers={"conv": numbers((0, 1, 2), 3), "linear": numbers(0, 1), "bias": None},
    )
    for expected, ours in zip(
        three_updates(theirs, params), three_updates(make_optimizer(config), params), strict=True
    ):
        for name in params:
            assert np.allclose(ours[name], expected[name], atol=2e-4), name


def three_updates(tx: optax.GradientTransformation, params: optax.Params) -> list[optax.Updates]:
    state, updates = tx.init(params), []
    for seed in range(3):
        grads = jax.tree.map(lambda param, seed=seed: random_matrix(param.shape, seed + 1), params)
        update, state = jax.jit(tx.update)(grads, state, params)
        updates.append(update)
    return updates
