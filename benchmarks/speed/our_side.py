"""The process that runs our networks: `python -m benchmarks.speed.our_side`, started by `benchmarks.speed`."""

import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.experimental.compilation_cache import compilation_cache

from benchmarks import cost
from benchmarks.speed.side import CHECKED_IMAGES, LABEL_SMOOTHING, RECIPE, Block, Mode, Side, serve
from jax_models.compilation import jit
from jax_models.training.optim import make_optimizer
from jax_models.training.state import apply_gradients, create_state, take_apart


class OurSide(Side):
    """The project's own forward pass, gradients and update, compiled."""

    def make(self, model: nnx.Module, images: np.ndarray, labels: np.ndarray, *, mode: Mode) -> dict[str, Any]:
        """Tells, too, the seconds to compile: with an empty cache, and with a filled one."""
        flops = cost.forward_flops(model, images.shape[1:]) * len(images)
        model.eval()
        logits = np.asarray(model(jnp.asarray(images[:CHECKED_IMAGES])))
        seconds = []
        with tempfile.TemporaryDirectory() as cache:
            jax.config.update("jax_compilation_cache_dir", cache)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
            for _ in range(2):
                jax.clear_caches()
                compilation_cache.reset_cache()
                started = time.perf_counter()
                self.block = our_block(model, images, labels, mode=mode)
                seconds.append(time.perf_counter() - started)
        return {"logits": logits.tolist(), "forward_flops": flops, "compile_seconds": seconds}

    def product(self, matrix: np.ndarray) -> Block:
        """By XLA."""
        multiply, operand = jax.jit(jnp.matmul), jnp.asarray(matrix)
        return lambda: jax.block_until_ready(multiply(operand, operand))


def our_block(model: nnx.Module, images: np.ndarray, labels: np.ndarray, *, mode: Mode) -> Block:
    """A step of the mode, compiled."""
    network, params, batch_stats = take_apart(model)
    inputs, targets = jnp.asarray(images), jnp.asarray(labels)
    if mode != "train":
        predict = jit(network.predict).lower(params, batch_stats, inputs).compile()
        return lambda: jax.block_until_ready(predict(params, batch_stats, inputs))

    tx = make_optimizer(RECIPE)

    def train_step(state, images, labels):
        key = jax.random.fold_in(state.key, state.step)

        def loss_fn(params):
            logits, batch_stats = network.apply(params, state.batch_stats, images, key=key)
            smoothed = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), LABEL_SMOOTHING)
            return optax.softmax_cross_entropy(logits, smoothed).mean(), batch_stats

        (loss, batch_stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        rate = RECIPE.peak_learning_rate
        return apply_gradients(state, grads, batch_stats, tx, learning_rate=rate, ema_decay=0.0), loss

    params, batch_stats = jax.tree.map(jnp.copy, (params, batch_stats))  # the step donates what it is given
    state = create_state(params, batch_stats, tx, key=jax.random.key(0), average=False)
    step = jit(train_step, donate_argnums=0).lower(state, inputs, targets).compile()

    def block() -> Any:
        nonlocal state
        state, loss = step(state, inputs, targets)
        return jax.block_until_ready((state, loss))[1]

    return block


if __name__ == "__main__":
    serve(OurSide())
