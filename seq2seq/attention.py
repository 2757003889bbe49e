"""Where the decoder looks: four mechanisms with one face.

Each turns a query (made from the decoder's previous state), the keys (made once per source) and its own previous
alignment into an alignment: weights over source positions that sum to one and are exactly zero on padding.

- additive: Bahdanau, Cho, Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate", 2015,
  arXiv 1409.0473.
- dot: Luong, Pham, Manning, 2015, arXiv 1508.04025 ("general"), scaled as in Vaswani et al., 2017, arXiv 1706.03762.
- location: the addressing of Graves, Wayne, Danihelka, "Neural Turing Machines", 2014, arXiv 1410.5401; see `Location`.
- none: Sutskever, Vinyals, Le, 2014, arXiv 1409.3215: the decoder knows the source by its initial state alone.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from seq2seq.products import product

_glorot = nnx.initializers.glorot_uniform()


class Additive(nnx.Module):
    """score = v . tanh(query + key). The bias of the tanh is the decoder's, in the query."""

    def __init__(self, memory_size: int, size: int, *, rngs: nnx.Rngs) -> None:
        self.query_size = size
        self.key_kernel = nnx.Param(_glorot(rngs.params(), (memory_size, size)))
        self.score_kernel = nnx.Param(_glorot(rngs.params(), (size, 1))[:, 0])

    def keys(self, memory: Float[Array, "b s m"]) -> Float[Array, "b s a"]:
        """What stays the same for all queries."""
        return product(memory, self.key_kernel[...])

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
        return product(memory, self.key_kernel[...])

    def __call__(
        self,
        query: Float[Array, "b q"],
        keys: Float[Array, "b s a"],
        mask: Bool[Array, "b s"],
        previous: Float[Array, "b s"],
    ) -> Float[Array, "b s"]:
        return masked_softmax(jnp.einsum("bq,bsq->bs", query, keys) * self.query_size**-0.5, mask)


class Location(nnx.Module):
    """Looks beside a place: chooses where to start, then moves by one or stays, then sharpens.

    It starts from where it looked before, from the first position, from the last, or from what additive attention finds
    by content, and moves to the left, not at all, or to the right. The choices are soft, made anew at every step and
    learnt, so no task is wired in. And none of them knows how long the source is: what is learnt on short sequences
    holds on long ones (Dubois et al., 2020, arXiv 1911.03872; Chowdhury, Caragea, 2023, arXiv 2305.20019). A model that
    learns to reverse starts from the last position, which is the end mark, moves to the left, and then from where it
    looked before, always to the left, until it meets the begin mark.

    Sharpening (weights ** gamma, gamma >= 1) undoes the blur of soft choices, which hundreds of steps would add up.
    What would leave the sequence stays on its edge.

    Differences from the paper: the two ends are starts, too. Without them the last symbol has to be found by content,
    and in sequences of hundreds that finds a wrong one now and then. And fresh weights start from content, as additive
    attention does, and sharpen little: a model that walks before it can search never learns to search, and to sort.
    """

    STARTS, MOVES = 4, 3
    PREFER_CONTENT, SHARPEN_LITTLE = 3.0, -2.0  # logits of fresh weights

    def __init__(self, memory_size: int, size: int, *, rngs: nnx.Rngs) -> None:
        self.content = Additive(memory_size, size, rngs=rngs)
        self.query_size = size + self.STARTS + self.MOVES + 1

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
        parts = np.cumsum([self.content.query_size, self.STARTS, self.MOVES])
        content, start, move, sharpness = jnp.split(query, parts, axis=1)
        starts = [previous, *self._ends(mask), self.content(content, keys, mask, previous)]
        weights = _choose(start.at[:, -1].add(self.PREFER_CONTENT), starts)
        weights = _choose(move, self._moves(weights, mask))
        gamma = 1 + jax.nn.softplus(sharpness + self.SHARPEN_LITTLE)
        return masked_softmax(gamma * jnp.log(weights + 1e-8), mask)

    def _ends(self, mask: Bool[Array, "b s"]) -> tuple[Float[Array, "b s"], Float[Array, "b s"]]:
        """The first position and the last."""
        first = jnp.broadcast_to(jnp.arange(mask.shape[1])[None, :] == 0, mask.shape)
        last = mask & ~jnp.pad(mask, ((0, 0), (0, 1)))[:, 1:]
        return first.astype(jnp.float32), last.astype(jnp.float32)

    def _moves(self, weights: Float[Array, "b s"], mask: Bool[Array, "b s"]) -> list[Float[Array, "b s"]]:
        """One to the left, the same, one to the right."""
        first, last = self._ends(mask)
        left = jnp.pad(weights, ((0, 0), (0, 1)))[:, 1:] + weights * first
        right = jnp.pad(weights, ((0, 0), (1, 0)))[:, :-1] * mask + weights * last
        return [left, weights, right]


def _choose(logits: Float[Array, "b p"], places: Sequence[Float[Array, "b s"]]) -> Float[Array, "b s"]:
    """A soft choice among places to look at."""
    return jnp.einsum("bp,bps->bs", jax.nn.softmax(logits), jnp.stack(places, axis=1))


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

    XLA's CPU backend makes slow loops of sums over an axis that is not the last, and of the tanh of a sum: hence the
    sigmoid, which it vectorises.
    """
    query, keys, kernel = residuals
    squashed = 2 * jax.nn.sigmoid(2 * (query[:, None, :] + keys)) - 1  # tanh
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
