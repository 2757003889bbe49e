"""Scores of image classifiers: class probabilities of a split, and what scikit-learn says of them."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int, UInt8
from scipy import stats
from sklearn import metrics as sklearn_metrics

from jax_models.compilation import jit
from jax_models.data import DatasetSpec, Split
from jax_models.data.augment import normalize
from jax_models.data.batches import pad_to_image_size, padded_batches
from jax_models.training.devices import fetch, place
from jax_models.training.state import Network, Variables, take_apart

BATCH_SIZE = 500  # divides all test and validation splits; activations of 500 images fit anywhere
LARGEST_OF_MANY, FEW = 64, 32  # pixels a side above which only so many images are shown at once


@runtime_checkable
class Normalization(Protocol):
    """What the pixels were normalised by: mean and deviation per channel, pixels in 0..1. A `DatasetSpec` is one."""

    @property
    def mean(self) -> tuple[float, ...]: ...

    @property
    def std(self) -> tuple[float, ...]: ...


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a split, by scikit-learn. Fractions; precision, recall and F1 are macro means."""

    metrics: dict[str, float]
    per_class: list[dict[str, Any]]
    confusion_matrix: list[list[int]]  # rows are true classes, columns predicted ones
    probabilities: Float[np.ndarray, "n k"]


@functools.cache
def _predictor() -> Callable[..., Float[Array, "b k"]]:
    return jit(_probabilities, static_argnums=0)


def _probabilities(
    network: Network, params: Variables, batch_stats: Variables, images: UInt8[Array, "b h w c"], mean, std
) -> Float[Array, "b k"]:
    return jax.nn.softmax(network.predict(params, batch_stats, normalize(images, mean, std)))


def predict_probabilities(
    network: Network,
    params: Variables,
    batch_stats: Variables,
    *,
    images: UInt8[np.ndarray, "n h w c"],
    spec: Normalization,
    batch_size: int | None = None,
) -> Float[np.ndarray, "n k"]:
    """Class probabilities of all images, in order; one compiled function serves every split and every run.

    The batches are split over the devices that hold the parameters; if those are of several processes, all must call
    this with the same images, and all get the answers to all of them. Without `batch_size` they have as many images as
    the network says, or 500, or 32 of more than 64 pixels a side.
    """
    size = batch_size or network.examples_at_once or examples_at_once(max(images.shape[1:3])) or BATCH_SIZE
    predict = _predictor()
    mean, std = jnp.asarray(spec.mean), jnp.asarray(spec.std)
    placement = jax.tree.leaves(params)[0].sharding
    if isinstance(placement, NamedSharding):
        axes = placement.mesh.axis_names
        placement = placement.update(spec=jax.sharding.PartitionSpec(axes))
        size += -size % placement.mesh.size
    batches = [
        predict(network, params, batch_stats, place(batch, placement), mean, std)
        for batch in padded_batches(images, size)
    ]
    return np.concatenate(fetch(batches))[: len(images)]


def examples_at_once(pixels: int) -> int | None:
    """How many images of so many pixels a side are shown to a network; None where they are small."""
    return FEW if pixels > LARGEST_OF_MANY else None


def cross_entropy(probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    return float(sklearn_metrics.log_loss(labels, probabilities, labels=range(probabilities.shape[1])))


def wilson_interval(accuracy: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy (a fraction) that was measured on that many images."""
    low, high = stats.binomtest(round(accuracy * images), images).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def evaluate(model: nnx.Module, split: Split, spec: DatasetSpec, *, batch_size: int | None = None) -> Evaluation:
    """Scores a model on every example of a split; leaves the model in evaluation mode."""
    network, params, batch_stats = take_apart(model)
    images = pad_to_image_size(split.images)
    probabilities = predict_probabilities(network, params, batch_stats, images=images, spec=spec, batch_size=batch_size)
    predictions, classes = probabilities.argmax(-1), range(len(spec.classes))
    scores: Any = sklearn_metrics.precision_recall_fscore_support(
        split.labels, predictions, labels=classes, zero_division=cast(Any, 0)
    )
    precision, recall, f1, support = scores
    return Evaluation(
        metrics={
            "accuracy": float(sklearn_metrics.accuracy_score(split.labels, predictions)),
            "precision": float(np.mean(precision)),
            "recall": float(np.mean(recall)),
            "f1": float(np.mean(f1)),
            "loss": cross_entropy(probabilities, split.labels),
        },
        per_class=[
            {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
            for label, p, r, f, n in zip(spec.classes, precision, recall, f1, support, strict=True)
        ],
        confusion_matrix=sklearn_metrics.confusion_matrix(split.labels, predictions, labels=classes).tolist(),
        probabilities=probabilities,
    )
