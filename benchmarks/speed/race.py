"""The process that measures one network: `python -m benchmarks.speed.race`, started by `benchmarks.speed`.

Both sides run in this process, with the same threads and the same memory allocator, block by block in turn: what else
the machine does meanwhile hits both. The request is one JSON line on standard input; messages are JSON lines on
standard output.
"""

import contextlib
import dataclasses
import functools
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx

from benchmarks import cost
from benchmarks.cells import RUN_IN_THIS_THREAD
from benchmarks.speed.torch_peer import torch_peer
from jax_models.compilation import jit
from jax_models.data.batches import IMAGE_SIZE
from jax_models.errors import RunError
from jax_models.registry import create_model
from jax_models.training.config import OptimizerConfig
from jax_models.training.optim import make_optimizer
from jax_models.training.state import apply_gradients, create_state, take_apart

Mode = Literal["train", "infer1", "infer128"]
Block = Callable[[], Any]
"""Does one step, or what several of them make together, and returns when it is done."""

NUM_CLASSES, CHANNELS, BATCH_SIZE = 10, 3, 128
BATCHES: dict[Mode, int] = {"train": BATCH_SIZE, "infer1": 1, "infer128": BATCH_SIZE}
RECIPE = OptimizerConfig(optimizer="sgd", peak_learning_rate=0.001, weight_decay=5e-4, momentum=0.9)
LABEL_SMOOTHING = 0.1
LEAST_SECONDS = 0.3  # of a measurement: a quick step is taken as often as this needs
TRIALS = 3  # measurements of each variant of PyTorch, the least of which counts
HOPELESS = 1.5  # times the fastest variant so far: such a one is measured once
TOLERANCE = 1e-3  # between the logits of the two sides, by the largest of them
PEAK_SIZES = (1024, 2048)  # of square matrices, float32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to run PyTorch: eager or `torch.compile`, images NCHW or channels-last in memory."""

    compiled: bool
    channels_last: bool

    def __str__(self) -> str:
        return f"{'compile' if self.compiled else 'eager'}, {'channels-last' if self.channels_last else 'NCHW'}"


def main() -> None:
    """Reads a request, measures, and writes each measurement as soon as it is there."""
    request = json.loads(sys.stdin.readline())
    with os.fdopen(os.dup(1), "w", buffering=1) as channel:
        os.dup2(2, 1)  # prints of libraries go to standard error

        def send(kind: str, **fields: Any) -> None:
            channel.write(json.dumps({"event": kind, **fields}, allow_nan=False) + "\n")

        jax.config.update("jax_platforms", "cpu")
        jax.config.update(*RUN_IN_THIS_THREAD)
        torch.set_num_threads(request["threads"])
        try:
            if "model" not in request:
                send("peak", gflops=matmul_peak())
                return
            variants = [
                Variant(compiled=compiled, channels_last=channels_last)
                for compiled in request["compiled"]
                for channels_last in (False, True)
            ]
            race = Race(request["model"], request["preset"], pairs=request["pairs"], variants=variants, send=send)
            for mode in request["modes"]:
                send("row", **race.run(mode))
        except RunError as error:
            send("error", error=str(error))


class Race:
    """One network on both sides."""

    def __init__(
        self, model: str, preset: str, *, pairs: int, variants: Sequence[Variant], send: Callable[..., None]
    ) -> None:
        self.model, self.preset, self.pairs, self.variants, self.send = model, preset, pairs, variants, send
        self.rng = np.random.default_rng(0)

    def run(self, mode: Mode) -> dict[str, Any]:
        """Measures one mode and gives its row.

        Raises:
            RunError: the two sides do not compute the same.
        """
        model = create_model(self.model, num_classes=NUM_CLASSES, in_channels=CHANNELS, preset=self.preset)
        shape = (BATCHES[mode], IMAGE_SIZE, IMAGE_SIZE, CHANNELS)
        images = self.rng.normal(size=shape).astype(np.float32)
        labels = self.rng.integers(NUM_CLASSES, size=len(images)).astype(np.int32)
        difference = logits_difference(model, images[:8])
        if not difference < TOLERANCE:
            raise RunError(f"the logits of the two sides differ by {difference:.0e}: their times cannot be compared")
        flops = cost.forward_flops(model, (IMAGE_SIZE, IMAGE_SIZE, CHANNELS)) * len(images)
        ours, cold, cached = self._compile(model, images, labels, mode=mode)
        variant, tried = self._fastest(model, images, labels, mode=mode)
        theirs = torch_block(model, images, labels, mode=mode, variant=variant)
        steps = _steps(ours), _steps(theirs)
        seconds = np.array([(_seconds(ours, steps[0]), _seconds(theirs, steps[1])) for _ in range(self.pairs)])
        ratios = seconds[:, 1] / seconds[:, 0]
        our_seconds, their_seconds = np.median(seconds, axis=0).tolist()
        done = flops * (3 if mode == "train" else 1)  # a gradient costs twice its forward pass
        return {
            "model": self.model,
            "preset": self.preset,
            "mode": mode,
            "ours_ms": 1e3 * our_seconds,
            "torch_ms": 1e3 * their_seconds,
            "ratio": float(np.median(ratios)),
            "ratio_range": [float(ratios.min()), float(ratios.max())],
            "gflops": done / our_seconds / 1e9,
            "torch_gflops": done / their_seconds / 1e9,
            "compile_seconds": cold,
            "cached_compile_seconds": cached,
            "torch_variant": str(variant),
            "torch_variants_ms": {str(variant): 1e3 * least for variant, least in tried.items()},
            "logits_difference": difference,
        }

    def _compile(self, model: nnx.Module, images: Any, labels: Any, *, mode: Mode) -> tuple[Block, float, float]:
        """Our block, and the seconds that it takes to compile: with an empty cache, and with a filled one."""
        seconds = []
        with tempfile.TemporaryDirectory() as cache:
            jax.config.update("jax_compilation_cache_dir", cache)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
            for _ in range(2):
                jax.clear_caches()
                self._forget_cache()
                started = time.perf_counter()
                block = our_block(model, images, labels, mode=mode)
                seconds.append(time.perf_counter() - started)
        self.send("compiled", model=self.model, preset=self.preset, mode=mode, seconds=seconds)
        return block, *seconds

    @staticmethod
    def _forget_cache() -> None:
        from jax.experimental.compilation_cache import compilation_cache

        compilation_cache.reset_cache()

    def _fastest(self, model: nnx.Module, images: Any, labels: Any, *, mode: Mode) -> tuple[Variant, dict]:
        tried = {}
        for variant in self.variants:
            block = torch_block(model, images, labels, mode=mode, variant=variant)
            steps = _steps(block)
            least = _seconds(block, steps)
            if not tried or least < HOPELESS * min(tried.values()):
                least = min(least, *(_seconds(block, steps) for _ in range(TRIALS - 1)))
            tried[variant] = least
            self.send(
                "tried", model=self.model, preset=self.preset, mode=mode, variant=str(variant), ms=1e3 * tried[variant]
            )
        return min(tried, key=lambda variant: tried[variant]), tried


def our_block(model: nnx.Module, images: Any, labels: Any, *, mode: Mode) -> Block:
    """The project's own forward pass, gradients and update, compiled."""
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
            smoothed = optax.smooth_labels(jax.nn.one_hot(labels, NUM_CLASSES), LABEL_SMOOTHING)
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


def torch_block(model: nnx.Module, images: Any, labels: Any, *, mode: Mode, variant: Variant) -> Block:
    """The same work in PyTorch."""
    torch.compiler.reset()  # or else, after a few variants, PyTorch goes back to eager without a word
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    peer: Any = torch_peer(model)
    peer = peer.to(memory_format=layout)
    inputs = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).contiguous(memory_format=layout)
    targets = torch.from_numpy(labels.astype(np.int64))
    if mode != "train":
        forward = torch.compile(peer.eval()) if variant.compiled else peer.eval()

        def infer() -> Any:
            with torch.inference_mode():
                return forward(inputs)

        return infer

    def loss_fn() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(peer(inputs), targets, label_smoothing=LABEL_SMOOTHING)

    peer.train()
    decayed = [param for param in peer.parameters() if param.ndim > 1]
    others = [param for param in peer.parameters() if param.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": RECIPE.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(
        groups, lr=RECIPE.peak_learning_rate, momentum=RECIPE.momentum, nesterov=True, fused=True
    )
    compute = torch.compile(loss_fn) if variant.compiled else loss_fn

    def block() -> Any:
        optimizer.zero_grad()
        loss = compute()
        loss.backward()
        optimizer.step()
        return loss

    return block


def logits_difference(model: nnx.Module, images: np.ndarray) -> float:
    """The largest difference between the logits of the two sides, by the largest logit."""
    model.eval()
    ours = np.asarray(model(jnp.asarray(images)))
    with torch.inference_mode():
        theirs = torch_peer(model).eval()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def matmul_peak() -> float:
    """GFLOP/s of the fastest square matrix product that either side does, float32."""
    best = 0.0
    for size in PEAK_SIZES:
        matrix = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
        ours, theirs = jax.jit(jnp.matmul), torch.matmul
        blocks = (
            functools.partial(lambda of, x: jax.block_until_ready(of(x, x)), ours, jnp.asarray(matrix)),
            functools.partial(theirs, *[torch.from_numpy(matrix)] * 2),
        )
        least = min(_seconds(block, _steps(block)) for block in blocks for _ in range(TRIALS))
        best = max(best, 2 * size**3 / least / 1e9)
    return best


def _steps(block: Block) -> int:
    """How often a block is run in one measurement; runs it to warm up."""
    block()
    seconds = _seconds(block, 1)
    if seconds < LEAST_SECONDS:
        seconds = statistics.median([seconds, _seconds(block, 1), _seconds(block, 1)])
    return math.ceil(LEAST_SECONDS / seconds)


def _seconds(block: Block, steps: int) -> float:
    started = time.perf_counter()
    for _ in range(steps):
        block()
    return (time.perf_counter() - started) / steps


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
