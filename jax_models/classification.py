"""The image task: from a configuration and a data set to a trained model and its scores."""

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt8
from sklearn import metrics as sklearn_metrics

from jax_models.compilation import use_compilation_cache
from jax_models.data import Dataset, DatasetSpec, Split
from jax_models.data.augment import normalize, take_augmented
from jax_models.data.batches import pad_to_image_size, padded_batches, shuffled_batches
from jax_models.errors import UsageError
from jax_models.registry import create_model
from jax_models.training.checkpoint import Checkpoints
from jax_models.training.config import Recipe, TrainConfig
from jax_models.training.loop import Diverged, EpochRecord, train_epoch
from jax_models.training.metrics import MetricSums, classification_sums
from jax_models.training.optim import learning_rate_schedule, make_optimizer
from jax_models.training.state import (
    Network,
    TrainState,
    Variables,
    apply_gradients,
    create_state,
    final_variables,
    take_apart,
)


@dataclasses.dataclass(frozen=True)
class FitResult:
    """A trained model (in evaluation mode) and what the training cost."""

    model: nnx.Module
    history: list[EpochRecord]
    num_params: int
    compile_seconds: float
    train_seconds: float
    step_ms: float
    images_per_second: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of a model on a split, by scikit-learn. Fractions; precision, recall and F1 are macro means."""

    metrics: dict[str, float]
    per_class: list[dict[str, Any]]
    confusion_matrix: list[list[int]]  # rows are true classes, columns predicted ones
    probabilities: Float[np.ndarray, "n k"]


def fit(
    config: TrainConfig,
    dataset: Dataset,
    *,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    checkpoint_dir: Path | None = None,
) -> FitResult:
    """Trains `config.model` on the data set's train split; looks at its validation split after every epoch.

    Runs on all local devices: the batch is split over them, the state is on each. With `checkpoint_dir`, every epoch is
    saved there, and a run that finds its own checkpoints goes on from the last one, to the same weights bit for bit.

    Args:
        on_epoch: called with each finished epoch's record.
        on_step: called with (steps done, steps in all) after each step.

    Raises:
        UsageError: the batch does not divide over the devices or is larger than the split, or the checkpoints are of
            another run.
        Diverged: the loss is no longer finite.
    """
    use_compilation_cache()
    devices = jax.local_devices()
    train, validation, spec = dataset.train, dataset.validation, dataset.spec
    if config.batch_size % len(devices):
        raise UsageError(
            f"batch size {config.batch_size} does not divide over {len(devices)} devices; "
            f"use a multiple of {len(devices)}"
        )
    if config.batch_size > len(train.labels):
        raise UsageError(f"batch size {config.batch_size} is larger than the {len(train.labels)} training images")
    mesh = Mesh(np.array(devices), ("data",))
    replicated, split_over_devices = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))

    steps_per_epoch = len(train.labels) // config.batch_size
    total_steps = steps_per_epoch * config.epochs
    tx = make_optimizer(config.recipe, total_steps)
    key_init, key_order, key_steps = jax.random.split(jax.random.key(config.seed), 3)
    model = create_model(
        config.model,
        num_classes=len(spec.classes),
        in_channels=spec.shape[-1],
        preset=config.preset,
        rngs=nnx.Rngs(key_init),
    )
    network, params, batch_stats = take_apart(model)
    num_params = sum(param.size for param in jax.tree.leaves(params))
    state = create_state(params, batch_stats, tx, key=key_steps, average=config.recipe.ema_decay > 0)
    state = jax.device_put(state, replicated)
    checkpoints = Checkpoints(checkpoint_dir, config) if checkpoint_dir else None
    history: list[EpochRecord] = []
    if checkpoints:
        state, history = checkpoints.latest(state)
    images = jax.device_put(pad_to_image_size(train.images), replicated)
    labels = jax.device_put(np.asarray(train.labels, np.int32), replicated)
    validation_images = pad_to_image_size(validation.images)

    started = time.perf_counter()
    compute_dtype = jnp.float32 if devices[0].platform == "cpu" else jnp.bfloat16
    step = _compile_step(
        make_train_step(network, tx, config.recipe, spec, compute_dtype=compute_dtype),
        state,
        images,
        labels,
        jax.ShapeDtypeStruct((config.batch_size,), jnp.int32, sharding=split_over_devices),
    )
    predict_probabilities(network.evaluation, *final_variables(state), validation_images[:1], spec)
    compile_seconds = time.perf_counter() - started

    schedule = learning_rate_schedule(config.recipe, total_steps)
    epoch_seconds = []
    for epoch in range(len(history), config.epochs):
        started = time.perf_counter()
        batches = (
            jax.device_put(indices, split_over_devices)
            for indices in shuffled_batches(
                len(train.labels), config.batch_size, key=jax.random.fold_in(key_order, epoch)
            )
        )
        done = _counter(epoch * steps_per_epoch, total_steps, on_step)
        state, sums = train_epoch(step, state, batches, on_step=done)
        epoch_seconds.append(time.perf_counter() - started)
        train_loss, train_accuracy = sums.means()
        probabilities = predict_probabilities(network.evaluation, *final_variables(state), validation_images, spec)
        if not np.isfinite(probabilities).all():  # the last step broke the weights, after the last loss was taken
            steps = (epoch + 1) * steps_per_epoch
            raise Diverged(f"the predictions became nan after {steps} steps; lower the peak learning rate")
        record = EpochRecord(
            epoch=epoch + 1,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=cross_entropy(probabilities, validation.labels),
            validation_accuracy=float(np.mean(probabilities.argmax(-1) == validation.labels)),
            learning_rate=np.asarray(schedule((epoch + 1) * steps_per_epoch - 1)).item(),
            seconds=time.perf_counter() - started,
        )
        history.append(record)
        if checkpoints:
            checkpoints.save(state, history)
        if on_epoch is not None:
            on_epoch(record)
    step_seconds = float(np.median(epoch_seconds)) / steps_per_epoch if epoch_seconds else float("nan")
    return FitResult(
        model=network.assemble(*final_variables(state)),
        history=history,
        num_params=num_params,
        compile_seconds=compile_seconds,
        train_seconds=sum(record.seconds for record in history),
        step_ms=1e3 * step_seconds,
        images_per_second=config.batch_size / step_seconds,
    )


def make_train_step(
    network: Network,
    tx: optax.GradientTransformation,
    recipe: Recipe,
    spec: DatasetSpec,
    *,
    compute_dtype: Any = jnp.float32,
) -> Callable[..., tuple[TrainState, MetricSums]]:
    """The pure training step: (state, sums, images, labels, indices) -> (state, sums).

    `images` and `labels` are the whole split, `indices` the examples of this batch. Weights and optimiser stay float32;
    with `compute_dtype` bfloat16 the model's products do not.
    """

    def train_step(
        state: TrainState,
        sums: MetricSums,
        images: UInt8[Array, "n h w c"],
        labels: Int[Array, " n"],
        indices: Int[Array, " b"],
    ) -> tuple[TrainState, MetricSums]:
        key_augment, key_dropout = jax.random.split(jax.random.fold_in(state.key, state.step))
        batch = take_augmented(images, indices, key_augment, crop_padding=recipe.crop_padding, flip=recipe.flip)
        inputs = normalize(batch, spec.mean, spec.std).astype(compute_dtype)
        targets = optax.smooth_labels(jax.nn.one_hot(labels[indices], len(spec.classes)), recipe.label_smoothing)

        def loss_fn(params: Variables):
            params = jax.tree.map(lambda param: param.astype(compute_dtype), params)
            logits, batch_stats = network.apply(params, state.batch_stats, inputs, key=key_dropout)
            logits = logits.astype(jnp.float32)
            return optax.softmax_cross_entropy(logits, targets).mean(), (logits, batch_stats)

        grads, (logits, batch_stats) = jax.grad(loss_fn, has_aux=True)(state.params)
        state = apply_gradients(state, grads, batch_stats, tx, ema_decay=recipe.ema_decay)
        return state, sums + classification_sums(logits, labels[indices])

    return train_step


def _compile_step(train_step: Callable, state: TrainState, images: Array, labels: Array, indices: Any) -> Callable:
    sums = MetricSums(*(jnp.zeros(()) for _ in range(3)))
    compiled = jax.jit(train_step, donate_argnums=0).lower(state, sums, images, labels, indices).compile()
    return lambda state, sums, indices: compiled(state, sums, images, labels, indices)


def _counter(done: int, total: int, on_step: Callable[[int, int], None] | None) -> Callable[[], None] | None:
    if on_step is None:
        return None

    def count() -> None:
        nonlocal done
        done += 1
        on_step(done, total)

    return count


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _probabilities(graphdef, params, batch_stats, images, mean, std) -> Float[Array, "b k"]:
    model = nnx.merge(graphdef, params, batch_stats, copy=True)
    return jax.nn.softmax(model(normalize(images, mean, std)))


def predict_probabilities(
    graphdef: nnx.GraphDef,
    params: Variables,
    batch_stats: Variables,
    images: UInt8[np.ndarray, "n h w c"],
    spec: DatasetSpec,
    batch_size: int = 500,
) -> Float[np.ndarray, "n k"]:
    """Class probabilities of all images, in order; one compiled function serves every split and every run."""
    batches = [
        _probabilities(graphdef, params, batch_stats, batch, spec.mean, spec.std)
        for batch in padded_batches(images, batch_size)
    ]
    return np.concatenate(jax.device_get(batches))[: len(images)]


def cross_entropy(probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    return float(sklearn_metrics.log_loss(labels, probabilities, labels=range(probabilities.shape[1])))


def evaluate(model: nnx.Module, split: Split, spec: DatasetSpec, *, batch_size: int = 500) -> Evaluation:
    """Scores a model on every example of a split."""
    network, params, batch_stats = take_apart(model)
    probabilities = predict_probabilities(
        network.evaluation, params, batch_stats, pad_to_image_size(split.images), spec, batch_size
    )
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
