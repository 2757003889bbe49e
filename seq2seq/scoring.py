"""How good outputs are: masked loss, token accuracy, exact match."""

import dataclasses
import functools
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from jax_models.training.metrics import MetricSums
from seq2seq.decoding import Searcher
from seq2seq.model import Seq2Seq
from seq2seq.tasks import Examples
from seq2seq.vocabulary import PAD

CHUNK = 250  # sequences judged at once


@dataclasses.dataclass(frozen=True)
class Score:
    """Outputs beside their targets, one row each: the outputs are the model's own, decoded greedily.

    Attributes:
        loss: cross-entropy in nats per token, under teacher forcing.
    """

    source: Int[np.ndarray, "n s"]
    target: Int[np.ndarray, "n t"]
    output: Int[np.ndarray, "n t"]
    loss: float

    @cached_property
    def exact(self) -> Bool[np.ndarray, " n"]:
        """Which outputs have every token right, the end mark too."""
        return (self.output == self.target).all(1)

    @property
    def errors(self) -> int:
        """How many outputs have an error."""
        return int((~self.exact).sum())

    @property
    def exact_match(self) -> float:
        """The share of outputs without an error."""
        return float(self.exact.mean())

    @property
    def token_accuracy(self) -> float:
        """The share of the targets' tokens, end marks too, that the output has at the same place."""
        mask = self.target != PAD
        return float((self.output == self.target)[mask].mean())

    def by_length(self) -> dict[int, float]:
        """Exact match by the number of symbols in the source."""
        lengths = (self.source != PAD).sum(1)
        return {int(length): float(self.exact[lengths == length].mean()) for length in np.unique(lengths)}

    @property
    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` says of the outputs."""
        return {
            "exact_match": self.exact_match,
            "token_accuracy": self.token_accuracy,
            "loss": self.loss,
            "errors": self.errors,
            "test_size": len(self.exact),
            "exact_match_by_length": {str(length): value for length, value in self.by_length().items()},
        }

    @property
    def summary(self) -> str:
        """One line for a person."""
        errors = "no error" if self.errors == 0 else f"{self.errors:,} with an error"
        return (
            f"{len(self.exact):,} unseen sequences: {errors}; exact match {100 * self.exact_match:.2f} %, "
            f"tokens {100 * self.token_accuracy:.2f} %"
        )


def masked_sums(logits: Float[Array, "b t v"], target: Int[Array, "b t"]) -> MetricSums:
    """Cross-entropy (nats), hits and number of the tokens that are not padding."""
    mask = target != PAD
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, target)
    own = jnp.take_along_axis(logits, target[..., None], axis=-1)[..., 0]
    correct = (own >= logits.max(-1)) & mask  # argmax would be slower: the maximum is known from the loss
    return MetricSums((loss * mask).sum(), correct.sum().astype(loss.dtype), mask.sum().astype(loss.dtype))


def smoothed_loss(
    logits: Float[Array, "b t v"], target: Int[Array, "b t"], sums: MetricSums, *, smoothing: float
) -> Float[Array, ""]:
    """The sum of cross-entropies with this share of each target spread evenly over the vocabulary; see `Recipe`."""
    if not smoothing:
        return sums.loss
    even = jax.nn.logsumexp(logits, axis=-1) - logits.mean(-1)  # the cross-entropy of evenly spread targets
    return (1 - smoothing) * sums.loss + smoothing * (even * (target != PAD)).sum()


def score(model: Seq2Seq, examples: Examples) -> Score:
    """Decodes all sources and compares."""
    source, target = np.asarray(examples.source), np.asarray(examples.target)
    outputs, searcher = [], Searcher(model, batch_size=min(CHUNK, len(source)))
    for some_source, some_target in _chunks(source, target):
        outputs.append(searcher(some_source, max_steps=some_target.shape[1]).tokens)
    output = np.concatenate([np.asarray(tokens) for tokens in outputs])[: len(source)]
    return Score(source, target, output, forced_sums(model, examples).means()[0])


def forced_sums(model: Seq2Seq, examples: Examples) -> MetricSums:
    """Loss (without smoothing), hits and number of tokens under teacher forcing."""
    graph, variables = nnx.split(model)
    sums = MetricSums(*(jnp.zeros(()) for _ in range(3)))
    for source, target in _chunks(np.asarray(examples.source), np.asarray(examples.target)):
        sums = sums + _forced_sums(graph, variables, source, target)
    return sums


def _chunks(source: np.ndarray, target: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parts of the same shape, the last filled up, so that one program serves all."""
    rows = min(CHUNK, len(source))
    for start in range(0, len(source), CHUNK):
        chunk = slice(start, start + CHUNK)
        yield _fill_up(source[chunk], rows), _fill_up(target[chunk], rows)


@functools.partial(jax.jit, static_argnames="graph")
def _forced_sums(graph: Any, variables: Any, source: Array, target: Array) -> MetricSums:
    return masked_sums(nnx.merge(graph, variables)(source, target), target)


def _fill_up(rows: np.ndarray, count: int) -> np.ndarray:
    """A part with too few rows gets rows of padding, so that one program serves all."""
    return np.pad(rows, ((0, count - len(rows)), (0, 0)), constant_values=PAD)
