"""A sweep that is killed again and again ends with the rows and tables of one that nobody disturbed."""

import csv
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from test_compare import TINY, start_sweep

from benchmarks import results
from benchmarks.predictions import load_predictions
from benchmarks.report.groups import COSTS
from benchmarks.run_files import checked_path

KILLS = 20
SWEEP = ("--seeds", "2", "--epochs", "4")


def start(out: Path, data: Path, *, slow: bool) -> subprocess.Popen[str]:
    """A sweep of two cells, in a process group of its own, that first prepares its data; slow steps last 0.1 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINY_DATA_DIR", str(data))
        return start_sweep(out, *SWEEP, fault="slow" if slow else "", start_new_session=True)


def phase(out: Path, data: Path) -> str:
    """What a sweep has on the disk, from which one sees where it was."""
    rows = len(results.read_rows(out))
    epochs = sorted(f"{path.parent.name[:14]} {path.name}" for path in out.glob("checkpoints/*/[0-9]*"))
    partial = [path.name for path in [*out.rglob("*.partial"), *out.glob("checkpoints/*/*tmp*")]]
    prepared = any(data.rglob("*.array_record*"))
    return f"data {'ready' if prepared else 'not ready'}, {rows} rows, epochs saved {epochs}, being written {partial}"


def table(out: Path) -> list[dict[str, str]]:
    """table.csv without costs that vary: times and memory."""
    varying = set(COSTS) - {"num_params", "flops", "epochs"}
    with (out / "table.csv").open() as file:
        return [{name: v for name, v in line.items() if name not in varying} for line in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_kills_at_random_moments_change_nothing(tmp_path, capsys):
    assert TINY.exists()
    begun = time.monotonic()
    whole = tmp_path / "whole"
    process = start(whole, tmp_path / "whole-data", slow=True)
    assert process.communicate(timeout=600)[1] == ""
    seconds = time.monotonic() - begun

    out, data = tmp_path / "killed", tmp_path / "killed-data"
    out.mkdir()
    rng = random.Random(6)
    kills = 0
    while kills < KILLS:
        process = start(out, data, slow=True)
        moment = rng.uniform(0, seconds)
        try:
            process.communicate(timeout=moment)
            outcome = f"ended with {process.returncode} before"
            if process.returncode == 0:  # all done: begin anew, for more moments to be hit
                assert comparable(out) == comparable(whole)
                out, data = tmp_path / f"killed-{kills}", tmp_path / f"killed-data-{kills}"
                out.mkdir()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            outcome = f"kill {kills}: {phase(out, data)}"
        with capsys.disabled():
            print(f"\n  {moment:5.1f} s, {outcome}", end="", flush=True)
    process = start(out, data, slow=False)
    assert process.communicate(timeout=600)[1] == ""
    assert comparable(out) == comparable(whole)
    assert table(out) == table(whole)
    assert not list(out.rglob("*.partial"))
    assert not list((out / "checkpoints").iterdir())
    for row in results.read_rows(out):
        predictions = load_predictions(checked_path(out, row["predictions"]))
        assert predictions["test"].correct.mean() == row["test"]["accuracy"]


def comparable(out: Path) -> list[results.Row]:
    """All rows in the order of their cells, without what may differ between two runs."""
    return sorted(map(results.repeatable, results.read_rows(out)), key=lambda row: row["cell"])
