"""From a source to a target: greedy and beam search, each one compiled program for a whole batch."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from jax_models.checks import check_at_least
from jax_models.errors import UsageError
from jax_models.training.devices import data_mesh
from seq2seq.model import Seq2Seq
from seq2seq.storage import TrainedModel
from seq2seq.vocabulary import BOS, EOS, PAD

CHUNK = 256  # sequences decoded at once
USUAL_BEAM = 5  # for texts
WIDTH = 8  # widths are rounded up to a multiple, so that few programs are compiled


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
@no_type_check  # JAX fills this tree with shapes, too
class Hypotheses:
    """One output for each source of a batch.

    Attributes:
        tokens: the output with its end mark, if it found one in time, and padding after it.
        scores: log-probability (nats) divided by the number of tokens, the end mark among them.
    """

    tokens: Int[Array, "b t"]
    scores: Float[Array, " b"]


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Where the model looked.

    Attributes:
        source_text, output_text: what was read and written, as a line for a person.
        source, output: the same, symbol by symbol, as a person would label them.
        weights: a row for each symbol of the output, over the symbols of the source; it sums to less than one by what
            fell on the source's begin and end marks.
    """

    source_text: str
    output_text: str
    source: list[str]
    output: list[str]
    weights: Float[np.ndarray, "t s"]


def decode(
    trained: TrainedModel,
    sequences: Sequence[Any],
    *,
    beam_size: int = 1,
    max_length: int | None = None,
    cut: bool = False,
) -> list[Any]:
    """The model's outputs: [[1, 2, 3]] gives [[3, 2, 1]] if it reverses; a model of texts takes and gives texts.

    A beam of 1 is greedy search. Sequences may be as long as those of the training; `max_length` allows longer ones.
    With `cut`, what a text has beyond that length is left away, and so are characters that the training never showed.

    Raises:
        UsageError: an unknown symbol, an empty sequence, one that is too long, or a beam without a place.
    """
    check_at_least(1, "beam size", beam_size)
    if isinstance(sequences, str):
        raise UsageError("decode takes a list of sequences; put the text into one: [text]")
    source = trained.vocabulary.encode(sequences, max_length=max_length or trained.config.max_length, cut=cut)
    order = np.argsort((source != PAD).sum(1), kind="stable")  # like lengths together, so that few steps are idle
    outputs: list[Any] = [None] * len(source)
    rows = min(CHUNK, 1 << (len(source) - 1).bit_length())
    searcher = Searcher(trained.model, batch_size=rows, beam_size=beam_size)
    for start in range(0, len(source), CHUNK):
        chosen = order[start : start + CHUNK]
        chunk = _trim(source[chosen])
        padded = np.pad(chunk, ((0, rows - len(chunk)), (0, 0)), mode="edge")
        found = searcher(padded, max_steps=2 * padded.shape[1])
        for index, tokens in zip(chosen, np.asarray(found.tokens), strict=False):
            outputs[index] = trained.vocabulary.decode(tokens)
    return outputs


def align(
    trained: TrainedModel, sequence: Any, *, beam_size: int = 1, max_length: int | None = None, cut: bool = False
) -> Alignment:
    """Where the model looks when it writes its output for one sequence; the arguments are those of `decode`.

    Raises:
        UsageError: as `decode`.
    """
    check_at_least(1, "beam size", beam_size)
    source = trained.vocabulary.encode([sequence], max_length=max_length or trained.config.max_length, cut=cut)
    padded = _trim(source)
    tokens = search(trained.model, padded, beam_size=beam_size, max_steps=2 * padded.shape[1]).tokens
    graph, variables = nnx.split(trained.model)
    weights = np.asarray(_align(graph, variables, padded, np.asarray(tokens)))[0]
    vocabulary, read, written = trained.vocabulary, source[0], np.asarray(tokens)[0]
    labels, output = vocabulary.pieces(read), vocabulary.pieces(written)
    return Alignment(
        source_text=vocabulary.format(vocabulary.decode(read)),
        output_text=vocabulary.format(vocabulary.decode(written)),
        source=labels,
        output=output,
        weights=weights[: len(output), 1 : 1 + len(labels)],
    )


class Searcher:
    """A model made ready to search batches of one size: greedily for a beam of 1, or by beam search.

    The local devices that share the batch evenly hold the weights, take a share each and end by themselves.
    """

    def __init__(self, model: Seq2Seq, *, batch_size: int, beam_size: int = 1) -> None:
        self._mesh, self._beam_size = data_mesh(batch_size), beam_size
        self._graph, variables = nnx.split(model)
        self._variables = jax.device_put(variables, NamedSharding(self._mesh, PartitionSpec()))

    def __call__(self, source: Any, *, max_steps: int) -> Hypotheses:
        """Outputs of at most `max_steps` tokens; compiled once per shape."""
        sizes = {"mesh": self._mesh, "beam_size": self._beam_size, "max_steps": max_steps}
        return _search(self._graph, self._variables, source, **sizes)


def search(model: Seq2Seq, source: Any, *, beam_size: int, max_steps: int) -> Hypotheses:
    """One batch; for several, make one `Searcher`."""
    return Searcher(model, batch_size=len(source), beam_size=beam_size)(source, max_steps=max_steps)


@functools.partial(jax.jit, static_argnames=("graph", "mesh", "beam_size", "max_steps"))
def _search(graph: Any, variables: Any, source: Array, *, mesh: Mesh, beam_size: int, max_steps: int) -> Hypotheses:
    def search_share(variables: Any, source: Array) -> Hypotheses:
        model = nnx.merge(graph, variables)
        if beam_size == 1:
            return greedy_search(model, source, max_steps=max_steps)
        return beam_search(model, source, beam_size=beam_size, max_steps=max_steps)

    everywhere, share = PartitionSpec(), PartitionSpec("data")
    sharded = jax.shard_map(search_share, mesh=mesh, in_specs=(everywhere, share), out_specs=share, check_vma=False)
    return sharded(variables, source)


@functools.partial(jax.jit, static_argnames="graph")
def _align(graph: Any, variables: Any, source: Array, tokens: Array) -> Array:
    return nnx.merge(graph, variables).align(source, tokens)


def greedy_search(model: Seq2Seq, source: Int[Array, "b s"], *, max_steps: int) -> Hypotheses:
    """The most likely token at every step, until every output has ended or has `max_steps` tokens."""
    memory, state = model.encode(source)
    batch = len(source)

    def step(carry: Any) -> Any:
        position, state, last, tokens, score = carry
        state, logits = model.step(memory, state, last)
        ended = (last == EOS) | (last == PAD)
        best, log_prob = _most_likely(logits)
        best = jnp.where(ended, PAD, best)
        score = score + jnp.where(ended, 0, log_prob)
        return position + 1, state, best, tokens.at[:, position].set(best), score

    tokens = jnp.full((batch, max_steps), PAD, jnp.int32)
    carry = (0, state, jnp.full(batch, BOS, jnp.int32), tokens, jnp.zeros(batch))
    *_, tokens, score = jax.lax.while_loop(_goes_on(max_steps), step, carry)
    return Hypotheses(tokens, score / (tokens != PAD).sum(1))


def beam_search(model: Seq2Seq, source: Int[Array, "b s"], *, beam_size: int, max_steps: int) -> Hypotheses:
    """Keeps the `beam_size` most likely beginnings; of the ends, and the greedy one, takes that of the best score.

    An end is scored by its log-probability over its number of tokens, without which short outputs would win. The greedy
    output competes, because it can fall out of a beam: thus a wider search never ends below greedy search.
    """
    batch, rows = len(source), len(source) * beam_size
    memory, state = jax.tree.map(lambda leaf: jnp.repeat(leaf, beam_size, axis=0), model.encode(source))

    def step(carry: Any) -> Any:
        position, state, last, tokens, scores = carry
        state, logits = model.step(memory, state, last.reshape(rows))
        ended = (last == EOS) | (last == PAD)
        log_probs = _log_probs(logits).reshape(batch, beam_size, -1)
        only_padding = jnp.where(jnp.arange(log_probs.shape[-1]) == PAD, 0.0, -jnp.inf)[None, None, :]
        candidates = scores[:, :, None] + jnp.where(ended[:, :, None], only_padding, log_probs)
        scores, index = jax.lax.top_k(candidates.reshape(batch, -1), beam_size)
        parent, best = index // log_probs.shape[-1], (index % log_probs.shape[-1]).astype(jnp.int32)
        parent_row = (parent + beam_size * jnp.arange(batch)[:, None]).reshape(rows)
        state = jax.tree.map(lambda leaf: leaf[parent_row], state)
        tokens = tokens.reshape(rows, -1)[parent_row].reshape(tokens.shape).at[:, :, position].set(best)
        return position + 1, state, best, tokens, scores

    tokens = jnp.full((batch, beam_size, max_steps), PAD, jnp.int32)
    only_first = jnp.where(jnp.arange(beam_size) == 0, 0.0, -jnp.inf)  # all beams begin alike, so one stands for all
    scores = jnp.broadcast_to(only_first[None, :], (batch, beam_size))
    carry = (0, state, jnp.full((batch, beam_size), BOS, jnp.int32), tokens, scores)
    *_, tokens, scores = jax.lax.while_loop(_goes_on(max_steps), step, carry)
    scores = scores / (tokens != PAD).sum(2)
    best = scores.argmax(1)[:, None]
    tokens, scores = jnp.take_along_axis(tokens, best[:, :, None], 1)[:, 0], jnp.take_along_axis(scores, best, 1)[:, 0]
    greedy = greedy_search(model, source, max_steps=max_steps)
    wins = greedy.scores > scores
    return Hypotheses(jnp.where(wins[:, None], greedy.tokens, tokens), jnp.maximum(scores, greedy.scores))


def _trim(source: Int[np.ndarray, "b s"]) -> Int[np.ndarray, "b w"]:
    """Without columns of padding only, but for what makes the width a multiple of `WIDTH`."""
    longest = int((source != PAD).sum(1).max())
    width = -(-longest // WIDTH) * WIDTH
    return np.pad(source[:, :longest], ((0, 0), (0, width - longest)))


def _goes_on(max_steps: int) -> Callable[[Any], Array]:
    """Whether a search whose carry begins with position, state and last tokens has work left."""

    def goes_on(carry: Any) -> Array:
        position, _, last, *_ = carry
        return (position < max_steps) & ((last != EOS) & (last != PAD)).any()

    return goes_on


def _log_probs(logits: Float[Array, "b v"]) -> Float[Array, "b v"]:
    """Of tokens that may be written: neither padding nor the begin mark."""
    may = (jnp.arange(logits.shape[1]) >= EOS)[None, :]
    return jax.nn.log_softmax(jnp.where(may, logits, -jnp.inf))


def _most_likely(logits: Float[Array, "b v"]) -> tuple[Int[Array, " b"], Float[Array, " b"]]:
    """The token that `_log_probs` likes best, the first of equals, and its log-probability.

    From the maximum, because XLA's CPU backend makes a slow loop of argmax.
    """
    logits = logits[:, EOS:]
    highest = logits.max(-1, keepdims=True)
    place = jnp.where(logits == highest, jnp.arange(logits.shape[1])[None, :], logits.shape[1]).min(-1)
    return EOS + place.astype(jnp.int32), -jnp.log(jnp.exp(logits - highest).sum(-1))
