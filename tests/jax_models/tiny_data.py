"""Tiny data sets in the official formats, with their own sha256, for the tests of `jax_models.data`."""

import dataclasses
import hashlib
import struct
from pathlib import Path

import numpy as np
from tensorflow_datasets.core.hashing import Hasher

from jax_models.data.catalog import DATASETS, DatasetSpec
from jax_models.data.dataset import Dataset, open_dataset
from jax_models.data.progress import Reporter
from jax_models.data.sources import LocalFiles
from jax_models.data.store import Store

TRAIN, TEST = 100, 20
KINDS = ("images", "labels")


def tiny(name: str) -> tuple[DatasetSpec, dict[str, bytes]]:
    """The catalog's spec cut down to 100 + 20 random examples, and the official files that it stands for."""
    spec = DATASETS[name]
    rng = np.random.default_rng(sum(name.encode()))
    arrays = {split: _random(spec, n, rng) for split, n in (("train", TRAIN), ("test", TEST))}
    files = _cifar_files(arrays) if spec.layout == "cifar" else _idx_files(arrays)
    shuffled = {split: _tfds_order(split, *pair) for split, pair in arrays.items()}
    spec = dataclasses.replace(
        spec,
        sizes={"train": TRAIN, "test": TEST},
        files={file: sha256(data) for file, data in files.items()},
        arrays={
            f"{s}_{kind}": sha256(a.tobytes()) for s, p in shuffled.items() for kind, a in zip(KINDS, p, strict=True)
        },
    )
    return spec, files


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def save(files: dict[str, bytes], folder: Path) -> Path:
    """Writes the files into the folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def flip_byte(path: Path, position: int = -100) -> None:
    """Damages one byte of a file in place."""
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def prepare(name: str, data_dir: Path) -> Store:
    """Prepares the tiny data set in the folder, from files in `DATA_DIR/downloads/manual`, which stay there."""
    spec, files = tiny(name)
    store = Store(spec, data_dir)
    save(files, data_dir / "downloads" / "manual")
    load(store)
    return store


def load(store: Store) -> Dataset:
    """Loads it; what is missing or damaged is made from the files that `prepare` left."""
    return open_dataset(store, Reporter(bars=False), lambda: [LocalFiles(store.data_dir / "downloads")])


def load_without_sources(store: Store) -> Dataset:
    """Loads what is there, and fails if a source is asked."""

    def no_source():
        raise AssertionError("asked for a source")

    return open_dataset(store, Reporter(bars=False), no_source)


def record_file(store: Store, split: str = "train") -> Path:
    """TFDS's file of a split."""
    return store.folder / f"{store.spec.name}-{split}.array_record-00000-of-00001"


def _random(spec: DatasetSpec, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permutation(np.arange(n, dtype=np.int32) % 10)
    return rng.integers(0, 256, (n, *spec.shape), dtype=np.uint8), labels


def _tfds_order(split: str, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """TFDS sorts the examples of a split by a hash of their index, salted with the split's name."""
    order = sorted(range(len(labels)), key=Hasher(split).hash_key)
    return images[order], labels[order]


def _idx_files(arrays: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, bytes]:
    files = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = arrays[split]
        files[f"{prefix}-images-idx3-ubyte"] = struct.pack(">4I", 2051, len(images), 28, 28) + images.tobytes()
        files[f"{prefix}-labels-idx1-ubyte"] = struct.pack(">2I", 2049, len(labels)) + bytes(labels.tolist())
    return files


def _cifar_files(arrays: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, bytes]:
    def record(image: np.ndarray, label: np.int32) -> bytes:
        return bytes([int(label)]) + image.transpose(2, 0, 1).tobytes()

    train = [record(*pair) for pair in zip(*arrays["train"], strict=True)]
    batches = {f"data_batch_{i + 1}.bin": b"".join(train[i * 20 : (i + 1) * 20]) for i in range(5)}
    return batches | {"test_batch.bin": b"".join(record(*pair) for pair in zip(*arrays["test"], strict=True))}
