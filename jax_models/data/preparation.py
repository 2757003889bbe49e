"""Makes a data set ready: finds what is wrong, rebuilds the cache or fetches anew, and publishes with one rename."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from jax_models.data.formats import parse
from jax_models.data.progress import Reporter
from jax_models.data.sources import Source, gather
from jax_models.data.store import Damaged, Store
from jax_models.errors import RunError, UsageError

FindSources = Callable[[], Sequence[Source]]


def make_ready(store: Store, reporter: Reporter, find_sources: FindSources, *, thorough: bool = False) -> None:
    """Checks the store and, if anything is missing or damaged, says so and prepares it.

    Args:
        store: the data set and where it belongs.
        reporter: for bars and notes.
        find_sources: called only if bytes are needed.
        thorough: read every byte, not only sizes and times.

    Raises:
        UsageError: the data directory cannot be written.
        RunError: nothing has the data, or it does not fit on the disk.
    """
    try:
        store.check(thorough=thorough)
    except Damaged:
        with _preparing(store, reporter) as staging:
            _repair(store, staging, reporter, find_sources)


def _repair(store: Store, staging: Path, reporter: Reporter, find_sources: FindSources) -> None:
    try:
        store.check(thorough=True)  # another process may have done the work while this one waited for the lock
        return
    except Damaged as damage:
        if store.folder.is_dir():
            reporter.note(f"{damage}; preparing it now")
        if not damage.records:
            try:
                _write_arrays(store, reporter, (store.manifest or {}).get("source", "prepared by TFDS before"))
                return
            except Damaged as worse:
                reporter.note(f"{worse}; fetching it anew")
    _prepare(store, staging, reporter, find_sources)


def _prepare(store: Store, staging: Path, reporter: Reporter, find_sources: FindSources) -> None:
    from jax_models.data.tfds_builders import write_records  # TFDS takes half a second to import

    _require_space(store)
    spec = store.spec
    files, source = gather(spec, find_sources(), reporter)
    with reporter.bar(f"{spec.title}: writing TFDS records", total=sum(spec.sizes.values())) as advance:
        write_records(spec, parse(spec, files), staging, on_example=advance)
    staged = Store(spec, staging)
    try:
        _write_arrays(staged, reporter, source)
    except Damaged as damage:
        raise RunError(f"{spec.title} does not read back as it was written: {damage}") from damage
    _publish(staged, store, staging)


def _write_arrays(store: Store, reporter: Reporter, source: str) -> None:
    with reporter.bar(f"{store.spec.title}: verifying, caching arrays"):
        store.write_arrays(source)


def _publish(staged: Store, store: Store, staging: Path) -> None:
    """Moves the complete data set to its place; what was there is deleted if it was ours, else kept beside it."""
    store.folder.parent.mkdir(parents=True, exist_ok=True)
    if store.folder.exists():
        ours = store.manifest is not None
        store.folder.rename(staging / "old" if ours else f"{store.folder}.damaged-{os.getpid()}")
    staged.folder.rename(store.folder)


@contextmanager
def _preparing(store: Store, reporter: Reporter) -> Iterator[Path]:
    """Holds the data set's lock and lends an empty folder on the same disk, which is gone after the block."""
    prefix = f".{store.spec.name}-preparing-"
    with _locked(store, reporter):
        for leftover in store.data_dir.glob(f"{prefix}*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        staging = Path(tempfile.mkdtemp(prefix=prefix, dir=store.data_dir))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _locked(store: Store, reporter: Reporter) -> Iterator[None]:
    lock = FileLock(store.data_dir / f".{store.spec.name}.lock")
    try:
        store.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            reporter.note(f"another process prepares {store.spec.title} in {store.data_dir}; waiting for it")
            lock.acquire()
    except OSError as error:
        raise UsageError(
            f"cannot write to the data directory {store.data_dir} ({error.strerror}); name another with --data-dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _require_space(store: Store) -> None:
    pixels = sum(store.spec.sizes.values()) * int(np.prod(store.spec.shape))
    need, free = 2 * pixels + (10 << 20), shutil.disk_usage(store.data_dir).free  # records and arrays
    if free < need:
        raise RunError(
            f"{store.spec.title} needs {need >> 20} MiB in {store.data_dir} and {free >> 20} MiB are free; "
            f"make room or name another folder with --data-dir"
        )
