"""From a configuration to a trained model."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from jax_models.compilation import use_compilation_cache
from jax_models.training.checkpoint import Checkpoints
from jax_models.training.devices import data_mesh
from jax_models.training.loop import Diverged, EpochRecord, TrainStep
from jax_models.training.metrics import MetricSums
from jax_models.training.optim import learning_rate_schedule, make_optimizer
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
from seq2seq.best import Best
from seq2seq.configuration import TrainConfig
from seq2seq.data import TaskData, make_data
from seq2seq.model import Seq2Seq, shift_right
from seq2seq.pairs import Texts
from seq2seq.scoring import forced_sums, masked_sums, score, smoothed_loss
from seq2seq.storage import TrainedModel
from seq2seq.tasks import Examples
from seq2seq.vocabulary import PAD, SPECIAL

Batch = tuple[Any, Examples | None]
"""A call's steps: a row of (learning rate, teacher forcing ratio) each, and their examples unless drawn in the step."""


@dataclasses.dataclass(frozen=True)
class FitResult:
    """A trained model, and what its training cost; training seconds count validation and not compilation.

    Attributes:
        left_out: how many pairs were too long to train on.
    """

    trained: TrainedModel
    history: list[EpochRecord]
    num_params: int
    compile_seconds: float
    train_seconds: float
    left_out: int


def train(
    config: TrainConfig | None = None,
    *,
    texts: Texts | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    checkpoint_dir: Path | None = None,
) -> FitResult:
    """Trains a model; looks at its validation examples after every epoch.

    Runs on all local devices that share the batch evenly. With `checkpoint_dir`, every epoch is saved there, and a run
    that finds its own checkpoints goes on from the last one; on a CPU, with as many devices as before, to the same
    weights bit for bit.

    Args:
        texts: what to train on, for pairs; the last of them are held out for early stopping.
        on_epoch: called with each finished epoch's record. Accuracy is that of tokens under teacher forcing for the
            training, and for pairs also for the validation; otherwise there it is the share of outputs without any
            error, decoded greedily.
        on_step: called with (calls of the compiled step done, calls in all).

    Raises:
        UsageError: the checkpoints are of another run, or the texts do not fit the configuration.
        RunError: a checkpoint is damaged or cannot be written.
        Diverged: the loss is no longer finite.
    """
    use_compilation_cache()
    config = config or TrainConfig()
    data = make_data(config, texts)
    num_tokens = data.vocabulary.num_tokens
    tx = optax.chain(optax.clip_by_global_norm(config.recipe.clip_norm), make_optimizer(config.recipe))
    key_init, key_steps = jax.random.split(jax.random.key(config.seed))
    network, params, batch_stats = take_apart(_new_model(config, num_tokens, key=key_init))
    mesh = data_mesh(config.batch_size)
    state = create_state(params, batch_stats, tx, key=key_steps, average=config.recipe.ema_decay > 0)
    state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))

    run = config.run if texts is None else f"{config.run}/{texts.fingerprint}"
    checkpoints = Checkpoints(checkpoint_dir, run) if checkpoint_dir else None
    if checkpoints:
        checkpoints.check()
    best = Best(checkpoint_dir if config.patience else None, run)

    started = time.perf_counter()
    train_steps = make_train_step(network, tx, config=config, mesh=mesh, draw=data.draw, num_tokens=num_tokens)
    step = _compile(train_steps, state, data.shapes)
    compile_seconds = time.perf_counter() - started

    rates = _rates(config, data.steps)
    ends = np.cumsum([sum(calls) for calls in data.epochs])

    def batches(epoch: int) -> Iterator[Batch]:
        start = ends[epoch] - sum(data.epochs[epoch])
        for count, examples in zip(data.epochs[epoch], data.batches(epoch), strict=True):
            yield rates[start : start + count], examples
            start += count

    def judge(state: TrainState) -> tuple[float, float]:
        variables = _on_one_device(final_variables(state))
        loss, accuracy = _judge(network.assemble(*variables), data)
        if not math.isfinite(loss):
            raise Diverged(f"the validation loss became {loss} after {int(state.step)} steps; lower the learning rate")
        if config.patience:
            best.offer(variables, loss=loss)
        return loss, accuracy

    def enough(history: Sequence[EpochRecord]) -> bool:
        if config.patience:
            best.check(history)
        return _is_stale(history, config.patience)

    outcome = run_epochs(
        step,
        state,
        Work(
            calls=[len(calls) for calls in data.epochs],
            batches=batches,
            learning_rate=lambda epoch: float(rates[ends[epoch] - 1, 0]),
            judge=judge,
            enough=enough,
        ),
        checkpoints=checkpoints,
        on_epoch=on_epoch,
        on_step=on_step,
    )
    variables = _on_one_device(final_variables(outcome.state))
    if config.patience:
        best.check(outcome.history)
        variables = best.variables(like=variables)
    model: Any = network.assemble(*variables)
    return FitResult(
        trained=TrainedModel(model, data.vocabulary, config),
        history=outcome.history,
        num_params=sum(param.size for param in jax.tree.leaves(params)),
        compile_seconds=compile_seconds,
        train_seconds=sum(record.seconds for record in outcome.history),
        left_out=data.left_out,
    )


def make_train_step(
    network: Network,
    tx: optax.GradientTransformation,
    *,
    config: TrainConfig,
    mesh: Mesh,
    draw: Callable[[Array], Examples] | None,
    num_tokens: int,
) -> TrainStep:
    """The pure training step, or rather as many as there are rows in a batch's rates.

    Every device takes the whole batch and works on its own share, so the data are the same on any number of devices.
    """
    share = config.batch_size // mesh.size
    recipe = config.recipe

    def take_step(carry: tuple[TrainState, MetricSums], batch: Batch) -> tuple[tuple[TrainState, MetricSums], None]:
        (state, sums), (rates, examples) = carry, batch
        key_data, key_noise, *keys = jax.random.split(jax.random.fold_in(state.key, state.step), 4)
        device = jax.lax.axis_index("data")
        key_sampling, key_dropout = (jax.random.fold_in(key, device) for key in keys)
        if examples is None:
            assert draw is not None
            examples = draw(key_data)
        count = (examples.target != PAD).sum()
        inputs = shift_right(examples.target)
        if recipe.input_noise:
            inputs = garble(inputs, share=recipe.input_noise, num_tokens=num_tokens, key=key_noise)
        own, inputs = jax.tree.map(
            lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, device * share, share), (examples, inputs)
        )
        if config.teacher_forcing != (1.0, 1.0):
            model: Any = network.assemble(state.params, state.batch_stats)
            inputs = model.sample(own.source, inputs, ratio=rates[1], key=key_sampling)

        def loss_fn(params: Variables) -> tuple[Array, MetricSums]:
            model: Any = network.assemble(params, state.batch_stats, training=True)
            logits = model(own.source, own.target, inputs=inputs, rngs=nnx.Rngs(dropout=key_dropout))
            own_sums = masked_sums(logits, own.target)
            return smoothed_loss(logits, own.target, own_sums, smoothing=recipe.label_smoothing) / count, own_sums

        grads, own_sums = jax.grad(loss_fn, has_aux=True)(state.params)
        grads, new_sums = jax.lax.psum((grads, own_sums), "data")
        ema_decay = recipe.ema_decay
        state = apply_gradients(state, grads, state.batch_stats, tx, learning_rate=rates[0], ema_decay=ema_decay)
        return (state, sums + new_sums), None

    def train_steps(state: TrainState, sums: MetricSums, batch: Batch) -> tuple[TrainState, MetricSums]:
        return jax.lax.scan(take_step, (state, sums), batch)[0]

    everywhere = PartitionSpec()
    return jax.shard_map(train_steps, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False)


def garble(inputs: Int[Array, "b t"], *, share: float, num_tokens: int, key: Array) -> Int[Array, "b t"]:
    """The decoder's inputs with this share of the symbols replaced by random ones; marks stay.

    Word dropout (arXiv 1511.06349) with random words (arXiv 1808.07512). A decoder that trusts the symbol it wrote last
    finds its place by looking for it, and gets lost where the source has it twice; one that cannot, learns to count.
    """
    key_where, key_what = jax.random.split(key)
    chosen = jax.random.bernoulli(key_where, share, inputs.shape) & (inputs >= SPECIAL)
    return jnp.where(chosen, jax.random.randint(key_what, inputs.shape, SPECIAL, num_tokens), inputs)


def _new_model(config: TrainConfig, num_tokens: int, *, key: Array) -> Seq2Seq:
    """A model with fresh weights, made by one program: one by one, the initializers would take seconds to compile."""

    @jax.jit
    def make(key: Array) -> Any:
        return nnx.state(config.new_model(num_tokens, rngs=nnx.Rngs(key)))

    structure = nnx.graphdef(nnx.eval_shape(lambda: config.new_model(num_tokens, rngs=nnx.Rngs(0))))
    return nnx.merge(structure, make(key))


def _rates(config: TrainConfig, total: int) -> Float[np.ndarray, "n 2"]:
    """Each step's learning rate and probability of teacher forcing."""
    steps = np.arange(total)
    rates = np.asarray(jax.vmap(learning_rate_schedule(config.recipe, total))(jnp.asarray(steps)))
    ratios = np.interp(steps, [0, max(1, total - 1)], config.teacher_forcing)
    return np.stack([rates, ratios], axis=1).astype(np.float32)


def _compile(train_steps: TrainStep, state: TrainState, shapes: Sequence[tuple[int, Examples | None]]) -> TrainStep:
    """One program for every shape that a batch can have."""
    jitted = jax.jit(train_steps, donate_argnums=0)
    sums = MetricSums(*(jnp.zeros(()) for _ in range(3)))
    programs = {}
    for count, examples in shapes:
        batch = (jax.ShapeDtypeStruct((count, 2), jnp.float32), examples)
        programs[_shape(batch)] = jitted.lower(state, sums, batch).compile()
    return lambda state, sums, batch: programs[_shape(batch)](state, sums, batch)


def _shape(batch: Batch) -> tuple[tuple[int, ...], ...]:
    return tuple(leaf.shape for leaf in jax.tree.leaves(batch))


def _judge(model: Any, data: TaskData) -> tuple[float, float]:
    """Validation loss and accuracy."""
    if not data.exact:
        return forced_sums(model, data.validation).means()
    judged = score(model, data.validation)
    return judged.loss, judged.exact_match


def _is_stale(history: Sequence[EpochRecord], patience: int) -> bool:
    losses = [record.validation_loss for record in history]
    return bool(patience and losses) and len(losses) - 1 - int(np.argmin(losses)) >= patience


def _on_one_device(variables: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.device_put(leaf, jax.local_devices()[0]), variables)
