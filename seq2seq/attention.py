"""Where the decoder looks: four mechanisms with one face.

Each turns a query (made from the decoder's previous state), the keys (made once per source) and its own previous
alignment into an alignment: weights over source positions that sum to one and are exactly zero on padding.

- additive: Bahdanau, Cho, Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", 2015,
  arXiv 1409.0473.
- dot: Luong, Pham, Manning, 2015, arXiv 1508.04025 ("general"), scaled as in Vaswani et al., 2017, arXiv 1706.03762.
- location: the addressing of Graves, Wayne, Danihelka, "Neural Turing Machines", 2014, arXiv 1410.5401; see `Location`.
- none: Sutskever, Vinyals, Le, 2014, arXiv 1409.3215: the decoder knows the source by its initial state alone.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

_glorot = nnx.initializers.glorot_uniform()


class Additive(nnx.Module):
    """score = v . tanh(query + key). The bias of the tanh is the decoder's, in the query."""

    def __init__(self, memory_size: int, size: int, *, rngs: nnx.Rngs) -> None:
        self.query_size = size
        self.key_kernel = nnx.Param(_glorot(rngs.params(), (memory_size, size)))
        self.score_kernel = nnx.Param(_glorot(rngs.params(), (size, 1))[:, 0])

    def keys(self, memory: Float[Array, "b s m"]) -> Float[Array, "b s a"]:
        """What stays the same for all queries."""
        return memory @ self.key_kernel[...]

    def __call__(
        self,
        query: Float[Array, "b q"],
        keys: Float[Array, "b s a"],
        mask: Bool[Array, "b s"],
        previous: Float[Array, "b s"],
    ) -> Float[Array, "b s"]:
        return masked_softmax(additive_scores(query, keys, self.score_kernel[...]), mask)


class Dot(nnx.Module):
    """score = query . key / sqrt(size)."""

    def __init__(self, memory_size: int, size: int, *, rngs: nnx.Rngs) -> None:
        self.query_size = size
        self.key_kernel = nnx.Param(_glorot(rngs.params(), (memory_size, size)))

    def keys(self, memory: Float[Array, "b s m"]) -> Float[Array, "b s a"]:
        """What stays the same for all queries."""
        return memory @ self.key_kernel[...]

    def __call__(
        self,
        query: Float[Array, "b q"],
        keys: Float[Array, "b s a"],
        mask: Bool[Array, "b s"],
        previous: Float[Array, "b s"],
    ) -> Float[Array, "b s"]:
        return masked_softmax(jnp.einsum("bq,bsq->bs", query, keys) * self.query_size**-0.5, mask)


class Location(nnx.Module):
    """Moves the previous alignment: a soft choice among six places to look at, then sharpened.

    The six: one to the left of where it looked before, the same place, one to the right, the first position, the last
    position, and what additive attention finds by content. No move knows how long the source is, so what is learnt on
    short sequences holds on long ones; and which moves a task needs is learnt, not wired in. Mass that would leave
    the sequence stays on its edge. Without sharpening (weights ** gamma, gamma >= 1) each step would blur the
    alignment a little, and hundreds of steps would blur it away.

    Differences from the paper: the ends are places of their own, there is one soft choice in place of gate and shift.
    """

    MOVES = 6

    def __init__(self, memory_size: int, size: int, *, rngs: nnx.Rngs) -> None:
        self.content = Additive(memory_size, size, rngs=rngs)
        self.query_size = size + self.MOVES + 1

    def keys(self, memory: Float[Array, "b s m"]) -> Float[Array, "b s a"]:
        """What stays the same for all queries."""
        return self.content.keys(memory)

    def __call__(
        self,
        query: Float[Array, "b q"],
        keys: Float[Array, "b s a"],
        mask: Bool[Array, "b s"],
        previous: Float[Array, "b s"],
    ) -> Float[Array, "b s"]:
        size = self.content.query_size
        moves = jax.nn.softmax(query[:, size : size + self.MOVES])
        gamma = 1 + jax.nn.softplus(query[:, size + self.MOVES :])
        places = jnp.stack([*self._places(mask, previous), self.content(query[:, :size], keys, mask, previous)], 1)
        weights = jnp.einsum("bp,bps->bs", moves, places)
        return masked_softmax(gamma * jnp.log(weights + 1e-8), mask)

    def _places(self, mask: Bool[Array, "b s"], previous: Float[Array, "b s"]) -> list[Float[Array, "b s"]]:
        """Left, same, right, first and last."""
        inner = jnp.pad(mask, ((0, 0), (0, 1)))[:, 1:]  # true where there is a position to the right
        first, last = jnp.arange(mask.shape[1])[None, :] == 0, mask & ~inner
        left = jnp.pad(previous, ((0, 0), (0, 1)))[:, 1:] + previous * first
        right = (jnp.pad(previous, ((0, 0), (1, 0)))[:, :-1]) * mask + previous * last
        ends = [jnp.broadcast_to(end, mask.shape).astype(previous.dtype) for end in (first, last)]
        return [left, previous, right, *ends]


class NoAttention(nnx.Module):
    """Looks nowhere: all weights are zero, and so is the context."""

    def __init__(self, memory_size: int, size: int, *, rngs: nnx.Rngs) -> None:
        self.query_size = 0

    def keys(self, memory: Float[Array, "b s m"]) -> Float[Array, "b s 0"]:
        """None."""
        return memory[..., :0]

    def __call__(
        self,
        query: Float[Array, "b q"],
        keys: Float[Array, "b s 0"],
        mask: Bool[Array, "b s"],
        previous: Float[Array, "b s"],
    ) -> Float[Array, "b s"]:
        return jnp.zeros_like(previous)


ATTENTIONS = {"none": NoAttention, "additive": Additive, "dot": Dot, "location": Location}


def masked_softmax(scores: Float[Array, "b s"], mask: Bool[Array, "b s"]) -> Float[Array, "b s"]:
    """Softmax over the positions that `mask` keeps; the others get exactly zero."""
    return jax.nn.softmax(scores, axis=-1, where=mask)


@jax.custom_vjp
def additive_scores(
    query: Float[Array, "b a"], keys: Float[Array, "b s a"], kernel: Float[Array, " a"]
) -> Float[Array, "b s"]:
    """kernel . tanh(query + key) for every position."""
    return jnp.einsum("bsa,a->bs", jnp.tanh(query[:, None, :] + keys), kernel)


def _scores_forward(query, keys, kernel):
    return additive_scores(query, keys, kernel), (query, keys, kernel)


def _scores_backward(residuals, d_scores):
    """By hand: tanh is computed again, which is cheaper than keeping it, and sums over positions are products.

    XLA's CPU backend makes slow loops of sums over an axis that is not the last.
    """
    query, keys, kernel = residuals
    squashed = jnp.tanh(query[:, None, :] + keys)
    slope = 1 - squashed**2
    d_query = jnp.einsum("bs,bsa->ba", d_scores, slope) * kernel[None, :]
    d_keys = d_scores[:, :, None] * slope * kernel[None, None, :]
    return d_query, d_keys, jnp.einsum("bs,bsa->a", d_scores, squashed)


additive_scores.defvjp(_scores_forward, _scores_backward)


@jax.custom_vjp
def attend(alignment: Float[Array, "b s"], values: Float[Array, "b s m"]) -> Float[Array, "b m"]:
    """The context: the sum of the values, each with its weight."""
    return jnp.einsum("bs,bsm->bm", alignment, values)


def _attend_forward(alignment, values):
    return attend(alignment, values), (alignment, values)


def _attend_backward(residuals, d_context):
    alignment, values = residuals
    return jnp.einsum("bm,bsm->bs", d_context, values), alignment[:, :, None] * d_context[:, None, :]


attend.defvjp(_attend_forward, _attend_backward)
