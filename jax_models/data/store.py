"""A prepared data set on disk: TFDS's records, a cache of arrays beside them, and a manifest that tells damage.

    DATA_DIR/cifar10/3.0.2/             as TFDS writes it; `tfds.builder("cifar10", data_dir=DATA_DIR)` reads it
        arrays/                         ours: the same examples in the same order, ready to be memory-mapped
            train_images.npy ...        checked against the catalog's sha256 whenever a split is opened
            manifest.json               where the data came from; size, time and sha256 of TFDS's files

A data set appears under its final name by one rename, complete or not at all. A file lock lets one process prepare.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from jax_models.data.catalog import DatasetSpec
from jax_models.data.formats import Arrays, Unreadable

SPLITS = ("train", "test")


class Damaged(Exception):
    """A prepared file is missing, cut or changed. The text names it.

    Attributes:
        records: whether TFDS's own files are concerned, not just the cache of arrays.
    """

    def __init__(self, message: str, *, records: bool) -> None:
        super().__init__(message)
        self.records = records


@dataclass(frozen=True)
class Store:
    """One data set in one data directory."""

    spec: DatasetSpec
    data_dir: Path

    @property
    def folder(self) -> Path:
        """TFDS's folder of the data set."""
        return self.data_dir / self.spec.name / self.spec.version

    @property
    def read_only(self) -> bool:
        """Whether there is a folder to read but none to write, as in a shared data directory."""
        return self.folder.is_dir() and not (os.access(self.folder, os.W_OK) and os.access(self.data_dir, os.W_OK))

    @property
    def manifest(self) -> dict[str, Any] | None:
        """What was recorded at preparation; None if we did not prepare it or the record is damaged."""
        try:
            manifest = json.loads((self.folder / "arrays" / "manifest.json").read_text())
            return manifest if manifest["schema"] == 1 and isinstance(manifest["files"], dict) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def check(self, *, thorough: bool = False) -> None:
        """Compares the files with the manifest: sizes and times (and sha256 where a time differs, or if thorough).

        Raises:
            Damaged: the first file that is wrong; all are named if several are.
        """
        if not self.folder.is_dir():
            raise Damaged(f"{self.folder} is missing", records=True)
        if self.manifest is None:
            raise Damaged(f"{self.folder} has no cache of arrays yet", records=False)
        files = self.manifest["files"]
        wrong = [name for name, facts in files.items() if not _unchanged(self.folder / name, facts, thorough=thorough)]
        if wrong:
            raise Damaged(f"{', '.join(str(self.folder / name) for name in wrong)} damaged or missing", records=True)
        for split in SPLITS:
            self._map(split, verify=thorough)

    def read(self, split: str) -> Arrays:
        """Images (memory-mapped) and labels of a split, verified byte for byte.

        Raises:
            Damaged: names the file.
        """
        return self._map(split, verify=True)

    def decode(self, split: str) -> Arrays:
        """Images and labels out of TFDS's records, verified.

        Raises:
            Damaged: the records cannot be read, or hold something else than the official data set.
        """
        from jax_models.data.tfds_builders import read_records  # TFDS takes half a second to import

        try:
            images, labels = read_records(self.spec, self.folder, split)
        except Unreadable as error:
            raise Damaged(f"{self.folder}: {error}", records=True) from error
        for kind, array in (("images", images), ("labels", labels)):
            if _array_digest(array) != self.spec.arrays[f"{split}_{kind}"]:
                raise Damaged(f"{self.folder}: {split} {kind} are not the official ones (sha256)", records=True)
        return images, labels

    def write_arrays(self, source: str) -> None:
        """Builds the cache of arrays and the manifest from TFDS's records, in one rename.

        Raises:
            Damaged: the records are.
            OSError: the folder cannot be written.
        """
        arrays = {split: self.decode(split) for split in SPLITS}
        staging = self.folder / ".arrays"
        shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
        staging.mkdir()
        try:
            for split, (images, labels) in arrays.items():
                np.save(staging / f"{split}_images.npy", images)
                np.save(staging / f"{split}_labels.npy", labels)
            files = {path.name: _facts(path) for path in sorted(self.folder.iterdir()) if path.is_file()}
            manifest = {"schema": 1, "source": source, "prepared": datetime.now(UTC).isoformat(timespec="seconds")}
            (staging / "manifest.json").write_text(json.dumps(manifest | {"files": files}, indent=1))
            shutil.rmtree(self.folder / "arrays", ignore_errors=True)
            staging.rename(self.folder / "arrays")
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _map(self, split: str, *, verify: bool) -> Arrays:
        size, shape = self.spec.sizes[split], self.spec.shape
        images = self._map_file(f"{split}_images", (size, *shape), np.uint8, verify=verify)
        return images, self._map_file(f"{split}_labels", (size,), np.int32, verify=verify)

    def _map_file(self, name: str, shape: tuple[int, ...], dtype: type, *, verify: bool) -> np.ndarray:
        path = self.folder / "arrays" / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise Damaged(f"{path} is missing or cut", records=False) from error
        if array.shape != shape or array.dtype != dtype or (verify and _array_digest(array) != self.spec.arrays[name]):
            raise Damaged(f"{path} is damaged (sha256)", records=False)
        return array


def _facts(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": _file_digest(path)}


def _unchanged(path: Path, facts: Mapping[str, Any], *, thorough: bool) -> bool:
    try:
        status = path.stat()
        if status.st_size != facts["bytes"]:
            return False
        if status.st_mtime_ns == facts["mtime_ns"] and not thorough:
            return True
        return _file_digest(path) == facts["sha256"]
    except (OSError, KeyError, TypeError):
        return False


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _array_digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
