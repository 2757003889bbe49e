"""Output folders are checked, held by one process, and never hold half a file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jax_models.errors import RunError, UsageError
from jax_models.output import locked, prepare_folder, write_text

ROOT = Path(__file__).resolve().parents[2]


def hold_in_child(folder: Path) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; from pathlib import Path; from jax_models.errors import run_cli\n"
        "from jax_models.output import locked\n"
        "def main():\n    with locked(Path(sys.argv[1])): print('held')\nrun_cli(main)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_second_run_on_the_same_folder_is_told_to_wait(tmp_path):
    with locked(tmp_path):
        done = hold_in_child(tmp_path)
    assert done.returncode == 1
    assert "another run is writing" in done.stderr
    assert done.stderr.count("\n") == 1
    assert hold_in_child(tmp_path).stdout == "held\n"


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="choose a folder that can be written"):
            prepare_folder(bad)
    prepare_folder(tmp_path / "new" / "deep")
    assert list((tmp_path / "new" / "deep").iterdir()) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "result.json"
    write_text(path, "first")
    write_text(path, "second")
    assert path.read_text() == "second"
    (tmp_path / "result.json.partial").mkdir()
    with pytest.raises(RunError, match="cannot write"):
        write_text(path, "third")
    assert path.read_text() == "second"
