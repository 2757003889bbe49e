"""How good outputs are: masked loss, token accuracy, exact match."""

import dataclasses
import functools
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from jax_models.training.metrics import MetricSums
from seq2seq.decoding import search
from seq2seq.model import Seq2Seq
from seq2seq.tasks import Examples
from seq2seq.vocabulary import PAD

CHUNK = 500  # sequences judged at once


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


def masked_sums(logits: Float[Array, "b t v"], target: Int[Array, "b t"]) -> MetricSums:
    """Cross-entropy (nats), hits and number of the tokens that are not padding."""
    mask = target != PAD
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, target)
    correct = (logits.argmax(-1) == target) & mask
    return MetricSums((loss * mask).sum(), correct.sum().astype(loss.dtype), mask.sum().astype(loss.dtype))


def score(model: Seq2Seq, examples: Examples) -> Score:
    """Decodes all sources and compares."""
    source, target = np.asarray(examples.source), np.asarray(examples.target)
    graph, variables = nnx.split(model)
    outputs, sums = [], MetricSums(*(jnp.zeros(()) for _ in range(3)))
    for start in range(0, len(source), CHUNK):
        rows = min(CHUNK, len(source))
        chunk = slice(start, start + CHUNK)
        some_source, some_target = (_fill_up(part[chunk], rows) for part in (source, target))
        outputs.append(search(model, some_source, beam_size=1, max_steps=target.shape[1]).tokens)
        sums = sums + _forced_sums(graph, variables, some_source, some_target)
    output = np.concatenate([np.asarray(tokens) for tokens in outputs])[: len(source)]
    return Score(source, target, output, sums.means()[0])


@functools.partial(jax.jit, static_argnums=0)
def _forced_sums(graph: Any, variables: Any, source: Array, target: Array) -> MetricSums:
    return masked_sums(nnx.merge(graph, variables)(source, target), target)


def _fill_up(rows: np.ndarray, count: int) -> np.ndarray:
    """The last rows of a set stand with rows of padding, so that one program serves all."""
    return np.pad(rows, ((0, count - len(rows)), (0, 0)), constant_values=PAD)
