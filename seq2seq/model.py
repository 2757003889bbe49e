"""The encoder-decoder with attention, in the terms of Bahdanau, Cho, Bengio, 2015, arXiv 1409.0473.

Differences from the paper: LSTMs in place of gated recurrent units; the output layer is linear in the new state and the
context, without maxout; the initial state comes from both ends of the source. The source is wrapped in its begin and
end marks, so that there is a place to look at before the first symbol and after the last.

For speed, the projections of all inputs and the attention's keys are made before the scans, and the four gates and the
attention's query are one product.
"""

import dataclasses
from typing import Any, no_type_check

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from seq2seq.attention import ATTENTIONS, attend
from seq2seq.lstm import LSTM, lstm_update, run_lstm
from seq2seq.products import affine
from seq2seq.vocabulary import BOS, EOS, PAD

_glorot = nnx.initializers.glorot_uniform()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
@no_type_check  # JAX fills this tree with shapes, too
class Memory:
    """An encoded source: the encoder's states, the attention's keys for them, and where there is no padding."""

    values: Float[Array, "b s m"]
    keys: Float[Array, "b s a"]
    mask: Bool[Array, "b s"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
@no_type_check  # as above
class DecoderState:
    """What the decoder takes from step to step: the LSTM's two vectors, and where it looked last."""

    hidden: Float[Array, "b h"]
    cell: Float[Array, "b h"]
    alignment: Float[Array, "b s"]


class Seq2Seq(nnx.Module):
    """Token ids of a source, and of a target up to some place, to logits of the token at that place.

    Sources and targets are padded at the right; `vocabulary.py` has the marks. Called with both, it gives the logits of
    every target token under teacher forcing. `encode` and `step` are for decoding.
    """

    def __init__(
        self,
        num_tokens: int,
        *,
        attention: str = "additive",
        embedding_size: int = 64,
        hidden_size: int = 128,
        attention_size: int = 64,
        bidirectional: bool = True,
        tied_output: bool = False,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ) -> None:
        """Sizes are numbers of features; the two directions of a bidirectional encoder share `hidden_size`."""
        init = nnx.initializers.normal(embedding_size**-0.5 if tied_output else 1.0)
        self.source_embedding = nnx.Param(init(rngs.params(), (num_tokens, embedding_size)))
        self.target_embedding = nnx.Param(init(rngs.params(), (num_tokens, embedding_size)))
        directions = 2 if bidirectional else 1
        self.encoder = nnx.List([LSTM(embedding_size, hidden_size // directions, rngs=rngs) for _ in range(directions)])
        self.initial = nnx.Linear(hidden_size, 2 * hidden_size, rngs=rngs)
        self.attention = ATTENTIONS[attention](hidden_size, attention_size, rngs=rngs)
        queries = self.attention.query_size
        self.query_kernel = nnx.Param(_glorot(rngs.params(), (hidden_size, max(1, queries)))[:, :queries])
        self.query_bias = nnx.Param(jnp.zeros(queries))
        self.decoder = LSTM(embedding_size, hidden_size, rngs=rngs)
        self.context_kernel = nnx.Param(_glorot(rngs.params(), (hidden_size, 4 * hidden_size)))
        output = TiedOutput if tied_output else Output
        self.output = output(2 * hidden_size, embedding_size, num_tokens, rngs=rngs)
        self.embedding_scale = embedding_size**0.5 if tied_output else 1.0
        self.dropout = nnx.Dropout(dropout)

    def __call__(
        self,
        source: Int[Array, "b s"],
        target: Int[Array, "b t"],
        *,
        inputs: Int[Array, "b t"] | None = None,
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "b t v"]:
        """Teacher forcing: the logits of every target token, given the true tokens before it (or else `inputs`).

        A model in training mode with dropout needs `rngs`.
        """
        hidden, context, _ = self._forced(source, shift_right(target) if inputs is None else inputs, rngs)
        return jnp.swapaxes(self._logits(hidden, context, rngs), 0, 1)

    def align(self, source: Int[Array, "b s"], target: Int[Array, "b t"]) -> Float[Array, "b t w"]:
        """Where the decoder looks when it writes each token; position 0 of the last axis is the begin mark."""
        return jnp.swapaxes(self._forced(source, shift_right(target))[2], 0, 1)

    def sample(
        self, source: Int[Array, "b s"], inputs: Int[Array, "b t"], *, ratio: Array | float, key: Array
    ) -> Int[Array, "b t"]:
        """Scheduled sampling (arXiv 1506.03099): the tokens that the decoder reads in training.

        Each is that of `inputs` with probability `ratio`, or else the one that the model itself finds most likely after
        those before it. A ratio of 1 is teacher forcing, 0 is free running. No gradient passes through the choice.
        """
        memory, state = self.encode(source)
        forced = jax.random.bernoulli(key, ratio, inputs.T.shape).at[0].set(True)

        def step(carry: tuple[DecoderState, Array], inputs: tuple[Array, Array]):
            (state, guess), (token, is_forced) = carry, inputs
            token = jnp.where(is_forced, token, guess)
            state, logits = self.step(memory, state, token)
            return (state, logits.argmax(-1).astype(token.dtype)), token

        _, tokens = jax.lax.scan(step, (state, inputs[:, 0]), (inputs.T, forced))
        return tokens.T

    def encode(self, source: Int[Array, "b s"], rngs: nnx.Rngs | None = None) -> tuple[Memory, DecoderState]:
        """Reads the source: what the decoder will look at, and the state it starts from."""
        source = wrap(source)
        mask = source != PAD
        embedded = self.dropout(self.embedding_scale * self.source_embedding[...][source.T], rngs=rngs)
        runs = [run_lstm(lstm, embedded, mask.T, reverse=bool(n)) for n, lstm in enumerate(self.encoder)]
        values = jnp.swapaxes(jnp.concatenate([outputs for outputs, _ in runs], -1), 0, 1)
        values = self.dropout(values, rngs=rngs)
        hidden, cell = jnp.split(self.initial(jnp.concatenate([last for _, last in runs], -1)), 2, axis=-1)
        alignment = jnp.zeros(mask.shape, values.dtype).at[:, 0].set(1)
        return Memory(values, self.attention.keys(values), mask), DecoderState(jnp.tanh(hidden), cell, alignment)

    def step(
        self, memory: Memory, state: DecoderState, tokens: Int[Array, " b"]
    ) -> tuple[DecoderState, Float[Array, "b v"]]:
        """Reads one token each; gives the new state and the logits of the next token."""
        state, context = self._update(memory, state, self._project(self._embed(tokens)), self._fused_kernel())
        return state, self._logits(state.hidden, context)

    def _forced(self, source: Array, inputs: Array, rngs: nnx.Rngs | None = None) -> tuple[Array, Array, Array]:
        """Hidden vectors, contexts and alignments, each with the target's positions first."""
        memory, state = self.encode(source, rngs)
        kernel = self._fused_kernel()

        def step(state: DecoderState, projected: Array) -> tuple[DecoderState, tuple[Array, Array, Array]]:
            state, context = self._update(memory, state, projected, kernel)
            return state, (state.hidden, context, state.alignment)

        _, outputs = jax.lax.scan(step, state, self._project(self._embed(inputs.T, rngs)))
        return outputs

    def _embed(self, tokens: Int[Array, "*n"], rngs: nnx.Rngs | None = None) -> Float[Array, "*n e"]:
        return self.dropout(self.embedding_scale * self.target_embedding[...][tokens], rngs=rngs)

    def _update(
        self, memory: Memory, state: DecoderState, projected: Array, kernel: Array
    ) -> tuple[DecoderState, Array]:
        """One step of the decoder without its output layer: the new state and the context."""
        fused = projected + state.hidden @ kernel
        gates, query = jnp.split(fused, [4 * state.hidden.shape[1]], axis=1)
        alignment = self.attention(query, memory.keys, memory.mask, state.alignment)
        context = attend(alignment, memory.values)
        hidden, cell = lstm_update(gates + context @ self.context_kernel[...], state.cell)
        return DecoderState(hidden, cell, alignment), context

    def _fused_kernel(self) -> Array:
        """What makes gates and query of a hidden vector."""
        return jnp.concatenate([self.decoder.kernel[...], self.query_kernel[...]], axis=1)

    def _project(self, inputs: Float[Array, "*n e"]) -> Float[Array, "*n q"]:
        """The share of the inputs in gates and query; in the query it is the bias."""
        kernel = jnp.pad(self.decoder.input_kernel[...], ((0, 0), (0, self.attention.query_size)))
        return affine(inputs, kernel, jnp.concatenate([self.decoder.bias[...], self.query_bias[...]]))

    def _logits(
        self, hidden: Float[Array, "*n h"], context: Float[Array, "*n h"], rngs: nnx.Rngs | None = None
    ) -> Float[Array, "*n v"]:
        features = self.dropout(jnp.concatenate([hidden, context], axis=-1), rngs=rngs)
        return self.output(features, self.target_embedding[...])


class Output(nnx.Module):
    """Logits: linear in the features."""

    def __init__(self, in_size: int, embedding_size: int, num_tokens: int, *, rngs: nnx.Rngs) -> None:
        self.linear = nnx.Linear(in_size, num_tokens, rngs=rngs)

    def __call__(self, features: Float[Array, "*n f"], embedding: Float[Array, "v e"]) -> Float[Array, "*n v"]:
        bias: Any = self.linear.bias
        return affine(features, self.linear.kernel[...], bias[...])


class TiedOutput(nnx.Module):
    """Logits: how like each token's embedding the features are, once brought to its size. arXiv 1608.05859."""

    def __init__(self, in_size: int, embedding_size: int, num_tokens: int, *, rngs: nnx.Rngs) -> None:
        self.linear = nnx.Linear(in_size, embedding_size, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(num_tokens))

    def __call__(self, features: Float[Array, "*n f"], embedding: Float[Array, "v e"]) -> Float[Array, "*n v"]:
        logits = jnp.tanh(self.linear(features)) @ embedding.T
        return logits + jnp.broadcast_to(self.bias[...], logits.shape)


def wrap(source: Int[Array, "b s"]) -> Int[Array, "b w"]:
    """The source between its begin and end marks, two positions wider."""
    length = (source != PAD).sum(1)[:, None]
    place = jnp.arange(source.shape[1] + 2)[None, :]
    inner = jnp.where(place == length + 1, EOS, jnp.pad(source, ((0, 0), (1, 1)), constant_values=PAD))
    return jnp.where(place == 0, BOS, inner)


def shift_right(target: Int[Array, "b t"]) -> Int[Array, "b t"]:
    """What the decoder reads to write `target`: the begin mark, and the target without its last token."""
    return jnp.pad(target, ((0, 0), (1, 0)), constant_values=BOS)[:, :-1]
