"""A cell's process: its environment, the fields by which its row is known, and that no finished row is lost."""

import datetime
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from report_rows import make_row

from benchmarks import cells
from benchmarks.report import summarise, write_report
from benchmarks.results import append_row, read_rows
from benchmarks.signals import held_signals
from jax_models.errors import RunError
from jax_models.recipes import resolve_config
from jax_models.registry import MODELS


def test_the_environment_makes_malloc_keep_memory_only_on_the_cpu_and_the_users_settings_win(monkeypatch):
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "12345")
    on_cpu, on_gpu = cells.cell_environment("cpu", side_by_side=2), cells.cell_environment("gpu")
    assert on_cpu["MALLOC_MMAP_THRESHOLD_"] == on_gpu["MALLOC_MMAP_THRESHOLD_"] == "12345"
    assert ("MALLOC_TRIM_THRESHOLD_" in on_cpu) == (sys.platform == "linux")
    assert "MALLOC_TRIM_THRESHOLD_" not in on_gpu


def test_cells_side_by_side_on_an_accelerator_leave_each_other_memory(monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    assert cells.cell_environment("gpu", side_by_side=2)["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in cells.cell_environment("gpu", side_by_side=1)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_the_environment_keeps_big_buffers_on_the_heap(monkeypatch):
    for name in cells.FAST_MALLOC:
        monkeypatch.delenv(name, raising=False)
    code = (
        "import ctypes; libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p; libc.malloc(500 << 20)\n"
        "heap = next(line for line in open('/proc/self/maps') if '[heap]' in line).split()[0].split('-')\n"
        "print((int(heap[1], 16) - int(heap[0], 16)) >> 20)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=cells.cell_environment("cpu"), capture_output=True, text=True, check=True
    )
    assert int(done.stdout) >= 500


def test_a_row_is_known_by_the_whole_configuration():
    config = resolve_config("vgg16", "mnist", preset="quick", seed=3, epochs=2, batch_size=20)
    row = json.loads(json.dumps(cells.identity(config)))
    assert row["cell"] == f"vgg16/mnist/quick/s3/e2/b20/{row['recipe_hash']}"
    assert [row[name] for name in ("model", "dataset", "preset", "seed")] == ["vgg16", "mnist", "quick", 3]
    assert row["architecture"]["channels"] == list(MODELS["vgg16"].presets["quick"]["channels"])
    assert row["recipe"]["optimizer"] == "muon"


# Stand-ins for a cell's process: each tells what it does by a file, and those that stay do so until they are ended.
RESULT = """print('{"event": "result", "row": {"status": "ok", "error": null, "flops": 7}}', flush=True)"""
TELL = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch()"
STAY = "time.sleep(120)"


def run_stand_ins(monkeypatch, tmp_path: Path, *code: str, keep, count: int = 1):
    """Events of `run_cells` over that many cells, and the processes that it starts."""
    monkeypatch.setattr(cells, "COMMAND", (sys.executable, "-c", "\n".join(code), str(tmp_path / "told")))
    processes = []

    def start(config, cores):
        processes.append(cells.CellProcess(config, out=tmp_path, data_dir=None, environment={}, cores=cores))
        return processes[-1]

    todo = [resolve_config("lenet5", "mnist", preset="quick", seed=seed) for seed in range(count)]
    return cells.run_cells(todo, start, shares=[None] * count, keep=keep), processes


@pytest.mark.parametrize(("code", "rows"), [((RESULT, TELL, STAY), 1), ((TELL, STAY), 0)])
def test_a_sweep_that_stops_keeps_a_result_that_is_still_in_the_pipe_and_makes_none_up(
    code, rows, monkeypatch, tmp_path
):
    kept = []
    events, _ = run_stand_ins(monkeypatch, tmp_path, *code, keep=kept.append)
    next(events)
    deadline = time.monotonic() + 60
    while not (tmp_path / "told").exists():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
    events.close()
    assert [(row["status"], row["flops"], row["seed"]) for row in kept] == [("ok", 7, 0)] * rows


def test_ctrl_c_while_a_row_is_written_waits_and_the_row_is_kept_once(monkeypatch, tmp_path):
    kept = []

    def keep(row):
        signal.raise_signal(signal.SIGINT)
        kept.append(row)

    events, _ = run_stand_ins(monkeypatch, tmp_path, RESULT, keep=keep)
    with pytest.raises(KeyboardInterrupt):
        list(events)
    assert [row["status"] for row in kept] == ["ok"]


def test_a_row_that_cannot_be_written_ends_all_processes(monkeypatch, tmp_path):
    def keep(row):
        raise RunError("disk full")

    only_the_first_ends = "import json, sys, time\nif json.loads(sys.stdin.readline())['seed']: time.sleep(120)"
    events, processes = run_stand_ins(monkeypatch, tmp_path, only_the_first_ends, RESULT, keep=keep, count=2)
    with pytest.raises(RunError, match="disk full"):
        list(events)
    assert [process.ended for process in processes] == [True, True]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_held_signals_come_when_the_block_is_done_and_handlers_are_as_before(number):
    done = []

    def work():
        with held_signals():
            signal.raise_signal(number)
            done.append("the rest of the block")

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert done
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_clock_that_goes_backwards_changes_no_duration(monkeypatch, tmp_path):
    class Backwards(datetime.datetime):
        later = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)

        @classmethod
        def now(cls, tz=None):
            cls.later -= datetime.timedelta(hours=1)
            return cls.later

    kept = []
    monkeypatch.setattr(cells.datetime, "datetime", Backwards)
    events, _ = run_stand_ins(monkeypatch, tmp_path, RESULT, keep=kept.append)
    list(events)
    (row,) = kept
    assert row["finished"] < row["started"]
    assert 0 < row["wall_seconds"] < 120
    append_row(tmp_path, make_row("lenet5", "mnist") | {name: row[name] for name in ("started", "finished")})
    write_report(summarise(read_rows(tmp_path)), tmp_path)
    assert "2026-03-01" in (tmp_path / "report.html").read_text()
