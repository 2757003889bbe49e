"""The sweep: wrong requests cost nothing, a bad cell harms no other, and a stopped sweep goes on where it was."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cells, compare, results, run_files
from benchmarks.predictions import load_predictions
from jax_models.errors import UsageError
from jax_models.output import locked
from jax_models.recipes import resolve_config
from jax_models.weight_files import load_weights

ROOT = Path(__file__).resolve().parents[2]
TINY = Path(__file__).with_name("tiny")
ONE_CELL = ("--preset", "quick", "--models", "lenet5", "--datasets", "mnist", "--epochs", "1", "--batch-size", "20")

Finished = subprocess.CompletedProcess[str]


def tiny_environment(fault: str = "") -> dict[str, str]:
    return {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "TINY_FAULT": fault, "COLUMNS": "200"}


def start_sweep(out: Path, *options: str, fault: str = "", **how: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(TINY / "compare.py"), *ONE_CELL, "--out", str(out), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=tiny_environment(fault), cwd=out.parent, **pipes, **how)


def run_sweep(out: Path, *options: str, fault: str = "") -> Finished:
    process = start_sweep(out, *options, fault=fault)
    stdout, stderr = process.communicate(timeout=240)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def wait_for(condition, *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """Processes started by a process, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--models", "nosuchnet"], "unknown model 'nosuchnet'; choose from: lenet5 alexnet"),
        (["--models", "resnet-18"], "did you mean resnet18"),
        (["--models", ","], "no model was named"),
        (["--datasets", "mnist,imagenet"], "unknown data set 'imagenet'"),
        (["--preset", "huge"], "--preset: invalid choice: 'huge'"),
        (["--epochs", "-3"], "--epochs: '-3' is not a whole number of at least 1"),
        (["--epochs", "two"], "--epochs: 'two' is not a whole number"),
        (["--seeds", "0"], "--seeds: '0' is not a whole number of at least 1"),
        (["--batch-size", "55000", "--datasets", "mnist"], "more than the 54,000 training images of mnist"),
        (["--out", "file/below"], "cannot write to file/below: Not a directory"),
        (["--epoch", "3"], "unrecognized arguments: --epoch 3"),
    ],
)
def test_a_wrong_request_is_a_usage_error_and_writes_nothing(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        compare.main(["--preset", "quick", *options])
    assert message in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_row_that_no_report_can_show_is_refused_before_training(tmp_path, monkeypatch):
    def train(*arguments: object, **options: object) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(compare, "sweep", train)
    row = {"cell": "a/b/c", "status": "ok", "model": "lenet5", "dataset": "mnist", "preset": "quick"}
    (tmp_path / "runs.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match="row a/b/c is not one that"):
        compare.main(["--preset", "quick", "--out", str(tmp_path)])


def test_a_wrong_name_is_one_line_and_exit_code_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.compare", "--models", "nosuchnet", "--out", str(tmp_path / "x")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: unknown model 'nosuchnet'")


def test_help_shows_examples_and_every_name(capsys):
    with pytest.raises(SystemExit):
        compare.main(["--help"])
    text = capsys.readouterr().out
    for word in ("examples:", "se_resnet18", "fashion_mnist", "runs.jsonl", "--fresh", "one core each", "exit codes"):
        assert word in text


def test_names_may_be_separated_by_spaces_or_commas_and_repeated():
    allowed = ("a", "b", "c")
    assert compare.choose(["b,a", "b"], allowed, kind="thing") == ["b", "a"]
    assert compare.choose(["b", "all"], allowed, kind="thing") == ["a", "b", "c"]


def test_a_sweep_records_failures_goes_on_and_runs_only_what_is_missing(tmp_path):
    out = tmp_path / "out"
    failed = run_sweep(out, "--seeds", "2", fault="nan")
    assert failed.returncode == 1
    assert "2 of 2 cells failed: LeNet-5 on MNIST, seed 0: the loss became nan" in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert [row["status"] for row in results.read_rows(out)] == ["diverged", "diverged"]

    pytest.importorskip("tensorboardX")
    first = run_sweep(out, "--track", "tensorboard", "--robustness", "--examples")
    assert (first.returncode, first.stderr) == (0, "")
    assert list((out / "tracking" / "tensorboard").rglob("events.*"))
    assert "robustness: LeNet-5 on MNIST" in first.stdout
    assert (out / "figures" / "robustness.png").exists()
    assert "epoch 1/1, validation" in first.stdout
    with (out / "runs.jsonl").open("a") as file:
        file.write('{"cell": "lenet5/mni')  # as a crash would leave it
    second = run_sweep(out, "--seeds", "2")
    assert second.returncode == 0
    assert "1 broken line" in second.stdout
    assert "1 of 2 cells are finished already" in second.stdout
    rows = results.read_rows(out)
    assert sorted((row["seed"], row["status"]) for row in rows[:2]) == [(0, "diverged"), (1, "diverged")]
    assert [(row["seed"], row["status"]) for row in rows[2:]] == [(0, "ok"), (1, "ok")]
    for name in ("table.md", "table.csv", "report.html"):
        assert (out / name).stat().st_size > 0
    assert list((out / "figures").glob("*.png"))
    check_row(rows[2])

    fresh = run_sweep(out, "--fresh", fault="kill")
    assert fresh.returncode == 1
    assert "killed by SIGKILL, most likely for want of memory" in fresh.stderr
    (old,) = out.glob("old-*")
    assert results.read_rows(old) == rows
    assert [row["status"] for row in results.read_rows(out)] == ["failed"]


def check_row(row: results.Row) -> None:
    """A finished row has every field that a reader needs, with sensible values."""
    assert row["cell"] == "lenet5/mnist/quick/s0/e1/b20/" + row["recipe_hash"]
    assert row["architecture"] == {}
    assert row["num_params"] == 61706
    assert row["flops"] == 2 * (28 * 28 * 25 * 6 + 10 * 10 * 25 * 6 * 16 + 400 * 120 + 120 * 84 + 84 * 10)
    assert 0 < row["train_seconds"] < row["wall_seconds"]
    assert 50 * 2**20 < row["peak_memory_bytes"] < 8 * 2**30
    for split in ("validation", "test"):
        assert set(row[split]) == {"accuracy", "precision", "recall", "f1", "loss"}
        assert 0 <= row[split]["accuracy"] <= 1
    assert sum(map(sum, row["confusion_matrix"])) == 60
    assert sum(one["support"] for one in row["per_class"]) == 60
    assert [record["epoch"] for record in row["history"]] == [1]
    assert row["versions"]["jax"]
    assert row["device"]["platform"] == "cpu"
    if hasattr(os, "sched_getaffinity"):
        assert row["device"]["cores"] == 1, "a lone cell, too, is held to one core"
    assert len(row["data_hashes"]) == 4
    assert row["predictions"]["path"].startswith("predictions/lenet5-mnist-quick-s0-")
    assert row["weights"]["path"].endswith(".safetensors")
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize(
    ("fault", "error"),
    [("crash", "KeyError: 'a bug\\nof two lines'"), ("exit", "ended with code 1: gone early")],
)
def test_a_cell_that_breaks_is_a_failed_row_with_its_reason(fault, error, tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "COMMAND", (sys.executable, str(TINY / "cell.py")))
    config = resolve_config("lenet5", "mnist", preset="quick", epochs=1, batch_size=20)

    def start(config, cores):
        environment = tiny_environment(fault)
        return cells.CellProcess(config, out=tmp_path, data_dir=None, environment=environment, cores=cores)

    kept = []
    *_, (_, last) = cells.run_cells([config], start, shares=[None], keep=kept.append)
    row = last["row"]
    assert kept == [row]
    assert (row["status"], row["error"]) == ("failed", error)
    assert {name: row[name] for name in cells.identity(config)} == cells.identity(config)
    assert row["wall_seconds"] > 0
    assert cells.log_path(tmp_path, config.cell).read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_stopped_sweep_leaves_no_process_behind_and_frees_its_folder(number, code, tmp_path):
    sweep = start_sweep(tmp_path / "out", fault="hang")
    wait_for(lambda: sweep.poll() is not None or any((tmp_path / "out").glob("logs/*")))
    wait_for(lambda: sweep.poll() is not None or children(sweep.pid))
    (child,) = children(sweep.pid)
    sweep.send_signal(number)
    _, stderr = sweep.communicate(timeout=60)
    assert sweep.returncode == code
    wait_for(lambda: not is_running(child), seconds=30)
    if code == 130:
        assert stderr == "error: interrupted; finished work is kept, run the same command to go on\n"
    with locked(tmp_path / "out"):
        assert results.read_rows(tmp_path / "out") == []


def test_a_second_sweep_into_the_same_folder_is_told_to_wait_and_touches_nothing(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with locked(out):
        second = run_sweep(out)
    assert second.returncode == 1
    assert second.stderr == f"error: another run is writing to {out}: wait until it ends, or choose another --out\n"
    assert [path.name for path in out.iterdir()] == [".lock"]


THREE_EPOCHS = ("--epochs", "3")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The row of a cell of three epochs that nothing disturbed."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert run_sweep(out, *THREE_EPOCHS).returncode == 0
    assert not list((out / "checkpoints").iterdir()), "a finished cell needs no checkpoints"
    (row,) = results.read_rows(out)
    predictions = load_predictions(run_files.checked_path(out, row["predictions"]))
    assert predictions["test"].correct.mean() == row["test"]["accuracy"]
    assert predictions["validation"].correct.mean() == row["validation"]["accuracy"]
    arrays, described = load_weights(run_files.checked_path(out, row["weights"]))
    assert sum(array.size for array in arrays.values()) == row["num_params"]
    assert described["test"] == row["test"]
    return row


def lasting(row: results.Row) -> results.Row:
    """What must be equal in two runs of a cell; the commit is not, when this checkout is worked on meanwhile."""
    return {name: value for name, value in results.repeatable(row).items() if name != "commit"}


def saved_epochs(out: Path) -> list[str]:
    return [path.name for path in out.glob("checkpoints/*/[0-9]*")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_waits_for_the_epochs_end_and_the_same_command_goes_on_after_it(number, tmp_path, undisturbed):
    out = tmp_path / "out"
    sweep = start_sweep(out, *THREE_EPOCHS, fault="slow")
    wait_for(lambda: sweep.poll() is not None or "1" in saved_epochs(out))
    sweep.send_signal(number)
    stdout, stderr = sweep.communicate(timeout=60)
    assert (sweep.returncode, stderr) == (
        130,
        "error: interrupted; finished work is kept, run the same command to go on\n",
    )
    assert "Stopping when the running cells' epochs are done" in stdout
    assert "epoch 2/3" in stdout
    assert sorted(saved_epochs(out)) == ["1", "2"]
    assert results.read_rows(out) == []

    again = run_sweep(out, *THREE_EPOCHS)
    assert (again.returncode, again.stderr) == (0, "")
    assert "epoch 1/3" not in again.stdout
    (row,) = results.read_rows(out)
    assert lasting(row) == lasting(undisturbed)


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    out = tmp_path / "out"
    sweep = start_sweep(out, "--epochs", "200", fault="slow")
    wait_for(lambda: sweep.poll() is not None or "1" in saved_epochs(out))
    sweep.send_signal(signal.SIGINT)
    wait_for(lambda: "Stopping" in sweep.stdout.readline())
    sweep.send_signal(signal.SIGINT)
    _, stderr = sweep.communicate(timeout=15)
    assert sweep.returncode == 130
    assert "interrupted" in stderr


@pytest.mark.parametrize("damage", ["truncated", "of other code"])
def test_checkpoints_that_do_not_serve_cost_their_epochs_and_nothing_else(damage, tmp_path, undisturbed):
    out = tmp_path / "out"
    sweep = start_sweep(out, *THREE_EPOCHS, fault="slow")
    wait_for(lambda: sweep.poll() is not None or "1" in saved_epochs(out))
    sweep.kill()
    sweep.communicate()
    (folder,) = (out / "checkpoints").iterdir()
    if damage == "truncated":
        for file in [path for path in folder.rglob("*") if path.is_file()]:
            os.truncate(file, file.stat().st_size // 2)
    else:
        folder.rename(folder.with_name(folder.name.partition("@")[0] + "@0123456789ab"))
    again = run_sweep(out, *THREE_EPOCHS)
    assert (again.returncode, again.stderr) == (0, "")
    assert "epoch 1/3" in again.stdout
    (row,) = results.read_rows(out)
    assert lasting(row) == lasting(undisturbed)
    assert not list((out / "checkpoints").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_fails_the_cell_in_one_line_and_the_next_try_is_whole(tmp_path, undisturbed):
    out = tmp_path / "out"
    full = run_sweep(out, *THREE_EPOCHS, fault="full")
    assert full.returncode == 1
    assert full.stderr.count("\n") == 1
    assert "cannot save a checkpoint" in full.stderr
    again = run_sweep(out, *THREE_EPOCHS)
    assert (again.returncode, again.stderr) == (0, "")
    failed, row = results.read_rows(out)
    assert failed["status"] == "failed"
    assert lasting(row) == lasting(undisturbed)


@pytest.mark.slow
def test_a_truncated_compilation_cache_costs_time_and_nothing_else(tmp_path, undisturbed, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache))
    for number, damage in enumerate((2, 2, None)):
        out = tmp_path / f"out{number}"
        done = run_sweep(out, *THREE_EPOCHS)
        assert (done.returncode, done.stderr) == (0, "")
        (row,) = results.read_rows(out)
        assert lasting(row) == lasting(undisturbed)
        files = [path for path in cache.rglob("*") if path.is_file()]
        assert files
        for path in files:
            if damage:
                os.truncate(path, path.stat().st_size // damage)
