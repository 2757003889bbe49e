"""TFDS without TensorFlow: the official builders fed with arrays, and their records read back with NumPy.

The stock builders need TensorFlow to unpack archives, to read files and to encode images. These subclasses are handed
verified arrays and PNG bytes instead; name, version, features, description and order of examples stay TFDS's own, so
`tfds.builder(name, data_dir=...)` reads the result. Import this module late: TFDS takes half a second.
"""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from PIL import Image
from tensorflow_datasets.image_classification.cifar import Cifar10
from tensorflow_datasets.image_classification.mnist import MNIST, FashionMNIST
from tensorflow_datasets.proto import tf_example_pb2

from jax_models.data.catalog import DatasetSpec
from jax_models.data.formats import Arrays, Unreadable

_READ_AT_ONCE = 1000


class _FromArrays(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What the three builders share: splits and examples from `arrays`, given before `download_and_prepare`."""

    arrays: Mapping[str, Arrays]
    class_names: tuple[str, ...]
    on_example: Callable[[int], None]

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in self.arrays}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (image, label) in enumerate(zip(*self.arrays[split], strict=True)):
            yield index, {"image": _png(image), "label": int(label)}
            self.on_example(1)


class MNISTFromArrays(_FromArrays, MNIST, skip_registration=True):
    """The official MNIST builder, fed with arrays."""

    name = "mnist"
    __module__ = MNIST.__module__  # TFDS writes it into dataset_info.json


class FashionMNISTFromArrays(_FromArrays, FashionMNIST, skip_registration=True):
    """The official FashionMNIST builder, fed with arrays."""

    name = "fashion_mnist"
    __module__ = FashionMNIST.__module__


class Cifar10FromArrays(_FromArrays, Cifar10, skip_registration=True):
    """The official CIFAR-10 builder, fed with arrays; like it, numbers the examples of each split."""

    name = "cifar10"
    __module__ = Cifar10.__module__

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        features: Any = self.info.features
        features["label"].names = list(self.class_names)
        return super()._split_generators(dl_manager)

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, example in super()._generate_examples(split):
            yield index, example | {"id": f"{split}_{index:05d}"}


_BUILDERS = {builder.name: builder for builder in (MNISTFromArrays, FashionMNISTFromArrays, Cifar10FromArrays)}


def official_urls(spec: DatasetSpec) -> dict[str, int]:
    """The addresses that the official builder downloads from, with their sizes in bytes, as registered in TFDS."""
    return {url: int(info.size) for url, info in (_BUILDERS[spec.name].url_infos or {}).items()}


def write_records(
    spec: DatasetSpec, arrays: Mapping[str, Arrays], data_dir: Path, *, on_example: Callable[[int], None]
) -> Path:
    """Prepares the data set in `data_dir` as TFDS does (ArrayRecord files); returns `data_dir/name/version`.

    Args:
        spec: the data set.
        arrays: images and labels by split, in the order of the official files.
        data_dir: a folder that does not hold the data set yet.
        on_example: called with 1 after each example.
    """
    tfds.disable_progress_bar()
    builder = _BUILDERS[spec.name](data_dir=data_dir, file_format="array_record")
    builder.arrays, builder.class_names, builder.on_example = arrays, spec.classes, on_example
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS announces a download that does not happen
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return Path(builder.data_dir)


def read_records(spec: DatasetSpec, folder: Path, split: str) -> Arrays:
    """Images and labels of a prepared split in TFDS's order, from ArrayRecord or TFRecord files.

    Raises:
        Unreadable: a file is missing, cut or damaged, or its format needs TensorFlow.
    """
    images = np.empty((spec.sizes[split], *spec.shape), np.uint8)
    labels = np.empty(spec.sizes[split], np.int32)
    try:
        count = 0
        for count, record in enumerate(_records(folder, split), start=1):
            example = tf_example_pb2.Example.FromString(record)  # pyright: ignore[reportAttributeAccessIssue]
            feature = example.features.feature
            with Image.open(io.BytesIO(feature["image"].bytes_list.value[0])) as image:
                images[count - 1] = np.asarray(image).reshape(spec.shape)
            labels[count - 1] = feature["label"].int64_list.value[0]
    except Exception as error:  # protobuf, Pillow, TFDS and array_record each raise their own on damaged bytes
        raise Unreadable(f"{split} records: {str(error).partition(';')[0][:100]}") from error
    if count != len(labels):
        raise Unreadable(f"{split} records: {count} examples, {len(labels)} expected")
    return images, labels


def _records(folder: Path, split: str) -> Iterator[bytes]:
    info = tfds.builder_from_directory(folder).info
    paths = [Path(path) for path in info.splits[split].filepaths]
    file_format = info.file_format.value if info.file_format else "unknown"
    if file_format == "tfrecord":
        for path in paths:
            yield from _tfrecords(path)
    elif file_format == "array_record":
        with ArrayRecordDataSource([str(path) for path in paths]) as source:
            for start in range(0, len(source), _READ_AT_ONCE):
                yield from source.__getitems__(range(start, min(start + _READ_AT_ONCE, len(source))))
    else:
        raise Unreadable(f"file format {file_format} cannot be read without TensorFlow")


def _tfrecords(path: Path) -> Iterator[bytes]:
    """A TFRecord file: length (8 bytes, little-endian), its checksum (4), the record, its checksum (4)."""
    with path.open("rb") as file:
        while header := file.read(12):
            (length,) = struct.unpack("<Q", header[:8])
            record = file.read(length)
            if len(record) != length or len(file.read(4)) != 4:
                raise Unreadable(f"{path.name} ends in the middle of a record")
            yield record


def _png(image: np.ndarray) -> io.BytesIO:
    """The image as PNG, two to four times as fast as Pillow's encoder; 200,000 of them are a long wait.

    Each row is a filter byte (2: difference to the row above) and the differences; w3.org/TR/png-3, section 9.
    """
    height, width, channels = image.shape
    rows = np.empty((height, 1 + width * channels), np.uint8)
    rows[:, 0], rows[:, 1:] = 2, image.reshape(height, -1)
    rows[1:, 1:] -= image.reshape(height, -1)[:-1]
    header = struct.pack(">2I5B", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )
