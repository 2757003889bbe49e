"""From a configuration to a trained model."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from jax_models.compilation import use_compilation_cache
from jax_models.training.checkpoint import Checkpoints
from jax_models.training.loop import EpochRecord, TrainStep, train_epoch
from jax_models.training.metrics import MetricSums
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
from seq2seq.configuration import TrainConfig
from seq2seq.model import Seq2Seq
from seq2seq.scoring import masked_sums, score
from seq2seq.storage import TrainedModel
from seq2seq.tasks import VALIDATION, draw_training_sources, held_out_sources, with_targets
from seq2seq.vocabulary import PAD

STEPS_PER_CALL = 25  # steps in one compiled call: the progress bar moves by these
STEPS_PER_EPOCH = 150
VALIDATION_SIZE = 500


@dataclasses.dataclass(frozen=True)
class FitResult:
    """A trained model, and what its training cost; training seconds count neither compilation nor validation."""

    trained: TrainedModel
    history: list[EpochRecord]
    num_params: int
    compile_seconds: float
    train_seconds: float


def train(
    config: TrainConfig | None = None,
    *,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_step: Callable[[int, int], None] | None = None,
    checkpoint_dir: Path | None = None,
) -> FitResult:
    """Trains a model on sequences drawn on the fly; looks at its validation sequences after every epoch.

    Runs on all local devices that share the batch evenly. With `checkpoint_dir`, every epoch is saved there, and a run
    that finds its own checkpoints goes on from the last one; on a CPU, with as many devices as before, to the same
    weights bit for bit.

    Args:
        on_epoch: called with each finished epoch's record. Accuracy is that of tokens under teacher forcing for the
            training, and the share of outputs without any error, decoded greedily, for the validation.
        on_step: called with (steps done, steps in all).

    Raises:
        UsageError: the checkpoints are of another run.
        RunError: a checkpoint is damaged or cannot be written.
        Diverged: the loss is no longer finite.
    """
    use_compilation_cache()
    config = config or TrainConfig()
    tx = optax.chain(optax.clip_by_global_norm(config.recipe.clip_norm), make_optimizer(config.recipe))
    key_init, key_steps = jax.random.split(jax.random.key(config.seed))
    network, params, batch_stats = take_apart(config.new_model(rngs=nnx.Rngs(key_init)))
    mesh = _mesh(config.batch_size)
    state = create_state(params, batch_stats, tx, key=key_steps, average=config.recipe.ema_decay > 0)
    state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    checkpoints = Checkpoints(checkpoint_dir, config.run) if checkpoint_dir else None
    history: list[EpochRecord] = []
    if checkpoints:
        state, history = checkpoints.latest(state)

    plan = _plan(config)
    started = time.perf_counter()
    step = _compile(make_train_step(network, tx, config=config, mesh=mesh), state, plan[len(history) :])
    compile_seconds = time.perf_counter() - started

    validation = with_targets(config.task, held_out_sources(VALIDATION, VALIDATION_SIZE, **config.ranges))
    done = sum(len(rates) for calls in plan[: len(history)] for rates in calls)
    for calls in plan[len(history) :]:
        started = time.perf_counter()
        count = _counter(done, config.steps, calls, on_step)
        state, sums = train_epoch(step, state, calls, on_step=count)
        done += sum(map(len, calls))
        seconds = time.perf_counter() - started
        train_loss, train_accuracy = sums.means()
        judged = score(_model(network, state), validation)
        record = EpochRecord(
            epoch=len(history) + 1,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=judged.loss,
            validation_accuracy=judged.exact_match,
            learning_rate=float(calls[-1][-1, 0]),
            seconds=seconds,
        )
        history.append(record)
        if checkpoints:
            checkpoints.save(state, history)
        if on_epoch is not None:
            on_epoch(record)
    return FitResult(
        trained=TrainedModel(_model(network, state), config.vocabulary, config),
        history=history,
        num_params=sum(param.size for param in jax.tree.leaves(params)),
        compile_seconds=compile_seconds,
        train_seconds=sum(record.seconds for record in history),
    )


def make_train_step(
    network: Network, tx: optax.GradientTransformation, *, config: TrainConfig, mesh: Mesh
) -> Callable[[TrainState, MetricSums, Float[Array, "k 2"]], tuple[TrainState, MetricSums]]:
    """The pure training step, or rather as many as there are rows of (learning rate, teacher forcing ratio).

    Every device draws the whole batch and works on its own share, so the data are the same on any number of devices.
    """
    share = config.batch_size // mesh.size
    always_forced = config.teacher_forcing == (1.0, 1.0)

    def take_step(carry: tuple[TrainState, MetricSums], rates: Array) -> tuple[tuple[TrainState, MetricSums], None]:
        state, sums = carry
        key_data, key_sampling = jax.random.split(jax.random.fold_in(state.key, state.step))
        device = jax.lax.axis_index("data")
        examples = with_targets(config.task, draw_training_sources(key_data, config.batch_size, **config.ranges))
        num_tokens = (examples.target != PAD).sum()
        own = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, device * share, share), examples)

        def loss_fn(params: Variables) -> tuple[Array, MetricSums]:
            model: Any = network.assemble(params, state.batch_stats)
            if always_forced:
                logits = model(own.source, own.target)
            else:
                key = jax.random.fold_in(key_sampling, device)
                logits = model.sample(own.source, own.target, ratio=rates[1], key=key)
            own_sums = masked_sums(logits, own.target)
            return own_sums.loss / num_tokens, own_sums

        grads, own_sums = jax.grad(loss_fn, has_aux=True)(state.params)
        grads, new_sums = jax.lax.psum((grads, own_sums), "data")
        ema_decay = config.recipe.ema_decay
        state = apply_gradients(state, grads, state.batch_stats, tx, learning_rate=rates[0], ema_decay=ema_decay)
        return (state, sums + new_sums), None

    def train_steps(state: TrainState, sums: MetricSums, rates: Array) -> tuple[TrainState, MetricSums]:
        return jax.lax.scan(take_step, (state, sums), rates)[0]

    everywhere = PartitionSpec()
    return jax.shard_map(train_steps, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False)


def _mesh(batch_size: int) -> Mesh:
    """As many of the local devices as can share the batch evenly."""
    devices = jax.local_devices()
    while batch_size % len(devices):
        devices.pop()
    return Mesh(np.array(devices), ("data",))


def _plan(config: TrainConfig) -> list[list[Float[np.ndarray, "k 2"]]]:
    """Epochs of calls of steps: each step's learning rate and probability of teacher forcing."""
    steps = np.arange(config.steps)
    rates = np.asarray(jax.vmap(learning_rate_schedule(config.recipe, config.steps))(jnp.asarray(steps)))
    ratios = np.interp(steps, [0, max(1, config.steps - 1)], config.teacher_forcing)
    both = np.stack([rates, ratios], axis=1).astype(np.float32)
    epochs = np.split(both, range(STEPS_PER_EPOCH, config.steps, STEPS_PER_EPOCH))
    return [np.split(epoch, range(STEPS_PER_CALL, len(epoch), STEPS_PER_CALL)) for epoch in epochs]


def _compile(train_steps: Callable, state: TrainState, plan: list[list[np.ndarray]]) -> TrainStep:
    """One program for every number of steps that a call has."""
    jitted = jax.jit(train_steps, donate_argnums=0)
    sums = MetricSums(*(jnp.zeros(()) for _ in range(3)))
    counts = {len(rates) for calls in plan for rates in calls}
    programs = {
        count: jitted.lower(state, sums, jax.ShapeDtypeStruct((count, 2), jnp.float32)).compile() for count in counts
    }
    return lambda state, sums, rates: programs[len(rates)](state, sums, rates)


def _model(network: Network, state: TrainState) -> Seq2Seq:
    """The model as it is now, on one device."""
    variables = jax.tree.map(lambda leaf: jax.device_put(leaf, jax.local_devices()[0]), final_variables(state))
    model = network.assemble(*variables)
    assert isinstance(model, Seq2Seq)
    return model


def _counter(
    done: int, total: int, calls: list[np.ndarray], on_step: Callable[[int, int], None] | None
) -> Callable[[], None] | None:
    if on_step is None:
        return None
    counts = iter(done + np.cumsum([len(rates) for rates in calls]))
    return lambda: on_step(int(next(counts)), total)
