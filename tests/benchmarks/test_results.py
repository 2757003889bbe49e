"""The results folder keeps every finished row, whatever happens to the process, the file or the disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import results


def row(
    model: str = "lenet5", *, seed: int = 0, status: str = "ok", recipe_hash: str = "1a2b3c4d", epochs: int = 8
) -> dict:
    return {
        "cell": f"{model}/mnist/quick/s{seed}/e{epochs}/b128/{recipe_hash}",
        "status": status,
        "model": model,
        "dataset": "mnist",
        "preset": "quick",
        "seed": seed,
        "epochs": epochs,
        "batch_size": 128,
        "recipe_hash": recipe_hash,
    }


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def test_rows_come_back_in_order_and_equal(tmp_path: Path) -> None:
    rows = [row(seed=seed) for seed in range(3)]
    for one in rows:
        results.append_row(tmp_path, one)
    assert results.read_rows(tmp_path) == rows
    assert (tmp_path / "runs.jsonl").read_bytes().count(b"\n") == 3


def test_an_empty_folder_has_no_rows(tmp_path: Path) -> None:
    assert results.read_rows(tmp_path) == []
    assert results.mend_rows(tmp_path) == 0


def test_numpy_numbers_become_plain_ones(tmp_path: Path) -> None:
    results.append_row(tmp_path, row() | {"flops": np.int64(7), "confusion_matrix": np.eye(2, dtype=int)})
    (stored,) = results.read_rows(tmp_path)
    assert stored["flops"] == 7
    assert stored["confusion_matrix"] == [[1, 0], [0, 1]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_row_that_json_cannot_hold_is_refused_and_the_file_stays(tmp_path: Path, value: float) -> None:
    results.append_row(tmp_path, row())
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.append_row(tmp_path, row(seed=1) | {"loss": value})
    assert results.read_rows(tmp_path) == [row()]


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_line_cut_by_a_crash_does_not_spoil_the_next_append(tmp_path: Path, cut: int) -> None:
    results.append_row(tmp_path, row(seed=0))
    results.append_row(tmp_path, row(seed=1))
    path = tmp_path / "runs.jsonl"
    path.write_bytes(path.read_bytes()[: -1 - cut])
    assert results.read_rows(tmp_path) == [row(seed=0)]
    results.append_row(tmp_path, row(seed=2))
    assert results.read_rows(tmp_path) == [row(seed=0), row(seed=2)]


def test_a_row_that_lacks_only_its_newline_is_kept(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text(json.dumps(row(seed=0)))
    results.append_row(tmp_path, row(seed=1))
    assert results.mend_rows(tmp_path) == 0
    assert results.read_rows(tmp_path) == [row(seed=0), row(seed=1)]


@pytest.mark.parametrize("broken", [b'{"cell": "lenet5/mn', b"\xff\xfe\x00", b"[1, 2]", b"null", b'{"cell": "x"}'])
def test_mending_moves_broken_lines_aside_and_keeps_the_others(tmp_path: Path, broken: bytes) -> None:
    whole = [json.dumps(row(seed=seed)).encode() for seed in range(2)]
    (tmp_path / "runs.jsonl").write_bytes(b"\n".join([whole[0], broken, whole[1]]) + b"\n")
    assert results.mend_rows(tmp_path) == 1
    assert (tmp_path / "runs.jsonl").read_bytes() == b"\n".join(whole) + b"\n"
    assert (tmp_path / "runs.jsonl.torn").read_bytes() == broken + b"\n"
    assert results.mend_rows(tmp_path) == 0


def test_a_file_cut_at_any_byte_loses_at_most_the_last_row(tmp_path: Path) -> None:
    whole = b"".join(json.dumps(row(seed=seed)).encode() + b"\n" for seed in range(2))
    first = whole.index(b"\n")
    for length in range(len(whole) + 1):
        (tmp_path / "runs.jsonl").write_bytes(whole[:length])
        results.mend_rows(tmp_path)
        kept = results.read_rows(tmp_path)
        complete = (length >= first) + (length >= len(whole) - 1)
        assert kept == [row(seed=seed) for seed in range(complete)]


FILL_DISK = """
import resource, sys
from pathlib import Path
from benchmarks import results
from jax_models.errors import run_cli
out, limit = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # longer files are refused, as on a full disk
row = dict(cell="b", status="ok", model="m", dataset="d", preset="quick", text="x" * 300)
run_cli(lambda: results.append_row(out, row))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs resource limits")
@pytest.mark.parametrize("room", [0, 1, 100, 299])
def test_a_full_disk_is_one_clear_line_and_keeps_the_rows(tmp_path: Path, room: int) -> None:
    results.append_row(tmp_path, row())
    before = (tmp_path / "runs.jsonl").read_bytes()
    done = run_python(FILL_DISK, tmp_path, len(before) + room)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "could not add b" in done.stderr
    assert "rows already there are intact" in done.stderr
    assert (tmp_path / "runs.jsonl").read_bytes() == before


APPEND_FOR_EVER = """
import sys
from pathlib import Path
from benchmarks import results
print("ready", flush=True)
for n in range(10**9):
    results.append_row(Path(sys.argv[1]), dict(
        cell=str(n), status="ok", model="m", dataset="d", preset="quick", text="x" * 20_000))
"""


def test_an_interrupted_append_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    results.append_row(tmp_path, row())
    monkeypatch.setattr(results.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        results.append_row(tmp_path, row(seed=1))
    assert results.read_rows(tmp_path) == [row()]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_writer_leaves_whole_rows_and_at_most_one_torn_line(tmp_path: Path) -> None:
    for delay in (0.0, 0.013, 0.05):
        before = len(results.read_rows(tmp_path))
        command = [sys.executable, "-c", APPEND_FOR_EVER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        assert results.mend_rows(tmp_path) <= 1
        cells = [one["cell"] for one in results.read_rows(tmp_path)[before:]]
        assert cells == [str(n) for n in range(len(cells))]


def test_only_rows_that_went_well_are_finished() -> None:
    rows = [row(seed=0), row(seed=1, status="failed"), row(seed=2, status="diverged")]
    assert results.finished_cells(rows) == {row(seed=0)["cell"]}


def test_set_aside_moves_results_and_leaves_other_files(tmp_path: Path) -> None:
    results.append_row(tmp_path, row())
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.png").write_bytes(b"png")
    (tmp_path / "thesis.tex").write_text("mine")
    old = results.set_aside(tmp_path)
    assert old is not None
    assert results.read_rows(old) == [row()]
    assert (old / "figures" / "a.png").read_bytes() == b"png"
    assert sorted(path.name for path in tmp_path.iterdir()) == [old.name, "thesis.tex"]
    assert results.set_aside(tmp_path) is None
    results.append_row(tmp_path, row(seed=1))
    again = results.set_aside(tmp_path)
    assert again not in (None, old)
    assert results.read_rows(old) == [row()]
