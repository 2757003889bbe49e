"""A data set is prepared once, read by plain TFDS, and looks the same wherever it came from."""

import json
import os
import shutil
import time

import numpy as np
import pytest
from tiny_data import TEST, TRAIN, flip_byte, load, load_without_sources, prepare, record_file, sha256

from jax_models.data import DATASETS, load_dataset
from jax_models.data.dataset import find_data_dir
from jax_models.data.store import Damaged
from jax_models.errors import RunError, UsageError


@pytest.mark.parametrize("name", DATASETS)
def test_plain_tfds_reads_what_was_prepared_in_the_same_order(name, tmp_path):
    import tensorflow_datasets as tfds

    store = prepare(name, tmp_path)
    builder, dataset = tfds.builder(name, data_dir=tmp_path), load_without_sources(store)
    assert builder.info.full_name == f"{name}/{store.spec.version}"
    assert builder.info.features["label"].names == list(store.spec.classes)
    assert (builder.info.splits["train"].num_examples, builder.info.splits["test"].num_examples) == (TRAIN, TEST)
    examples = builder.as_data_source("test").__getitems__(list(range(TEST)))
    np.testing.assert_array_equal(np.stack([example["image"] for example in examples]), dataset.test.images)
    assert [example["label"] for example in examples] == dataset.test.labels.tolist()


def test_cifar_examples_carry_the_official_ids(tmp_path):
    import tensorflow_datasets as tfds

    store = prepare("cifar10", tmp_path)
    source = tfds.builder("cifar10", data_dir=tmp_path).as_data_source("test")
    first = {example["id"].decode(): example["image"] for example in source}["test_00000"]
    raw = np.frombuffer((tmp_path / "downloads/manual/test_batch.bin").read_bytes(), np.uint8)[1:3073]
    np.testing.assert_array_equal(first, raw.reshape(store.spec.shape[::-1]).transpose(1, 2, 0))


def test_validation_is_a_stratified_tenth_of_train_and_always_the_same(tmp_path):
    store = prepare("mnist", tmp_path)
    dataset, again = load(store), load(store)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (90, 10, 20)
    assert sorted(dataset.validation.labels.tolist()) == list(range(10))
    np.testing.assert_array_equal(dataset.validation.images, again.validation.images)
    every = np.concatenate([dataset.train.images, dataset.validation.images])
    official = np.load(store.folder / "arrays" / "train_images.npy")
    assert sorted(sha256(image.tobytes()) for image in every) == sorted(sha256(image.tobytes()) for image in official)


def test_arrays_have_the_promised_types_and_the_hashes_of_the_sources(tmp_path):
    store = prepare("cifar10", tmp_path)
    dataset = load(store)
    assert dataset.train.images.dtype == np.uint8
    assert dataset.train.labels.dtype == np.int32
    assert dataset.test.images.shape == (TEST, 32, 32, 3)
    assert dataset.hashes == store.spec.files
    assert dataset.source == f"files in {tmp_path / 'downloads'}"


def test_the_test_split_is_not_opened_before_it_is_touched(tmp_path):
    store = prepare("mnist", tmp_path)
    dataset = load_without_sources(store)
    assert len(dataset.train) == 90
    flip_byte(store.folder / "arrays" / "test_images.npy")  # loading did not read it, so it did not notice
    with pytest.raises(Damaged, match="test_images"):
        store.read("test")
    assert len(dataset.test) == TEST  # touching it does, and repairs it
    store.check(thorough=True)


def test_data_that_tfds_prepared_is_used_without_any_source(tmp_path):
    store = prepare("fashion_mnist", tmp_path)
    shutil.rmtree(store.folder / "arrays")  # what remains is what TFDS writes
    dataset = load_without_sources(store)
    assert dataset.source == "prepared by TFDS before"
    store.check(thorough=True)


def test_a_read_only_data_directory_is_decoded_in_memory_and_left_as_it_is(tmp_path, monkeypatch, capsys):
    store = prepare("mnist", tmp_path)
    expected = load(store).test.images.copy()
    shutil.rmtree(store.folder / "arrays")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write anywhere
    np.testing.assert_array_equal(load_without_sources(store).test.images, expected)
    assert sorted(tmp_path.rglob("*")) == before
    assert "read-only" in capsys.readouterr().err


def test_tfrecord_files_of_tfds_with_tensorflow_are_read_too(tmp_path):
    from array_record.python.array_record_data_source import ArrayRecordDataSource

    store = prepare("mnist", tmp_path)
    shutil.rmtree(store.folder / "arrays")
    for split in ("train", "test"):
        path = record_file(store, split)
        with ArrayRecordDataSource([str(path)]) as source:
            records = source.__getitems__(list(range(len(source))))
        framed = (len(r).to_bytes(8, "little") + bytes(4) + r + bytes(4) for r in records)  # checksums are not read
        path.with_name(path.name.replace("array_record", "tfrecord")).write_bytes(b"".join(framed))
        path.unlink()
    info = json.loads((store.folder / "dataset_info.json").read_text()) | {"fileFormat": "tfrecord"}
    (store.folder / "dataset_info.json").write_text(json.dumps(info))
    assert len(load_without_sources(store).test) == TEST


def test_the_data_directory_is_the_one_asked_for_then_the_variable_then_tfds_default(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "variable"))
    assert find_data_dir(tmp_path / "asked") == tmp_path / "asked"
    assert find_data_dir(None) == tmp_path / "variable"
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_data_dir(None) == tmp_path / "tensorflow_datasets"


def test_a_data_directory_that_cannot_be_one_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        load_dataset("mnist", data_dir=tmp_path / "file")
    with pytest.raises(UsageError, match="cannot write to the data directory"):
        load_dataset("mnist", data_dir=tmp_path / "file" / "below", offline=True)


def test_a_files_folder_that_does_not_exist_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"--files .* is not a folder"):
        load_dataset("mnist", data_dir=tmp_path, files=tmp_path / "nowhere")


def test_offline_and_without_data_the_error_names_the_ways_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RunError, match=r"CIFAR-10 was found nowhere.*cifar-10-binary\.tar\.gz.*--files FOLDER"):
        load_dataset("cifar10", data_dir=tmp_path, offline=True, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
def test_the_real_data_set_is_ready_within_a_second_and_has_the_published_constants(name):
    load_dataset(name)
    started = time.monotonic()
    dataset = load_dataset(name)
    assert time.monotonic() - started < 1
    train = np.concatenate([dataset.train.images, dataset.validation.images])
    assert (len(train), len(dataset.test)) == tuple(dataset.spec.sizes.values())
    counts = [np.bincount(train[..., c].ravel(), minlength=256) for c in range(train.shape[-1])]
    pixels = np.arange(256) / 255
    mean = [count @ pixels / count.sum() for count in counts]
    std = [(count @ (pixels - m) ** 2 / count.sum()) ** 0.5 for count, m in zip(counts, mean, strict=True)]
    np.testing.assert_allclose(dataset.spec.mean, mean, atol=1e-6)
    np.testing.assert_allclose(dataset.spec.std, std, atol=1e-6)
    digest = sha256(dataset.test.images.tobytes())
    assert digest == dataset.spec.arrays["test_images"]
