"""Long short-term memory: Hochreiter, Schmidhuber, 1997, with the forget gate of Gers, Schmidhuber, Cummins, 2000."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from seq2seq.products import affine

_glorot = nnx.initializers.glorot_uniform()
_orthogonal = nnx.initializers.orthogonal()


class LSTM(nnx.Module):
    """The weights of one LSTM. Gates lie side by side in PyTorch's order, so that one product makes all four."""

    def __init__(self, in_size: int, hidden_size: int, *, rngs: nnx.Rngs) -> None:
        """Recurrent weights start orthogonal; the bias starts with forgetting little (Jozefowicz et al., 2015)."""
        self.input_kernel = nnx.Param(_glorot(rngs.params(), (in_size, 4 * hidden_size)))
        gates = [_orthogonal(rngs.params(), (hidden_size, hidden_size)) for _ in range(4)]
        self.kernel = nnx.Param(jnp.concatenate(gates, axis=1))
        self.bias = nnx.Param(jnp.zeros(4 * hidden_size).at[hidden_size : 2 * hidden_size].set(1.0))

    def project(self, inputs: Float[Array, "*n i"]) -> Float[Array, "*n g"]:
        """The share of the inputs in the gates: known for all positions before the first step."""
        return affine(inputs, self.input_kernel[...], self.bias[...])


@jax.custom_vjp
def lstm_update(
    gates: Float[Array, "b g"], cell: Float[Array, "b h"]
) -> tuple[Float[Array, "b h"], Float[Array, "b h"]]:
    """The new hidden and cell vectors; `gates` are input, forget, cell and output gate before their activations."""
    return _update(gates, cell)[0]


def run_lstm(
    lstm: LSTM, inputs: Float[Array, "s b i"], mask: Bool[Array, "s b"], *, reverse: bool
) -> tuple[Float[Array, "s b h"], Float[Array, "b h"]]:
    """The hidden vectors at all positions, and the last one. Where `mask` is false the state is held, unchanged."""
    kernel = lstm.kernel[...]

    def step(carry: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (hidden, cell), (projected, present) = carry, inputs
        new_hidden, new_cell = lstm_update(projected + hidden @ kernel, cell)
        hidden = jnp.where(present[:, None], new_hidden, hidden)
        return (hidden, jnp.where(present[:, None], new_cell, cell)), hidden

    start = jnp.zeros((inputs.shape[1], kernel.shape[0]), inputs.dtype)
    (last, _), outputs = jax.lax.scan(step, (start, start), (lstm.project(inputs), mask), reverse=reverse)
    return outputs, last


def _update(gates, cell):
    write, keep, new, read = jnp.split(gates, 4, axis=-1)
    write, keep, read, new = jax.nn.sigmoid(write), jax.nn.sigmoid(keep), jax.nn.sigmoid(read), jnp.tanh(new)
    new_cell = keep * cell + write * new
    squashed = jnp.tanh(new_cell)
    return (read * squashed, new_cell), (write, keep, new, read, squashed, cell)


def _update_backward(residuals, gradients):
    """By hand: JAX makes four padded sums of the split's gradient, which cost the CPU more than the products."""
    write, keep, new, read, squashed, cell = residuals
    d_hidden, d_cell = gradients
    d_cell = d_cell + d_hidden * read * (1 - squashed**2)
    d_gates = [
        d_cell * new * write * (1 - write),
        d_cell * cell * keep * (1 - keep),
        d_cell * write * (1 - new**2),
        d_hidden * squashed * read * (1 - read),
    ]
    return jnp.concatenate(d_gates, axis=-1), d_cell * keep


lstm_update.defvjp(_update, _update_backward)
