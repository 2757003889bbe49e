"""The process of one cell: `python -m benchmarks.cell_process`, started by `benchmarks.cells.CellProcess`."""

import dataclasses
import json
import math
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from benchmarks import cost, provenance, run_files
from benchmarks.cells import RUN_IN_THIS_THREAD, Event
from benchmarks.predictions import Predictions
from benchmarks.results import Row
from jax_models.classification import FitResult, fit
from jax_models.data import Dataset, load_dataset
from jax_models.data.batches import IMAGE_SIZE
from jax_models.errors import RunError, UsageError
from jax_models.evaluation import evaluate
from jax_models.recipes import TrainConfig, resolve_config
from jax_models.training.checkpoint import DamagedCheckpoint
from jax_models.training.loop import Diverged

SECONDS_BETWEEN_STEP_EVENTS = 0.2


def main() -> None:
    """Reads a request from standard input, trains, and writes events and the result to what was standard output."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # those of a terminal or a batch system reach us too; the parent decides
    with os.fdopen(os.dup(1), "w", buffering=1) as channel:
        os.dup2(2, 1)  # prints of libraries go to the log
        request = json.loads(_read_line())
        jax.config.update(*RUN_IN_THIS_THREAD)
        training, stop = threading.Event(), threading.Event()
        threading.Thread(target=_follow_parent, args=(training, stop), daemon=True).start()

        def send(event: Event) -> None:
            training.set()
            channel.write(json.dumps(event, allow_nan=False) + "\n")
            if stop.is_set() and event["event"] == "epoch" and event["epoch"] < request["epochs"]:
                os._exit(0)  # the epoch is saved

        try:
            send({"event": "result", "row": {"status": "ok", "error": None} | train_cell(request, send)})
        except Exception as error:
            traceback.print_exc()
            send({"event": "result", "row": _failure(error)})


def train_cell(request: Row, send: Callable[[Event], None]) -> Row:
    """Trains on the train split, then opens the test split once; returns the measured fields of the row.

    Checkpoints, predictions and weights go to the folder `request["out"]`. A run of this cell that was stopped goes on
    from its last epoch, if the code is of the same commit.
    """
    commit = provenance.commit()  # before training, during which the checkout may change
    lengths = {name: request[name] for name in ("preset", "seed", "epochs", "batch_size")}
    config = resolve_config(request["model"], request["dataset"], **lengths)
    if config.cell != request["cell"]:
        raise RunError(f"the recipe changed while the sweep ran: asked for {request['cell']}, found {config.cell}")
    out = Path(request["out"])
    dataset = load_dataset(config.dataset, data_dir=request["data_dir"], progress=False)
    fitted = _fit(
        config, dataset, folder=run_files.checkpoint_folder(out, config.cell, code=provenance.code()), send=send
    )
    validated = evaluate(fitted.model, dataset.validation, dataset.spec)
    judged = evaluate(fitted.model, dataset.test, dataset.spec)
    splits = {
        "validation": Predictions(validated.probabilities, dataset.validation.labels),
        "test": Predictions(judged.probabilities, dataset.test.labels),
    }
    scores = {"test": judged.metrics, "test_size": len(dataset.test.labels), "num_params": fitted.num_params}
    return {
        "num_params": fitted.num_params,
        "flops": cost.forward_flops(fitted.model, (IMAGE_SIZE, IMAGE_SIZE, dataset.spec.shape[-1])),
        "train_seconds": fitted.train_seconds,
        "compile_seconds": fitted.compile_seconds,
        "step_ms": _known(fitted.step_ms),
        "images_per_second": _known(fitted.images_per_second),
        "peak_memory_bytes": cost.peak_memory_bytes(),
        "validation": validated.metrics,
        "test": judged.metrics,
        "per_class": judged.per_class,
        "confusion_matrix": judged.confusion_matrix,
        "history": [dataclasses.asdict(record) for record in fitted.history],
        "predictions": run_files.save_predictions(out, config, splits),
        "weights": run_files.save_weights(out, config, fitted.model, scores=scores),
        "versions": provenance.versions(),
        "device": provenance.device(),
        "commit": commit,
        "data_hashes": dataset.hashes,
    }


def _fit(config: TrainConfig, dataset: Dataset, *, folder: Path, send: Callable[[Event], None]) -> FitResult:
    """Trains with checkpoints; those that do not serve are thrown away, and the run begins anew."""
    tell: dict[str, Any] = {
        "on_epoch": lambda record: send({"event": "epoch", **dataclasses.asdict(record)}),
        "on_step": _occasionally(lambda done, total: send({"event": "step", "done": done, "total": total})),
    }
    try:
        return fit(config, dataset, checkpoint_dir=folder, **tell)
    except (DamagedCheckpoint, UsageError) as error:
        if not folder.exists():
            raise
        print(f"{error}: trained anew instead", flush=True)
        shutil.rmtree(folder)
        return fit(config, dataset, checkpoint_dir=folder, **tell)


def _known(value: float) -> float | None:
    """None for what a run that went on after its last epoch has not measured."""
    return value if math.isfinite(value) else None


def _failure(error: Exception) -> Row:
    status = "diverged" if isinstance(error, Diverged) else "failed"
    kind = "" if isinstance(error, UsageError | RunError) else f"{type(error).__name__}: "
    lines = str(error).strip().splitlines() or ["no message"]
    return {"status": status, "error": kind + lines[0]}


def _occasionally(report: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Passes on a few calls a second, and the last."""
    due = 0.0

    def maybe(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due or done == total:
            due = time.monotonic() + SECONDS_BETWEEN_STEP_EVENTS
            report(done, total)

    return maybe


def _read_line() -> bytes:
    """A line of standard input and nothing after it, which is for `_follow_parent`."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def _follow_parent(training: threading.Event, stop: threading.Event) -> None:
    while os.read(0, 1):  # the parent asks to stop
        if not training.is_set():
            os._exit(0)
        stop.set()
    os._exit(1)  # the parent is gone: nobody waits for the result


if __name__ == "__main__":
    main()
