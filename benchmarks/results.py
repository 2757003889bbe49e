"""The results folder: one JSON line per finished cell in `OUT/runs.jsonl`, appended so that nothing finished is lost.

A row is written whole and reaches the disk before the sweep goes on. A line that a crash cut short is recognised
because it does not parse; it is never read as a row and never spoils the row after it.
"""

import datetime
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jax_models.errors import RunError
from jax_models.output import sync_folder

SCHEMA = 1
ROWS = "runs.jsonl"
TORN = "runs.jsonl.torn"

OWN_ENTRIES = (
    *(ROWS, TORN, "table.md", "table.csv", "report.html", "figures", "logs"),
    *("pairs.csv", "gains.csv", "versions.csv", "predictions", "weights", "checkpoints", "derived", "tracking"),
)
"""What a sweep writes into its folder. `set_aside` moves these and nothing else: the folder may hold others."""

Row = dict[str, Any]

VARYING = (
    *("train_seconds", "compile_seconds", "step_ms", "images_per_second", "wall_seconds"),
    *("peak_memory_bytes", "started", "finished"),
)
"""Fields in which a run and its repetition differ: times, memory and dates; so do the seconds in its history."""


def repeatable(row: Row) -> Row:
    """What must be equal when a run is repeated on the same machine, or was stopped and went on."""
    kept = {name: value for name, value in row.items() if name not in VARYING}
    if "history" in row:
        kept["history"] = [{name: x for name, x in one.items() if name != "seconds"} for one in row["history"]]
    return kept


def read_rows(out: Path) -> list[Row]:
    """Reads the rows of a results folder in the order they were written; none if there is no file yet.

    Broken lines are passed over (see `mend_rows`), so a folder that cannot be written can still be read.
    """
    return [row for line in _lines(out) if (row := _parse(line)) is not None]


def append_row(out: Path, row: Row) -> None:
    """Adds one row to `OUT/runs.jsonl` and returns when it is on the disk.

    Raises:
        RunError: it could not be written (disk full, quota, read-only). The file is then as it was before.
        ValueError: the row holds NaN or infinity, which JSON does not know.
    """
    append_line(out / ROWS, row)


def append_line(path: Path, row: Row) -> None:
    """The same for any file of JSON lines."""
    line = json.dumps(row, allow_nan=False, default=_plain).encode() + b"\n"
    try:
        is_new = not path.exists()
        with path.open("ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if end and _last_byte(file) != b"\n":
                line = b"\n" + line  # a crash cut the line before this one: let it stay alone
            try:
                _write_all(file, line)
                os.fsync(file.fileno())
            except BaseException:  # Ctrl-C too: a row is there whole or not at all
                file.truncate(end)
                raise
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        message = (
            f"could not add {row.get('cell', 'a row')} to {path}: {error.strerror or error}; the rows already there"
        )
        raise RunError(f"{message} are intact: make room, then run the same command to go on") from error


def mend_rows(out: Path) -> int:
    """Moves broken lines of `OUT/runs.jsonl` to `OUT/runs.jsonl.torn` and returns how many there were.

    The caller holds the folder's lock. The file is replaced in one step: a crash leaves the old one or the new one.
    """
    lines = _lines(out)
    broken = [line for line in lines if _parse(line) is None]
    if broken:
        with (out / TORN).open("ab") as file:
            file.write(b"".join(line + b"\n" for line in broken))
        handle, temporary = tempfile.mkstemp(prefix=ROWS, dir=out)
        with os.fdopen(handle, "wb") as file:
            file.write(b"".join(line + b"\n" for line in lines if _parse(line) is not None))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod((out / ROWS).stat().st_mode & 0o777)
        Path(temporary).replace(out / ROWS)
        sync_folder(out)
    return len(broken)


def finished_cells(rows: Iterable[Row]) -> set[str]:
    """The cells that need not run again: those with a row whose status is "ok"."""
    return {row["cell"] for row in rows if row["status"] == "ok"}


def set_aside(out: Path) -> Path | None:
    """Moves the results in a folder to `OUT/old-<date>-<time>/`; returns that folder, or None if there were none.

    The caller holds the folder's lock. Nothing is deleted, and entries that a sweep does not write stay where they are.
    """
    entries = [out / name for name in OWN_ENTRIES if (out / name).exists()]
    if not entries:
        return None
    stamp = f"{datetime.datetime.now():%Y%m%d-%H%M%S}"
    names = (f"old-{stamp}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    old = next(out / name for name in names if not (out / name).exists())
    old.mkdir()
    for entry in entries:
        entry.rename(old / entry.name)
    return old


def _lines(out: Path) -> list[bytes]:
    path = out / ROWS
    return [line for line in path.read_bytes().split(b"\n") if line.strip()] if path.exists() else []


def _parse(line: bytes) -> Row | None:
    """The row in a line, or None if the line is broken."""
    try:
        row = json.loads(line)
    except ValueError:  # covers bad UTF-8 too
        return None
    return row if isinstance(row, dict) and {"cell", "status", "model", "dataset", "preset"} <= row.keys() else None


def _plain(value: Any) -> Any:
    """Turns NumPy's numbers and arrays into Python's, which JSON knows."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not belong in a row")


def _last_byte(file: Any) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def _write_all(file: Any, data: bytes) -> None:
    """Writes all of it: one call, unless the disk takes only a part, and then the next call says why."""
    while data:
        data = data[file.write(data) :]
