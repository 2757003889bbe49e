"""Metrics are sums and counts: merged by addition, divided once at the end."""

import dataclasses
from typing import no_type_check

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
@no_type_check  # JAX fills this tree with shapes and shardings, too
class MetricSums:
    """Sums over examples; `a + b` is the sums over both."""

    loss: Float[Array, ""]
    correct: Float[Array, ""]
    count: Float[Array, ""]

    def __add__(self, other: "MetricSums") -> "MetricSums":
        return jax.tree.map(jnp.add, self, other)

    def means(self) -> tuple[float, float]:
        """Mean loss and accuracy, as Python numbers."""
        count = float(self.count)
        return float(self.loss) / count, float(self.correct) / count


def classification_sums(
    logits: Float[Array, "b k"], labels: Int[Array, " b"], mask: Bool[Array, " b"] | None = None
) -> MetricSums:
    """Cross-entropy (nats, without smoothing) and hits over the examples that `mask` keeps."""
    weights = jnp.ones(labels.shape) if mask is None else mask.astype(jnp.float32)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    correct = logits.argmax(-1) == labels
    return MetricSums((loss * weights).sum(), (correct * weights).sum(), weights.sum())
