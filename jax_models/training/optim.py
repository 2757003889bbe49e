"""Optimiser and schedule from a configuration, all of it optax."""

import jax
import optax
from optax import contrib

from jax_models.training.config import OptimizerConfig


def learning_rate_schedule(config: OptimizerConfig, total_steps: int) -> optax.Schedule:
    """Linear warm-up to the peak, then linear decay to zero at `total_steps`: the triangle of arXiv 1708.07120."""
    warmup_steps = max(1, round(config.warmup * total_steps))
    return optax.join_schedules(
        [
            optax.linear_schedule(0.1 * config.peak_learning_rate, config.peak_learning_rate, warmup_steps),
            optax.linear_schedule(config.peak_learning_rate, 0.0, max(1, total_steps - warmup_steps)),
        ],
        [warmup_steps],
    )


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """The optimiser at a learning rate of 1: its updates are proportional to the rate, which each step brings along.

    So one compiled step serves every schedule. Biases and scales never decay, nor with Muon what AdamW updates.
    """
    if config.optimizer == "sgd":
        return optax.chain(
            optax.add_decayed_weights(config.weight_decay, mask=_is_kernel),
            optax.sgd(1.0, momentum=config.momentum, nesterov=True),
        )
    if config.optimizer == "adamw":
        return optax.adamw(1.0, weight_decay=config.weight_decay, mask=_is_kernel)
    return contrib.muon(
        1.0,
        beta=config.momentum,
        weight_decay=config.weight_decay,
        consistent_rms=0.2,  # updates as large as AdamW's, so one learning rate serves both (arXiv 2502.16982)
        muon_weight_dimension_numbers=_as_matrices,
    )


def _is_kernel(params: optax.Params) -> optax.Params:
    return jax.tree.map(lambda param: param.ndim > 1, params)


def _as_matrices(params: optax.Params) -> optax.Params:
    """A kernel of any rank is a matrix, all its input axes by its output axis, unless it has one input channel only."""

    def dimension_numbers(param):
        if param.ndim < 2 or (param.ndim == 4 and param.shape[2] == 1):
            return None
        return contrib.MuonDimensionNumbers(reduction_axis=tuple(range(param.ndim - 1)), output_axis=param.ndim - 1)

    return jax.tree.map(dimension_numbers, params)
