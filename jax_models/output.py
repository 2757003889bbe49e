"""Output folders: checked before work begins, held by one process at a time, written so that no file is ever half."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import filelock

from jax_models.errors import RunError, UsageError

LOCK = ".lock"


def prepare_folder(out: Path) -> None:
    """Makes an output folder and checks that files can be written in it.

    Raises:
        UsageError: it cannot be made or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        message = f"cannot write to {out}: {error.strerror or error}"
        raise UsageError(f"{message}; choose a folder that can be written, for example --out out/mine") from error


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds an output folder for this process; the system gives it free when the process ends, however it ends.

    Raises:
        RunError: another process holds it.
    """
    lock = filelock.FileLock(out / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunError(f"another run is writing to {out}: wait until it ends, or choose another --out") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of the one at `path` when it is whole; if that fails, nothing changes.

    Raises:
        RunError: it could not be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Writes a whole file, or leaves the one that was there.

    Raises:
        RunError: it could not be written.
    """
    with replacing(path) as file:
        file.write(text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """The same for bytes.

    Raises:
        RunError: it could not be written.
    """
    with replacing(path) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Makes a new or replaced name durable; only POSIX can (and needs to)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
