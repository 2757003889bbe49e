"""Optimiser and schedule from a configuration: optax, with the Muon of `muon.py`."""

import jax
import optax

from jax_models.training.config import OptimizerConfig
from jax_models.training.muon import scale_by_muon


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

    So one compiled step serves every schedule. Biases and scales never decay, nor with Muon what NAdam updates.
    """
    if config.optimizer == "sgd":
        return optax.chain(
            optax.add_decayed_weights(config.weight_decay, mask=_is_kernel),
            optax.sgd(1.0, momentum=config.momentum, nesterov=True),
        )
    if config.optimizer == "adam":
        return optax.adam(1.0)
    if config.optimizer == "adamw":
        return optax.adamw(1.0, weight_decay=config.weight_decay, mask=_is_kernel)
    muon = optax.chain(
        scale_by_muon(config.momentum),
        optax.add_decayed_weights(config.weight_decay),
        optax.scale_by_learning_rate(1.0),
    )
    return optax.partition({"muon": muon, "adam": optax.nadam(1.0)}, _muon_or_adam)


def of_head_only(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same optimiser for the parameters under a module `head`; the others stay as they are."""

    def labels(params: optax.Params) -> optax.Params:
        def label(path: tuple, _: object) -> str:
            return "head" if "head" in jax.tree_util.keystr(path, simple=True, separator="/").split("/") else "rest"

        return jax.tree_util.tree_map_with_path(label, params)

    return optax.partition({"head": tx, "rest": optax.set_to_zero()}, labels)


def _is_kernel(params: optax.Params) -> optax.Params:
    return jax.tree.map(lambda param: param.ndim > 1, params)


def _muon_or_adam(params: optax.Params) -> optax.Params:
    """Muon is for matrices: kernels with more than one input channel."""
    return jax.tree.map(
        lambda param: "adam" if param.ndim < 2 or (param.ndim == 4 and param.shape[2] == 1) else "muon", params
    )
