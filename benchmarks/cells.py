"""Runs one cell of the sweep in a process of its own, `benchmarks.cell_process`.

A process for each cell makes its peak memory its own, and keeps a crash, a kill for want of memory or a divergence
from touching the others. The request is one JSON line on the child's standard input; events come back as JSON lines on
its standard output; whatever libraries print goes to `OUT/logs/CELL.log`. The input stays open while the parent lives:
when it closes, the child ends.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.results import SCHEMA, Row
from jax_models.training.config import TrainConfig

Event = dict[str, Any]
"""Progress of a cell: {"event": "step", "done", "total"} or {"event": "epoch"} with the fields of an `EpochRecord`."""

COMMAND = (sys.executable, "-m", "benchmarks.cell_process")

# Big buffers come from the heap and stay there, in huge pages: fresh pages for each call cost 8 % of a ResNet-18 step.
# glibc reads these at the start of a process, so only the one who starts it can set them.
FAST_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2**40),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def cell_environment(platform: str) -> dict[str, str]:
    """The environment of a cell's process on a platform ("cpu", "gpu", "tpu"); what the user has set wins."""
    fast = FAST_MALLOC if platform == "cpu" and sys.platform == "linux" else {}
    return {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONFAULTHANDLER": "1", **fast, **os.environ}


def identity(config: TrainConfig) -> Row:
    """The fields by which a row is known, the same whether the cell finished or failed."""
    names = ("model", "dataset", "preset", "seed", "epochs", "batch_size")
    fields = {name: getattr(config, name) for name in names}
    recipe = dataclasses.asdict(config.recipe)
    return {"cell": config.cell, **fields, "recipe": recipe, "recipe_hash": config.recipe_hash}


def log_path(out: Path, cell: str) -> Path:
    """Where the messages of a cell's process are kept."""
    return out / "logs" / f"{cell.replace('/', '-')}.log"


def run_cell(
    config: TrainConfig,
    *,
    out: Path,
    data_dir: Path | None,
    environment: Mapping[str, str],
    on_event: Callable[[Event], None],
) -> Row:
    """Trains and judges one cell in a child process; returns its row, whose status tells how it went.

    A Ctrl-C (or any other exception in `on_event`) ends the child before it goes on upwards.
    """
    log = log_path(out, config.cell)
    log.parent.mkdir(parents=True, exist_ok=True)
    request = {name: value for name, value in identity(config).items() if name != "recipe"}
    started, clock = datetime.datetime.now(datetime.UTC), time.monotonic()
    with log.open("w") as messages:
        child = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            env=dict(environment),
        )
    try:
        result = _follow(child, request | {"data_dir": str(data_dir) if data_dir else None}, on_event)
        code = child.wait()
    finally:
        _end(child)
    result = result or {"status": "failed", "error": _cause_of_death(code, log)}
    return {
        "schema": SCHEMA,
        "status": result.pop("status"),
        "error": result.pop("error"),
        **identity(config),
        **result,
        "wall_seconds": time.monotonic() - clock,
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _follow(child: subprocess.Popen[str], request: Row, on_event: Callable[[Event], None]) -> Row | None:
    """Passes on the child's events; returns the result it sent, or None if it ended without one."""
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it died at once; its exit code and its log say why
        child.stdin.write(json.dumps(request) + "\n")
        child.stdin.flush()
    result = None
    for line in child.stdout:
        try:
            event = json.loads(line)
        except ValueError:  # the child was killed in mid-line
            continue
        if event["event"] == "result":
            result = event["row"]
        else:
            on_event(event)
    return result


def _end(child: subprocess.Popen[str]) -> None:
    """Ends the child if it still runs, gently at first, and frees the pipes."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    for pipe in (child.stdin, child.stdout):
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def _cause_of_death(code: int, log: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (", most likely for want of memory" if name == "SIGKILL" else "")
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"ended with code {code}: {lines[-1].strip() if lines else 'no message'}"
