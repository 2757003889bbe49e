"""A sweep that is killed again and again ends with the rows and tables of one that nobody disturbed."""

import csv
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from test_compare import lasting, start_sweep

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


MOMENTS = {
    "while data are prepared": lambda out, data: any(data.iterdir()) and not (out / "logs").exists(),
    "while it compiles": lambda out, data: any(out.glob("logs/*")) and not any(out.glob("checkpoints/*/*")),
    "while a checkpoint is written": lambda out, data: any("tmp" in path.name for path in out.glob("checkpoints/*/*")),
    "while predictions are written": lambda out, data: any(out.glob("predictions/*")),
    "while weights are written": lambda out, data: any(out.glob("weights/*")),
    "when a row is appended": lambda out, data: (out / "runs.jsonl").exists(),
}
"""What a killer waits for on the disk; the kill itself comes within a millisecond."""


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_kills_change_nothing(tmp_path, capsys):
    """Six at the moments named above, on a fresh folder each, the others at random ones of a sweep that goes on."""

    def tell(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)

    begun = time.monotonic()
    whole = tmp_path / "whole"
    process = start(whole, tmp_path / "whole-data", slow=True)
    assert process.communicate(timeout=600)[1] == ""
    seconds = time.monotonic() - begun
    rng = random.Random(6)
    for number, (name, reached) in enumerate(MOMENTS.items()):
        out, data = tmp_path / f"named{number}", tmp_path / f"named{number}-data"
        data.mkdir()
        process = start(out, data, slow=True)
        while process.poll() is None and not reached(out, data):
            time.sleep(0.0005)
        assert process.poll() is None, f"it ended before a moment {name}"
        kill(process)
        tell(f"killed {name}: {phase(out, data)}")
        check_the_rest(out, data, whole)

    out, data = tmp_path / "random", tmp_path / "random-data"
    for number in range(len(MOMENTS), KILLS):
        process = start(out, data, slow=True)
        moment = rng.uniform(0, 0.6 * seconds)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            kill(process)
        tell(f"kill {number + 1} after {moment:.1f} s: {phase(out, data)}")
        if process.returncode == 0:  # it had got far enough: begin anew
            assert comparable(out) == comparable(whole)
            out, data = tmp_path / f"random{number}", tmp_path / f"random{number}-data"
    check_the_rest(out, data, whole)


def check_the_rest(out: Path, data: Path, whole: Path) -> None:
    """Types the same command once more, and compares what is there then with the undisturbed sweep's."""
    process = start(out, data, slow=False)
    assert process.communicate(timeout=600)[1] == ""
    assert process.returncode == 0
    assert comparable(out) == comparable(whole)
    assert table(out) == table(whole)
    assert not list((out / "checkpoints").iterdir())
    for row in results.read_rows(out):
        predictions = load_predictions(checked_path(out, row["predictions"]))
        assert predictions["test"].correct.mean() == row["test"]["accuracy"]


def comparable(out: Path) -> list[results.Row]:
    """All rows in the order of their cells, without what may differ between two runs."""
    return sorted(map(lasting, results.read_rows(out)), key=lambda row: row["cell"])
