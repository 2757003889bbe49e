"""One of the processes of `test_distributed.py`: trains and fails with the other, and writes down what it saw.

`python distributed_process.py FOLDER HOST:PORT COUNT ID`
"""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import toy
from flax import nnx

from jax_models import __main__ as command
from jax_models.classification import FitResult, fit
from jax_models.data import Dataset
from jax_models.errors import RunError, UsageError, run_cli
from jax_models.recipes import TrainConfig
from jax_models.training.checkpoint import Checkpoints
from jax_models.training.distributed import together

COMMAND = ["--model", "resnet18", "--dataset", "mnist"]


class Stopped(Exception):
    """Ends a run after its first epoch."""


def case(*, batch_size: int = 18) -> TrainConfig:
    """Random in every way there is, augmentation and dropout; with batch normalisation and averages of weights."""
    lenet = toy.config(
        epochs=2, batch_size=batch_size, peak_learning_rate=0.1, crop_padding=2, flip=True, ema_decay=0.9
    )
    architecture = {"channels": (4,), "repeats": (1,), "stem_stride": 2, "dropout_rate": 0.2}
    return dataclasses.replace(lenet, model="resnet18", architecture=architecture)


def dataset(name: str = "mnist", **options: object) -> Dataset:
    """A stand-in for `load_dataset`; two devices do not share the 23 test images evenly."""
    return toy.dataset(open_test=lambda: toy.draw(23, seed=1))


def run_command(*options: str, stop: bool = False) -> FitResult:
    """What the command trains, on the toy data: `case`, for one epoch less if it is to stop."""
    fitted = []

    def fit_and_keep(*arguments: Any, on_epoch: Any, **settings: Any) -> FitResult:
        def after(record: object) -> None:
            on_epoch(record)
            if stop:
                raise Stopped

        fitted.append(fit(*arguments, on_epoch=after, **settings))
        return fitted[0]

    command.fit, command.load_dataset, command.resolve_config = fit_and_keep, dataset, lambda *_, **__: case()
    command.main([*COMMAND, *options])
    return fitted[0]


def weights(fitted: FitResult) -> dict[str, np.ndarray]:
    """By path in the model."""
    leaves = jax.tree_util.tree_leaves_with_path(nnx.state(fitted.model))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def main(folder: Path, coordinator: str, count: str, process: str) -> None:
    """Writes `seenID.json` and `weightsID.npz` to the folder; its last act is a command that fails on process 1."""
    cluster = ["--coordinator", coordinator, "--num-processes", count, "--process-id", process]
    out = str(folder / "out")
    with contextlib.suppress(Stopped):
        run_command("--distributed", *cluster, "--out", out, stop=True)
    fitted = run_command("--out", out)
    arrays: Any = weights(fitted)
    np.savez(folder / f"weights{process}.npz", **arrays)

    errors: list[str] = []

    @contextlib.contextmanager
    def expected() -> Iterator[None]:
        try:
            yield
        except (UsageError, RunError) as error:
            errors.append(f"{type(error).__name__}: {error}")

    with expected():
        fit(case(batch_size=9), dataset())
    with expected():
        fit(dataclasses.replace(case(), seed=int(process)), dataset())
    with expected():
        Checkpoints(folder / f"only on host {process}", "run")
    with expected(), together():
        if process == "1":
            raise RunError("a full disk")
    seen = {"devices": jax.device_count(), "losses": toy.losses(fitted.history), "errors": errors}
    (folder / f"seen{process}.json").write_text(json.dumps(seen))

    def load(name: str, **options: object) -> Dataset:
        if process == "1":
            raise RunError("no source has the data")
        return dataset()

    command.load_dataset = load
    run_cli(lambda: command.main([*COMMAND, "--out", str(folder / "failing")]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
