"""The training state as a pytree, and the only place that splits and merges NNX modules."""

import dataclasses
from typing import Any, no_type_check

import jax
import jax.numpy as jnp
import optax
from flax import nnx

Variables = Any  # a pytree of arrays, as nnx.split gives it


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
@no_type_check  # JAX and orbax fill this tree with shapes and shardings, too
class TrainState:
    """All that a run needs to go on: save it, load it, and the next step is the one that would have come."""

    step: jax.Array
    params: Variables
    batch_stats: Variables
    averages: tuple[Variables, Variables] | None  # moving averages of params and batch_stats
    opt_state: optax.OptState
    key: jax.Array


@dataclasses.dataclass(frozen=True)
class Network:
    """A module taken apart: the structure in both modes, without its arrays.

    `examples_at_once` is how many it can be given outside training where that is fewer than usual, else None.
    """

    training: nnx.GraphDef
    evaluation: nnx.GraphDef
    examples_at_once: int | None = None

    def apply(
        self, params: Variables, batch_stats: Variables, inputs: jax.Array, *, key: jax.Array
    ) -> tuple[jax.Array, Variables]:
        """Training mode: outputs and the new batch statistics. Pure."""
        model = nnx.merge(self.training, params, batch_stats, copy=True)
        outputs = model(inputs, rngs=nnx.Rngs(dropout=key))
        return outputs, nnx.state(model, nnx.BatchStat)

    def predict(self, params: Variables, batch_stats: Variables, inputs: jax.Array) -> jax.Array:
        """Evaluation mode: outputs only. Pure."""
        return nnx.merge(self.evaluation, params, batch_stats, copy=True)(inputs)

    def assemble(self, params: Variables, batch_stats: Variables, *, training: bool = False) -> nnx.Module:
        """A module that owns these arrays, in evaluation mode unless it is for training."""
        return nnx.merge(self.training if training else self.evaluation, params, batch_stats, copy=True)


def take_apart(model: nnx.Module) -> tuple[Network, Variables, Variables]:
    """Splits a module into its structure, parameters and batch statistics; leaves it in evaluation mode."""
    model.train()
    training = nnx.graphdef(model)
    model.eval()
    evaluation, params, batch_stats = nnx.split(model, nnx.Param, nnx.BatchStat)
    return Network(training, evaluation, getattr(model, "examples_at_once", None)), params, batch_stats


def create_state(
    params: Variables, batch_stats: Variables, tx: optax.GradientTransformation, *, key: jax.Array, average: bool
) -> TrainState:
    """The state before the first step; `average` keeps a moving average of the weights beside them."""
    copy = jax.tree.map(jnp.copy, (params, batch_stats)) if average else None  # a donated buffer must have one owner
    return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, copy, tx.init(params), key)


def apply_gradients(
    state: TrainState,
    grads: Variables,
    batch_stats: Variables,
    tx: optax.GradientTransformation,
    *,
    learning_rate: jax.Array | float,
    ema_decay: float,
) -> TrainState:
    """One step of `tx`, scaled by the learning rate: `tx` itself is made for a rate of 1 (see `make_optimizer`).

    The average starts as a plain mean, so that early weights do not linger in it.
    """
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    updates = jax.tree.map(lambda update: learning_rate * update, updates)
    params = optax.apply_updates(state.params, updates)
    averages: Any = state.averages
    if averages is not None:
        rate = 1 - jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
        averages = optax.incremental_update((params, batch_stats), averages, rate)
    return TrainState(state.step + 1, params, batch_stats, averages, opt_state, state.key)


def final_variables(state: TrainState) -> tuple[Variables, Variables]:
    """The parameters and batch statistics to evaluate: the averages where they are kept."""
    return state.averages or (state.params, state.batch_stats)
