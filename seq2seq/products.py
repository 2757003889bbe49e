"""Products of all positions at once, with gradients written for XLA's CPU backend."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_vjp
def product(inputs: Float[Array, "*n i"], kernel: Float[Array, "i o"]) -> Float[Array, "*n o"]:
    """inputs @ kernel."""
    return inputs @ kernel


@jax.custom_vjp
def affine(inputs: Float[Array, "*n i"], kernel: Float[Array, "i o"], bias: Float[Array, " o"]) -> Float[Array, "*n o"]:
    """inputs @ kernel + bias: the bias is the weight of one more input that is always one.

    So it comes with the product, and so does its gradient; alone, each would pass through all outputs once more.
    """
    return _with_one(inputs) @ jnp.concatenate([kernel, bias[None]])


def _product_forward(inputs, kernel):
    return product(inputs, kernel), (inputs, kernel)


def _product_backward(residuals, d_outputs):
    inputs, kernel = residuals
    return d_outputs @ kernel.T, _kernel_gradient(inputs, d_outputs)


def _affine_forward(inputs, kernel, bias):
    return affine(inputs, kernel, bias), (inputs, kernel)


def _affine_backward(residuals, d_outputs):
    inputs, kernel = residuals
    d_kernel = _kernel_gradient(_with_one(inputs), d_outputs)
    return d_outputs @ kernel.T, d_kernel[:-1], d_kernel[-1]


def _kernel_gradient(inputs, d_outputs):
    """By hand: JAX makes it transposed, for which XLA's CPU backend first copies all of `d_outputs`, transposed."""
    return jnp.einsum("ni,no->io", *(rows.reshape(-1, rows.shape[-1]) for rows in (inputs, d_outputs)))


def _with_one(inputs):
    return jnp.concatenate([inputs, jnp.ones((*inputs.shape[:-1], 1), inputs.dtype)], axis=-1)


product.defvjp(_product_forward, _product_backward)
affine.defvjp(_affine_forward, _affine_backward)
