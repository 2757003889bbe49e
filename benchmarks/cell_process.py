"""The process of one cell: `python -m benchmarks.cell_process`, started by `benchmarks.cells.CellProcess`."""

import dataclasses
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable

import jax

from benchmarks import cost, provenance
from benchmarks.cells import RUN_IN_THIS_THREAD, Event
from benchmarks.results import Row
from jax_models.classification import fit
from jax_models.data import load_dataset
from jax_models.data.batches import IMAGE_SIZE
from jax_models.errors import RunError, UsageError
from jax_models.evaluation import evaluate
from jax_models.recipes import resolve_config
from jax_models.training.loop import Diverged

SECONDS_BETWEEN_STEP_EVENTS = 0.2


def main() -> None:
    """Reads a request from standard input, trains, and writes events and the result to what was standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches us too; the parent decides
    with os.fdopen(os.dup(1), "w", buffering=1) as channel:
        os.dup2(2, 1)  # prints of libraries go to the log
        request = json.loads(sys.stdin.readline())
        jax.config.update(*RUN_IN_THIS_THREAD)
        threading.Thread(target=_end_with_parent, daemon=True).start()

        def send(event: Event) -> None:
            channel.write(json.dumps(event, allow_nan=False) + "\n")

        try:
            send({"event": "result", "row": {"status": "ok", "error": None} | train_cell(request, send)})
        except Exception as error:
            traceback.print_exc()
            send({"event": "result", "row": _failure(error)})


def train_cell(request: Row, send: Callable[[Event], None]) -> Row:
    """Trains on the train split, then opens the test split once; returns the measured fields of the row."""
    commit = provenance.commit()  # before training, during which the checkout may change
    lengths = {name: request[name] for name in ("preset", "seed", "epochs", "batch_size")}
    config = resolve_config(request["model"], request["dataset"], **lengths)
    if config.cell != request["cell"]:
        raise RunError(f"the recipe changed while the sweep ran: asked for {request['cell']}, found {config.cell}")
    dataset = load_dataset(config.dataset, data_dir=request["data_dir"], progress=False)
    fitted = fit(
        config,
        dataset,
        on_epoch=lambda record: send({"event": "epoch", **dataclasses.asdict(record)}),
        on_step=_occasionally(lambda done, total: send({"event": "step", "done": done, "total": total})),
    )
    validated = evaluate(fitted.model, dataset.validation, dataset.spec)
    judged = evaluate(fitted.model, dataset.test, dataset.spec)
    return {
        "num_params": fitted.num_params,
        "flops": cost.forward_flops(fitted.model, (IMAGE_SIZE, IMAGE_SIZE, dataset.spec.shape[-1])),
        "train_seconds": fitted.train_seconds,
        "compile_seconds": fitted.compile_seconds,
        "step_ms": fitted.step_ms,
        "images_per_second": fitted.images_per_second,
        "peak_memory_bytes": cost.peak_memory_bytes(),
        "validation": validated.metrics,
        "test": judged.metrics,
        "per_class": judged.per_class,
        "confusion_matrix": judged.confusion_matrix,
        "history": [dataclasses.asdict(record) for record in fitted.history],
        "versions": provenance.versions(),
        "device": provenance.device(),
        "commit": commit,
        "data_hashes": dataset.hashes,
    }


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


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)  # the parent is gone: nobody waits for the result


if __name__ == "__main__":
    main()
