"""Runs the cells of a sweep, each in a process of its own, `benchmarks.cell_process`.

A process for each cell makes its peak memory its own, and keeps a crash, a kill for want of memory or a divergence
from touching the others. The request is one JSON line on the child's standard input; events come back as JSON lines on
its standard output; whatever libraries print goes to `OUT/logs/CELL.log`. The input stays open while the parent lives:
when it closes, the child ends; a byte on it asks the child to end after its epoch, which is then saved.

Cells run side by side, each on its own share of the cores (see `benchmarks.shares`).
"""

import collections
import contextlib
import datetime
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from benchmarks.results import SCHEMA, Row
from benchmarks.run_files import file_name
from benchmarks.shares import Cores
from benchmarks.signals import held_signals
from jax_models.recipes import TrainConfig

Event = dict[str, Any]
"""Progress of a cell: {"event": "step", "done", "total"} or {"event": "epoch"} with the fields of an `EpochRecord`."""

COMMAND = (sys.executable, "-m", "benchmarks.cell_process")
SECONDS_BETWEEN_LOOKS = 0.25  # at whether the sweep is asked to stop, while no cell has anything to tell

# Big buffers come from one heap and stay there, in huge pages: fresh pages for each call cost 8 % of a ResNet-18 step.
# That heap is the main thread's (those of other threads hold 64 MiB): programs must run there (`RUN_IN_THIS_THREAD`).
# glibc reads these when a process starts.
RUN_IN_THIS_THREAD = ("jax_cpu_enable_async_dispatch", False)  # for `jax.config.update` in the process
FAST_MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_MMAP_THRESHOLD_": str(2**40),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def cell_environment(platform: str, *, side_by_side: int = 1) -> dict[str, str]:
    """The environment of a cell's process on a platform ("cpu", "gpu", "tpu"); what the user has set wins."""
    memory = FAST_MALLOC if platform == "cpu" and sys.platform == "linux" else {}
    if platform != "cpu" and side_by_side > 1:
        memory = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # or the first cell would take most of the device's
    return {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONFAULTHANDLER": "1", **memory, **os.environ}


def identity(config: TrainConfig) -> Row:
    """The fields by which a row is known, the same whether the cell finished or failed."""
    return {"cell": config.cell, **config.to_fields(), "recipe_hash": config.recipe_hash}


def log_path(out: Path, cell: str) -> Path:
    """Where the messages of a cell's process are kept."""
    return out / "logs" / f"{file_name(cell)}.log"


class CellProcess:
    """One cell at work in a child process: `read` its events until it has `ended`, take its `row`, then `end` it."""

    def __init__(
        self,
        config: TrainConfig,
        *,
        out: Path,
        data_dir: Path | None,
        environment: Mapping[str, str],
        cores: Cores = None,
    ) -> None:
        """Starts the child, on these processor cores alone where the system can do that."""
        self.config, self.ended, self.stopped = config, False, False
        self._result: Row | None = None
        self._rest = b""
        self._log = log_path(out, config.cell)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._started, self._clock = datetime.datetime.now(datetime.UTC), time.monotonic()
        with self._log.open("w") as messages:
            self._child = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=messages,
                bufsize=0,
                env=dict(environment),
            )
        if cores and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(OSError):  # it died at once; its exit code and its log say why
                os.sched_setaffinity(self._child.pid, cores)
        request = identity(config) | {"out": str(out), "data_dir": str(data_dir) if data_dir else None}
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(json.dumps(request).encode() + b"\n")

    def fileno(self) -> int:
        """The pipe to wait on: readable when there are events, or when the child has ended."""
        assert self._child.stdout is not None
        return self._child.stdout.fileno()

    def read(self) -> list[Event]:
        """The events that have come, after waiting for some; sets `ended` when there will be no more."""
        data = os.read(self.fileno(), 2**16)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        events = []
        for line in lines:
            event = json.loads(line)
            if event["event"] == "result":
                self._result = event["row"]
            else:
                events.append(event)
        return events

    def stop(self) -> None:
        """Asks the child to end when its epoch is done and saved; at once if it does not train yet."""
        self.stopped = True
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write(b"s")

    @property
    def has_result(self) -> bool:
        """Whether the child has told how it went."""
        return self._result is not None

    def row(self) -> Row:
        """The cell's row, whose status tells how it went; to be asked for once the child has ended."""
        code = self._child.wait()
        result = self._result or {"status": "failed", "error": _cause_of_death(code, self._log)}
        return {
            "schema": SCHEMA,
            "status": result["status"],
            "error": result["error"],
            **identity(self.config),
            **result,
            "wall_seconds": time.monotonic() - self._clock,
            "started": self._started.isoformat(timespec="seconds"),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }

    def end(self) -> None:
        """Ends the child if it still runs, gently at first, takes what it had still written, and frees the pipes."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        while not self.ended:
            self.read()
        assert self._child.stdout is not None
        self._child.stdout.close()


def run_cells(
    todo: Iterable[TrainConfig],
    start: Callable[[TrainConfig, Cores], CellProcess],
    *,
    shares: Sequence[Cores],
    keep: Callable[[Row], None],
    stop: threading.Event | None = None,
) -> Generator[tuple[TrainConfig, Event]]:
    """Runs cells side by side, one on each share of the cores, and tells what happens as it happens.

    Each cell's first event is {"event": "start"}, its last {"event": "row", "row": ...}; `keep` has the row by then.
    When `stop` is set no cell starts any more, and those at work end after their epoch: {"event": "stopping"}, then a
    row if that was the last epoch, else {"event": "stopped"}. Whatever ends the iteration early (close it, or Ctrl-C)
    ends the children too, and `keep` gets the rows of those that had sent a result. Main thread only.
    """
    waiting, free, stop = collections.deque(todo), collections.deque(shares), stop or threading.Event()
    with selectors.DefaultSelector() as selector:

        def at_work() -> list[CellProcess]:
            return [cast(CellProcess, key.fileobj) for key in selector.get_map().values()]

        try:
            while at_work() or (waiting and not stop.is_set()):
                while waiting and free and not stop.is_set():
                    cores, config = free.popleft(), waiting.popleft()
                    selector.register(start(config, cores), selectors.EVENT_READ, cores)
                    yield config, {"event": "start"}
                for key, _ in selector.select(SECONDS_BETWEEN_LOOKS):
                    process = cast(CellProcess, key.fileobj)
                    with held_signals():
                        events = process.read()
                    for event in events:
                        yield process.config, event
                    if process.ended:
                        last = _last_event(process, stopping=stop.is_set())
                        with held_signals():
                            if last["event"] == "row":
                                keep(last["row"])
                            selector.unregister(process)
                            process.end()
                        free.append(key.data)
                        yield process.config, last
                if stop.is_set():
                    for process in [process for process in at_work() if not process.stopped]:
                        process.stop()
                        yield process.config, {"event": "stopping"}
        finally:
            with held_signals():
                left = at_work()
                for process in left:
                    process.end()
                for process in left:
                    if process.has_result:
                        keep(process.row())


def _last_event(process: CellProcess, *, stopping: bool) -> Event:
    """A terminal's Ctrl-C may end a child that has not come to ignore it yet: that is no failure."""
    if stopping and not process.has_result:
        return {"event": "stopped"}
    return {"event": "row", "row": process.row()}


def _cause_of_death(code: int, log: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}" + (", most likely for want of memory" if name == "SIGKILL" else "")
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"ended with code {code}: {lines[-1].strip() if lines else 'no message'}"
