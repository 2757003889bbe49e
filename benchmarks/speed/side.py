"""What the process of either side does: it makes a block of work ready when it is told to, and measures it when asked.

Requests and answers are lines of JSON, on standard input and output.
"""

import abc
import contextlib
import json
import math
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx

from benchmarks.cells import RUN_IN_THIS_THREAD
from jax_models.data.batches import IMAGE_SIZE
from jax_models.registry import create_model
from jax_models.training.config import OptimizerConfig

Mode = Literal["train", "infer1", "infer128"]
Block = Callable[[], Any]
"""Does one step and returns when it is done."""

NUM_CLASSES, CHANNELS, BATCH_SIZE = 10, 3, 128
BATCHES: dict[Mode, int] = {"train": BATCH_SIZE, "infer1": 1, "infer128": BATCH_SIZE}
RECIPE = OptimizerConfig(optimizer="sgd", peak_learning_rate=0.001, weight_decay=5e-4, momentum=0.9)
LABEL_SMOOTHING = 0.1
CHECKED_IMAGES = 8  # whose logits both sides tell
TURN_SECONDS = 0.1  # at least, of a turn: a quick step is taken as often as this needs
PAUSE_SECONDS = 0.02  # before a turn: the other side's threads may still be spinning
WARM_UP = 0.25  # of a turn's steps, before the clock starts
PEAK_SIZES = (1024, 2048)  # of square matrices, float32
TRIALS = 20  # turns of a product, the least of which counts


class Side(abc.ABC):
    """One of the two: "prepare" makes a block of a network and mode ready, "measure" times a turn, "peak" products."""

    block: Block
    steps: int

    @abc.abstractmethod
    def make(self, model: nnx.Module, images: np.ndarray, labels: np.ndarray, **request: Any) -> dict[str, Any]:
        """Sets `block` for "mode", and gives what the parent is to know of it, its "logits" among them."""

    @abc.abstractmethod
    def product(self, matrix: np.ndarray) -> Block:
        """A block that multiplies the matrix by itself."""

    def prepare(self, *, model: str, preset: str, mode: Mode, **request: Any) -> dict[str, Any]:
        """The same weights, images and labels on both sides, which the logits show."""
        network = create_model(model, num_classes=NUM_CLASSES, in_channels=CHANNELS, preset=preset)
        rng = np.random.default_rng(0)
        images = rng.normal(size=(BATCHES[mode], IMAGE_SIZE, IMAGE_SIZE, CHANNELS)).astype(np.float32)
        labels = rng.integers(NUM_CLASSES, size=len(images)).astype(np.int32)
        told = self.make(network, images, labels, mode=mode, **request)
        self.steps = steps_of(self.block)
        return told

    def measure(self) -> dict[str, Any]:
        """The mean seconds of a step, of as many as a turn has.

        In training a step follows another. Here the other side had the caches and cores before: short steps warm up.
        """
        time.sleep(PAUSE_SECONDS)
        if self.steps > 1:
            seconds_of(self.block, math.ceil(WARM_UP * self.steps))
        return {"seconds": seconds_of(self.block, self.steps)}

    def peak(self) -> dict[str, Any]:
        """GFLOP/s of the fastest square matrix product, float32."""
        best = 0.0
        for size in PEAK_SIZES:
            block = self.product(np.random.default_rng(0).normal(size=(size, size)).astype(np.float32))
            steps = steps_of(block)
            best = max(best, 2 * size**3 / min(seconds_of(block, steps) for _ in range(TRIALS)) / 1e9)
        return {"gflops": best}


def serve(side: Side) -> None:
    """Answers requests {"do": a name, its arguments} until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches us too; the parent decides
    jax.config.update("jax_platforms", "cpu")
    jax.config.update(*RUN_IN_THIS_THREAD)
    deeds = {"prepare": side.prepare, "measure": side.measure, "peak": side.peak}
    with os.fdopen(os.dup(1), "w", buffering=1) as channel, contextlib.suppress(BrokenPipeError):
        os.dup2(2, 1)  # prints of libraries go to standard error
        for line in sys.stdin:
            request = json.loads(line)
            answer = deeds[request.pop("do")](**request)
            channel.write(json.dumps({"event": "done", **answer}, allow_nan=False) + "\n")


def steps_of(block: Block) -> int:
    """How often a block is run in one turn; runs it to warm up."""
    block()
    seconds = seconds_of(block, 1)
    if seconds < TURN_SECONDS:
        seconds = statistics.median([seconds, seconds_of(block, 1), seconds_of(block, 1)])
    return math.ceil(TURN_SECONDS / seconds)


def seconds_of(block: Block, steps: int) -> float:
    """The mean of so many steps."""
    started = time.perf_counter()
    for _ in range(steps):
        block()
    return (time.perf_counter() - started) / steps
