"""A sweep over a real Ray cluster on this machine: its rows are those of a sweep here, and losses are made good.

The cluster is one of two processors, started as users start theirs; its cells have the tiny data.
"""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from benchmarks import cells, compare, launchers, results, run_files
from benchmarks.predictions import load_predictions
from benchmarks.results import repeatable
from jax_models.errors import RunError, UsageError
from jax_models.output import locked
from jax_models.recipes import resolve_config

os.environ["RAY_AUTH_MODE"] = "disabled"  # or the user's token, if there is one, would be asked for
ray = pytest.importorskip("ray")

from benchmarks.launchers import ray_cluster, ray_run  # noqa: E402 - they import Ray

ROOT = Path(__file__).resolve().parents[2]
TINY = Path(__file__).with_name("tiny")
TODO = [resolve_config("lenet5", "mnist", preset="quick", seed=seed, epochs=2, batch_size=20) for seed in (0, 1)]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def wait_for(condition, *, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def head():
    """A cluster of this machine: its head's process, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2"]
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # sockets want short paths
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(TINY.parent)]),
            "TMPDIR": folder,
            "TINY_FAULT": "slow",
        }
        options = ["--port", address.rpartition(":")[2], "--temp-dir", folder]
        options += ["--include-dashboard", "false", "--disable-usage-stats"]
        log = Path(folder) / "head.log"
        with log.open("w") as messages:
            process = subprocess.Popen([*command, *options], env=environment, stdout=messages, stderr=messages)
        try:
            wait_for(lambda: process.poll() is not None or "Ray runtime started" in log.read_text())
            assert process.poll() is None, log.read_text()
            yield process, address
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def cluster(head):
    """The cluster as a sweep sees it, and the lines that it tells."""
    before = signal.getsignal(signal.SIGTERM)
    told = []
    with pytest.MonkeyPatch.context() as patch:
        from tiny.ray_worker import TinyCellWorker

        patch.setattr(ray_run, "CellWorker", TinyCellWorker)
        patch.delenv("JAX_PLATFORMS")
        try:
            joined = launchers.connect(head[1], tell=told.append)
            signal.signal(signal.SIGTERM, before)
            assert told[0].endswith(": 1 machine, 2 CPUs")
            yield joined, told
        finally:
            ray.shutdown()
            signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def local_rows(tmp_path_factory):
    """The rows of the same cells trained by processes of this machine."""
    out = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "COMMAND", (sys.executable, str(TINY / "cell.py")))
        patch.setattr(compare, "load_dataset", lambda name, data_dir: None)
        patch.setenv("PYTHONPATH", str(ROOT))
        assert compare.sweep(TODO, out=out, data_dir=None, console=Console(file=io.StringIO())) == []
    return by_seed(out)


def by_seed(out: Path) -> list[results.Row]:
    return [repeatable(row) for row in sorted(results.read_rows(out), key=lambda row: row["seed"])]


def cell_processes(head: subprocess.Popen) -> dict[int, psutil.Process]:
    """The cells' processes on the cluster by their seeds, which their logs' names tell."""
    found = {}
    for process in psutil.Process(head.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError):
            if str(TINY / "cell.py") in process.cmdline():
                log = os.readlink(f"/proc/{process.pid}/fd/2")
                found[int(log.partition("-quick-s")[2][0])] = process
    return found


def run(cluster, out: Path, *, at=lambda config, event: None, stop=None):
    """The events of the unfinished cells on the cluster, without steps; `at` is called with each, steps too."""
    joined, _ = cluster
    seen = []
    finished = results.finished_cells(results.read_rows(out))
    events = joined.run_cells(
        [config for config in TODO if config.cell not in finished],
        share=joined.share(jobs=None, small_cells=True),
        out=out,
        data_dir=None,
        keep=lambda row: results.append_row(out, row),
        stop=stop or threading.Event(),
    )
    with contextlib.closing(events):
        for config, event in events:
            at(config, event)
            if event["event"] != "step":
                seen.append((config.seed, event["event"], event.get("epoch")))
    return seen


def test_a_sweep_over_ray_gives_the_rows_and_files_of_a_sweep_here(cluster, local_rows, tmp_path):
    joined, _ = cluster
    assert joined.platform == "cpu"
    screen = io.StringIO()
    console = Console(file=screen, width=200)
    assert compare.sweep(TODO, out=tmp_path, data_dir=None, cluster=joined, console=console) == []
    assert by_seed(tmp_path) == local_rows
    assert "LeNet-5 on MNIST, seed 1: epoch 2/2, validation" in screen.getvalue()
    for row in results.read_rows(tmp_path):
        predictions = load_predictions(run_files.checked_path(tmp_path, row["predictions"]))
        assert predictions["test"].correct.mean() == row["test"]["accuracy"]
        assert run_files.checked_path(tmp_path, row["weights"]).stat().st_size > 4 * row["num_params"]
        assert cells.log_path(tmp_path, row["cell"]).exists()
    assert not list(tmp_path.glob("checkpoints/*"))


def test_a_cell_whose_worker_or_process_is_killed_runs_again(cluster, head, local_rows, tmp_path):
    _, told = cluster
    killed = {}

    def kill_once(config, event):
        if event["event"] == "epoch" and config.seed not in killed:
            process = cell_processes(head[0])[config.seed]
            killed[config.seed] = process
            os.kill(process.ppid() if config.seed == 0 else process.pid, signal.SIGKILL)

    seen = run(cluster, tmp_path, at=kill_once)
    assert by_seed(tmp_path) == local_rows
    for seed in (0, 1):
        told_once = [(seed, "start", None), (seed, "epoch", 1), (seed, "epoch", 2), (seed, "row", None)]
        assert [event for event in seen if event[0] == seed] == told_once
    assert sum("its worker was lost" in line for line in told) == 2
    assert any("seed 1: its worker was lost (killed by SIGKILL, most likely for want" in line for line in told)
    wait_for(lambda: not any(process.is_running() for process in killed.values()))


@pytest.mark.slow
def test_a_cell_that_takes_every_worker_down_is_a_failed_row_that_says_so(cluster, head, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_run, "TRIES", 2)

    def kill(config, event):
        if event["event"] == "step" and (process := cell_processes(head[0]).get(0)):
            os.kill(process.ppid(), signal.SIGKILL)

    run(cluster, tmp_path, at=kill)
    failed, fine = sorted(results.read_rows(tmp_path), key=lambda row: row["seed"])
    assert (failed["status"], fine["status"]) == ("failed", "ok")
    assert failed["error"].startswith("lost 2 workers, the last because: ")
    assert {name: failed[name] for name in cells.identity(TODO[0])} == cells.identity(TODO[0])


def test_a_sweep_that_is_asked_to_stop_brings_the_saved_epochs_here_and_goes_on_after_them(
    cluster, local_rows, tmp_path
):
    stop = threading.Event()
    seen = run(cluster, tmp_path, at=lambda config, event: event["event"] == "step" and stop.set(), stop=stop)
    assert {event for _, event, _ in seen} >= {"stopping", "stopped"}
    saved = {int(path.parent.name.partition("-s")[2][0]) for path in tmp_path.glob("checkpoints/*/1")}
    assert saved, "the cell whose step it was has one epoch"
    again = run(cluster, tmp_path)
    assert by_seed(tmp_path) == local_rows
    assert saved.isdisjoint(seed for seed, event, epoch in again if (event, epoch) == ("epoch", 1))


@pytest.mark.slow
def test_after_the_drivers_death_no_cell_is_left_at_work_and_the_same_command_finishes(head, tmp_path):
    process, address = head
    out = tmp_path / "out"
    options = ["--models", "lenet5", "--datasets", "mnist", "--preset", "quick", "--batch-size", "20", "--epochs", "2"]
    options += ["--launcher", "ray", "--ray-address", address, "--seeds", "2", "--jobs", "1", "--out", str(out)]
    command = [sys.executable, str(TINY / "ray_compare.py"), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}

    driver = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    wait_for(lambda: driver.poll() is not None or (results.read_rows(out) and cell_processes(process)))
    driver.kill()
    driver.wait()
    wait_for(lambda: not cell_processes(process), seconds=60)
    with locked(out):
        (first,) = results.read_rows(out)

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "1 of 2 cells are finished already" in done.stdout
    assert results.read_rows(out)[0] == first
    assert [(row["seed"], row["status"]) for row in results.read_rows(out)] == [(0, "ok"), (1, "ok")]
    assert (out / "report.html").exists()


def test_an_address_that_nothing_answers_at_is_one_line():
    with pytest.raises(UsageError, match="Ray client server"):
        ray_cluster.connect("ray://10.0.0.5:10001", tell=print)
    with pytest.raises(RunError, match="cannot join a Ray cluster at nonsense"):
        ray_cluster.connect("nonsense", tell=print)
