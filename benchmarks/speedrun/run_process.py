"""The process of one run: `python -m benchmarks.speedrun.run_process`, started by `benchmarks.speedrun`.

The request is one JSON line on standard input; steps, epochs and the row come as JSON lines on standard output.
"""

import dataclasses
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import cost, provenance
from benchmarks.cells import RUN_IN_THIS_THREAD
from benchmarks.speedrun import DATASET
from benchmarks.speedrun.training import (
    AS_IT_IS,
    SIX_VIEWS,
    SpeedRecipe,
    SpeedRun,
    View,
    accuracy,
    predict,
    train,
    usual_dtype,
)
from jax_models.data import Dataset, Split, load_dataset
from jax_models.errors import RunError, UsageError

Row = dict[str, Any]


def main() -> None:
    """Reads the request, trains, judges, and writes events and then the row to what was standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches us too; the parent decides
    with os.fdopen(os.dup(1), "w", buffering=1) as channel:
        os.dup2(2, 1)  # prints of libraries go to standard error
        request = json.loads(sys.stdin.readline())
        jax.config.update(*RUN_IN_THIS_THREAD)
        jax.config.update("jax_enable_compilation_cache", False)  # compiling counts: every run does it anew

        def send(kind: str, **fields: Any) -> None:
            channel.write(json.dumps({"event": kind, **fields}, allow_nan=False) + "\n")

        try:
            send("row", row=run_seed(request, send))
        except (UsageError, RunError) as error:
            send("error", error=str(error))


def run_seed(request: Row, send: Callable[..., None]) -> Row:
    """One seed from images to the measured fields of its row; its checkpoints lie in `request["checkpoints"]`."""
    commit = provenance.commit()  # before training, during which the checkout may change
    recipe = SpeedRecipe(**request["recipe"])
    dataset = load_dataset(DATASET, data_dir=request["data_dir"], progress=False)
    split = dataset.train if request["hold_out"] else dataset.official_train
    dtype = jnp.dtype(request["dtype"] or usual_dtype())
    run = train(
        recipe,
        request["seed"],
        split,
        dataset.spec,
        dtype=dtype,
        checkpoint_dir=Path(request["checkpoints"]),
        on_epoch=lambda record: send("epoch", epoch=record.epoch, train_accuracy=record.train_accuracy),
        on_step=lambda done, total: send("step", done=done, total=total),
    )
    send("judging")
    judged = dataset.validation if request["hold_out"] else dataset.test
    return {
        "dtype": dtype.name,
        "num_params": run.num_params,
        "train_flops": train_flops(run, recipe, images=len(split)),
        "train_seconds": run.train_seconds,
        "compile_seconds": run.compile_seconds,
        "resumed_epochs": run.resumed_epochs,
        **judge(run, judged, dataset),
        "judged_images": len(judged),
        "history": [
            {name: value for name, value in dataclasses.asdict(record).items() if math.isfinite(value)}
            for record in run.history
        ],
        "peak_memory_bytes": cost.peak_memory_bytes(),
        "versions": provenance.versions(),
        "device": provenance.device(),
        "commit": commit,
        "data_hashes": dataset.hashes,
    }


def judge(run: SpeedRun, split: Split, dataset: Dataset) -> Row:
    """Accuracies of the mean over six views and of the images as they are, and the seconds that the views take."""

    def judged(views: Mapping[View, float]) -> float:
        return accuracy(predict(run.network, run.variables, split.images, dataset.spec, views=views), split)

    started = time.perf_counter()
    accuracies = {"accuracy": judged(SIX_VIEWS)}
    seconds = time.perf_counter() - started
    return accuracies | {"plain_accuracy": judged(AS_IT_IS), "judge_seconds": seconds}


def train_flops(run: SpeedRun, recipe: SpeedRecipe, *, images: int) -> int:
    """Of convolutions and matrix products in all steps: three forward passes each, as gradients cost two of them."""
    model = run.network.assemble(*run.variables)
    small, full = (cost.forward_flops(model, (size, size, 3)) for size in (recipe.small_size, 32))
    seen = images // recipe.batch_size * recipe.batch_size
    return 3 * seen * (recipe.small_epochs * small + (recipe.epochs - recipe.small_epochs) * full)


if __name__ == "__main__":
    main()
