"""A cell's files between machines: a folder of its own while it is at work, and its contents as bytes."""

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import filelock
import psutil

from benchmarks.shares import Cores, equal_shares
from jax_models.output import write_bytes

Files = Mapping[str, bytes]
"""Contents of files by their paths below a folder, with forward slashes."""


def read_files(folder: Path, pattern: str = "**/*") -> Files:
    """The files below a folder whose paths match."""
    paths = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_files(folder: Path, files: Files) -> None:
    """Writes files below a folder, each whole or not at all.

    Raises:
        RunError: one cannot be written.
    """
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, data)


@contextlib.contextmanager
def place(cores: int, *, root: Path | None = None) -> Iterator[tuple[Path, Cores]]:
    """An empty folder on this machine, and as many processor cores of it, that no other cell has during the block.

    Places are numbered, and each is held by a file lock, which the system gives free however its holder ends. What a
    killed worker left in a place goes when the place is used again. Ray counts cores and does not say which: the
    number of the place does. Cores are None, any of them, for 0 cores or where there are fewer than Ray was told.
    """
    root = root or Path(tempfile.gettempdir()) / f"cells-of-{psutil.Process().username()}"
    root.mkdir(mode=0o700, exist_ok=True)
    for number in itertools.count():
        lock = filelock.FileLock(root / f"{number}.lock")
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=0)
            break
    folder = root / str(number)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (everything,) = equal_shares(1)
        mine = (everything or [])[number * cores : (number + 1) * cores]
        yield folder, mine if cores and len(mine) == cores else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
