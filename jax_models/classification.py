"""The image task: from a configuration and a data set to a trained model."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, no_type_check

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, UInt8

from jax_models.adapted import COLOURS, Adapted, with_new_head
from jax_models.compilation import jit, use_compilation_cache
from jax_models.data import Dataset, DatasetSpec
from jax_models.data.augment import normalize, take_augmented
from jax_models.data.batches import pad_to_image_size, shuffled_batches
from jax_models.errors import UsageError
from jax_models.evaluation import cross_entropy, predict_probabilities
from jax_models.pretrained import imagenet
from jax_models.recipes import Recipe, TrainConfig
from jax_models.registry import MODELS
from jax_models.training.checkpoint import Checkpoints
from jax_models.training.devices import data_mesh, of_first_process, place
from jax_models.training.distributed import check_same
from jax_models.training.loop import Diverged, EpochRecord, TrainStep
from jax_models.training.metrics import MetricSums, classification_sums
from jax_models.training.optim import learning_rate_schedule, make_optimizer, of_head_only
from jax_models.training.run import OnEpoch, OnStep, Work, run_epochs
from jax_models.training.state import (
    Network,
    TrainState,
    Variables,
    apply_gradients,
    create_state,
    final_variables,
    take_apart,
)

# Of the epochs on published weights. A new head is fitted soon, and the features are what is to be fitted to the data;
# chosen without a search, since no such weights were there.
FROZEN_EPOCHS_DIVISOR = 5


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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
@no_type_check  # JAX fills this tree with shapes and shardings, too
class TrainingData:
    """The train split on the device, and how its images reach the network.

    All of it is arrays, so that data sets of one shape share a compiled step.
    """

    images: UInt8[Array, "n h w c"]
    labels: Int[Array, " n"]
    mean: Float[Array, " c"]
    std: Float[Array, " c"]
    crop_padding: Int[Array, ""]
    flip: Bool[Array, ""]


def fit(
    config: TrainConfig,
    dataset: Dataset,
    *,
    start: nnx.Module | None = None,
    head_only: bool = False,
    stage: int = 0,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    checkpoint_dir: Path | None = None,
) -> FitResult:
    """Trains `config.model` on the data set's train split; looks at its validation split after every epoch.

    Runs on the local devices, as many as divide the batch: it is split over them, the state is on each. Where several
    processes have joined (`training.distributed`), all must call this with the same arguments, and it runs on the
    devices of all. With `checkpoint_dir`, every epoch is saved there, and a run that finds its own checkpoints goes on
    from the last one; on a CPU to the same weights bit for bit.

    Where the configuration names published weights, they get a new last layer, which the first fifth of the epochs, one
    at least, trains alone (the rest is frozen, batch statistics included); the others train all of the network. A
    single epoch trains all of it.

    Args:
        start: a network to go on from, of the configuration's architecture; it is left as it is. Without it the weights
            are drawn, or the published ones.
        head_only: leaves all but the last layer as it is, batch statistics included: a linear probe.
        stage: counts trainings that follow each other from 0; each has its own order and augmentation.
        on_epoch: called with each finished epoch's record.
        on_step: called with (steps done, steps in all) after each step.

    Raises:
        UsageError: the batch is larger than the split or does not divide among the processes, these were asked for
            different runs, or the checkpoints are of another run.
        RunError: a checkpoint is damaged or cannot be written, or published weights cannot be had.
        Diverged: the loss is no longer finite.
    """
    if start is None and config.variant and config.variant.weights:
        return _fine_tune(config, dataset, on_epoch=on_epoch, on_step=on_step, checkpoint_dir=checkpoint_dir)
    use_compilation_cache()
    check_same(config.cell)
    count = len(dataset.train.labels)
    if config.batch_size > count:
        raise UsageError(f"batch size {config.batch_size} is larger than the {count} training images")
    mesh = data_mesh(config.batch_size)
    everywhere, split_over_devices = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))

    tx = make_optimizer(config.recipe)
    tx = of_head_only(tx) if head_only else tx
    key = jax.random.key(config.seed)
    key_init, key_order, key_steps = jax.random.split(jax.random.fold_in(key, stage) if stage else key, 3)
    model = new_model(config, dataset.spec, rngs=nnx.Rngs(key_init)) if start is None else start
    network, params, batch_stats = take_apart(model)
    if start is not None:  # the step takes over the arrays that it is given
        params, batch_stats = jax.tree.map(jnp.copy, (params, batch_stats))
    params, batch_stats = of_first_process((params, batch_stats))
    state = create_state(params, batch_stats, tx, key=key_steps, average=config.recipe.ema_decay > 0)
    state = place(state, everywhere)

    started = time.perf_counter()
    step = _compile_step(
        make_train_step(
            network,
            tx,
            recipe=config.recipe,
            compute_dtype=compute_dtype(mesh.devices[0]),
            head_only=head_only,
        ),
        state,
        data=place(_training_data(dataset, config.recipe), everywhere),
        indices=jax.ShapeDtypeStruct((config.batch_size,), jnp.int32, sharding=split_over_devices),
    )
    one_image = pad_to_image_size(dataset.validation.images[:1])
    predict_probabilities(network, *final_variables(state), images=one_image, spec=dataset.spec)
    compile_seconds = time.perf_counter() - started

    steps = count // config.batch_size
    rates = _learning_rates(config.recipe, steps * config.epochs)

    def batches(epoch: int) -> Iterator[tuple[Array, np.float32]]:
        order = shuffled_batches(count, config.batch_size, key=jax.random.fold_in(key_order, epoch))
        for indices, rate in zip(order, rates[epoch * steps : (epoch + 1) * steps], strict=True):
            yield place(indices, split_over_devices), rate

    outcome = run_epochs(
        step,
        state,
        Work(
            calls=[steps] * config.epochs,
            batches=batches,
            learning_rate=lambda epoch: float(rates[(epoch + 1) * steps - 1]),
            judge=_make_judge(network, dataset),
        ),
        checkpoints=Checkpoints(checkpoint_dir, config.cell) if checkpoint_dir else None,
        on_epoch=on_epoch,
        on_step=on_step,
    )
    step_seconds = float(np.median(outcome.seconds)) / steps if outcome.seconds else float("nan")
    return FitResult(
        model=network.assemble(*final_variables(outcome.state)),
        history=outcome.history,
        num_params=sum(param.size for param in jax.tree.leaves(params)),
        compile_seconds=compile_seconds,
        train_seconds=sum(record.seconds for record in outcome.history),
        step_ms=1e3 * step_seconds,
        images_per_second=config.batch_size / step_seconds,
    )


def _fine_tune(
    config: TrainConfig,
    dataset: Dataset,
    *,
    on_epoch: OnEpoch | None,
    on_step: OnStep | None,
    checkpoint_dir: Path | None,
) -> FitResult:
    """Trains a new last layer on published weights, then all of it; told and returned as one run.

    The time of a step is that of the last stage.
    """
    assert config.variant is not None
    steps = len(dataset.train) // config.batch_size
    frozen = max(1, config.epochs // FROZEN_EPOCHS_DIVISOR) if config.epochs > 1 else 0
    history: list[EpochRecord] = []

    def train(model: nnx.Module, stage: int, *, epochs: int) -> FitResult:
        before = len(history)

        def counted(record: EpochRecord) -> EpochRecord:
            return dataclasses.replace(record, epoch=before + record.epoch)

        result = fit(
            dataclasses.replace(config, epochs=epochs),
            dataset,
            start=model,
            head_only=stage == 0,
            stage=stage,
            on_epoch=lambda record: on_epoch(counted(record)) if on_epoch else None,
            on_step=lambda done, _: on_step(before * steps + done, config.epochs * steps) if on_step else None,
            checkpoint_dir=checkpoint_dir / f"stage{stage}" if checkpoint_dir else None,
        )
        history.extend(map(counted, result.history))
        return result

    weights = imagenet.network(config.variant.network)
    weights = with_new_head(weights, len(dataset.spec.classes), rngs=nnx.Rngs(config.seed))
    model: nnx.Module = Adapted(weights, config.variant, dataset.spec)
    del weights  # one copy is enough
    compile_seconds = 0.0
    for stage, epochs in enumerate((frozen, config.epochs - frozen)):
        if epochs:
            result = train(model, stage, epochs=epochs)
            model, compile_seconds = result.model, compile_seconds + result.compile_seconds
    train_seconds = sum(record.seconds for record in history)
    return dataclasses.replace(result, history=history, compile_seconds=compile_seconds, train_seconds=train_seconds)


def make_train_step(
    network: Network,
    tx: optax.GradientTransformation,
    *,
    recipe: Recipe,
    compute_dtype: Any = jnp.float32,
    head_only: bool = False,
) -> Callable[..., tuple[TrainState, MetricSums]]:
    """The pure training step: (state, sums, data, indices, learning_rate) -> (state, sums).

    `indices`, int (b,), are the examples of this batch. Weights and optimiser stay float32; with `compute_dtype`
    bfloat16 the model's products do not. With `head_only` the network is in evaluation mode; `tx` must do the rest.
    """

    def train_step(
        state: TrainState,
        sums: MetricSums,
        data: TrainingData,
        indices: Int[Array, " b"],
        learning_rate: Float[Array, ""],
    ) -> tuple[TrainState, MetricSums]:
        key_augment, key_dropout = jax.random.split(jax.random.fold_in(state.key, state.step))
        images = take_augmented(data.images, indices, key_augment, crop_padding=data.crop_padding, flip=data.flip)
        inputs = normalize(images, data.mean, data.std).astype(compute_dtype)
        labels = data.labels[indices]

        def loss_fn(params: Variables):
            params = jax.tree.map(lambda param: param.astype(compute_dtype), params)
            if head_only:
                logits, batch_stats = network.predict(params, state.batch_stats, inputs), state.batch_stats
            else:
                logits, batch_stats = network.apply(params, state.batch_stats, inputs, key=key_dropout)
            logits = logits.astype(jnp.float32)
            targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), recipe.label_smoothing)
            return optax.softmax_cross_entropy(logits, targets).mean(), (logits, batch_stats)

        grads, (logits, batch_stats) = jax.grad(loss_fn, has_aux=True)(state.params)
        state = apply_gradients(state, grads, batch_stats, tx, learning_rate=learning_rate, ema_decay=recipe.ema_decay)
        return state, sums + classification_sums(logits, labels)

    return train_step


def new_model(config: TrainConfig, spec: DatasetSpec, *, rngs: nnx.Rngs) -> nnx.Module:
    """The untrained network of a configuration, in training mode."""
    channels = COLOURS if config.variant else spec.shape[-1]
    network = MODELS[config.model].constructor(
        len(spec.classes), in_channels=channels, rngs=rngs, **config.architecture
    )
    return Adapted(network, config.variant, spec) if config.variant else network


def compute_dtype(device: Any) -> Any:
    """Of products in training: bfloat16 on TPUs and on NVIDIA GPUs that have it (compute capability 8.0, Ampere)."""
    has_bfloat16 = device.platform == "tpu" or float(getattr(device, "compute_capability", 0)) >= 8
    return jnp.bfloat16 if has_bfloat16 else jnp.float32


def _training_data(dataset: Dataset, recipe: Recipe) -> TrainingData:
    arrays: Any = {
        "images": pad_to_image_size(dataset.train.images),
        "labels": np.asarray(dataset.train.labels, np.int32),
        "mean": np.asarray(dataset.spec.mean, np.float32),
        "std": np.asarray(dataset.spec.std, np.float32),
        "crop_padding": np.int32(recipe.crop_padding),
        "flip": np.bool_(recipe.flip),
    }
    return TrainingData(**arrays)


def _compile_step(train_step: Callable, state: TrainState, *, data: TrainingData, indices: Any) -> TrainStep:
    sums = MetricSums(*(jnp.zeros(()) for _ in range(3)))
    rate = jax.ShapeDtypeStruct((), jnp.float32)
    compiled = jit(train_step, donate_argnums=0).lower(state, sums, data, indices, rate).compile()
    return lambda state, sums, batch: compiled(state, sums, data, *batch)


def _make_judge(network: Network, dataset: Dataset) -> Callable[[TrainState], tuple[float, float]]:
    """Loss and accuracy of a state on the validation split."""
    images, labels = pad_to_image_size(dataset.validation.images), dataset.validation.labels

    def judge(state: TrainState) -> tuple[float, float]:
        probabilities = predict_probabilities(network, *final_variables(state), images=images, spec=dataset.spec)
        if not np.isfinite(probabilities).all():  # the last step broke the weights, after the last loss was taken
            raise Diverged(f"the predictions became nan after {int(state.step)} steps; lower the peak learning rate")
        return cross_entropy(probabilities, labels), float(np.mean(probabilities.argmax(-1) == labels))

    return judge


def _learning_rates(recipe: Recipe, total_steps: int) -> Float[np.ndarray, " steps"]:
    schedule = learning_rate_schedule(recipe, total_steps)
    return np.asarray(jax.vmap(schedule)(jnp.arange(total_steps)), np.float32)
