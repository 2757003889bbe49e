"""Muon: momentum whose matrices are made nearly orthogonal (Jordan et al. 2024; in the form of arXiv 2502.16982).

The orthogonalisation is a Newton-Schulz iteration, X <- a X + b (X Xt) X + c (X Xt)^2 X. `optax.contrib.muon` runs it
as written; `tests/jax_models/test_muon.py` holds this file to that. Only the arithmetic differs: every iterate is X
times a polynomial in its Gram matrix, so for a tall X (a 3x3 convolution has nine rows per input channel) the iteration
runs on the small Gram matrix and meets X twice instead of ten times.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # a, b, c: a steep slope at zero; singular values end between 0.7 and 1.2
STEPS = 5
RMS = 0.2  # updates as large as AdamW's, so that one learning rate serves both (arXiv 2502.16982, section 2.2)
TALL = 1.5  # rows per column above which the Gram form has fewer multiplications


class MuonState(NamedTuple):
    """Steps taken and the moving average of the gradients."""

    count: jax.Array
    moments: optax.Updates


def scale_by_muon(momentum: float) -> optax.GradientTransformation:
    """Nesterov momentum, orthogonalised, with a root mean square of about `RMS` whatever the kernel's shape.

    A kernel of any rank is a matrix, all its input axes by its output axis.
    """

    def init(params: optax.Params) -> MuonState:
        return MuonState(jnp.zeros((), jnp.int32), optax.tree.zeros_like(params))

    def update(updates: optax.Updates, state: Any, params: optax.Params | None = None):
        del params
        count = state.count + 1
        moments = optax.tree.update_moment(updates, state.moments, momentum, 1)
        ahead = jax.tree.map(
            lambda moment, grad: momentum * moment + (1 - momentum) * grad,
            optax.tree.bias_correction(moments, momentum, count + 1),
            optax.tree.bias_correction(updates, momentum, count),
        )
        return jax.tree.map(_orthogonal_update, ahead), MuonState(count, moments)

    return optax.GradientTransformation(init, update)


def orthogonalize(matrix: Float[Array, "m n"], *, steps: int = STEPS) -> Float[Array, "m n"]:
    """The matrix with its singular values brought close to 1 (in few `steps` only the larger ones), its vectors kept.

    In full float32 also where matrix products default to fewer bits: the Gram matrix squares what rounding costs.
    """
    matrix = matrix / (jnp.linalg.norm(matrix) + 1e-8)
    with jax.default_matmul_precision("highest"):
        if matrix.shape[0] < matrix.shape[1]:
            return _orthogonalize_tall(matrix.T, steps).T
        return _orthogonalize_tall(matrix, steps)


def _orthogonalize_tall(matrix: Float[Array, "m n"], steps: int) -> Float[Array, "m n"]:
    a, b, c = COEFFICIENTS
    rows, columns = matrix.shape
    if rows <= TALL * columns:
        for _ in range(steps):
            gram = matrix.T @ matrix
            matrix = a * matrix + matrix @ (b * gram + c * (gram @ gram))
        return matrix
    gram = matrix.T @ matrix
    polynomials = []
    for _ in range(steps):
        polynomials.append(a * jnp.eye(columns) + b * gram + c * (gram @ gram))
        gram = polynomials[-1] @ gram @ polynomials[-1]  # of the next iterate: all these matrices commute
    return matrix @ functools.reduce(jnp.matmul, polynomials)


def _orthogonal_update(moment: Float[Array, "*inputs o"]) -> Float[Array, "*inputs o"]:
    matrix = moment.reshape(-1, moment.shape[-1])
    return (RMS * max(matrix.shape) ** 0.5) * orthogonalize(matrix).reshape(moment.shape)
