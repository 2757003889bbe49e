"""Damaged files are found, named and replaced; a preparation that is cut short leaves nothing that looks ready."""

import os
import pickle
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from tiny_data import TEST, flip_byte, load, load_without_sources, prepare, record_file, save, tiny

from jax_models.data.store import Damaged, Store
from jax_models.errors import RunError


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "delete", "header"])
def test_a_damaged_cache_is_named_and_rebuilt_without_any_source(damage, tmp_path, capsys):
    store = prepare("mnist", tmp_path)
    before = load(store).train.images.copy()
    path = store.folder / "arrays" / "train_images.npy"
    _damage(path, damage)
    after = load_without_sources(store)
    np.testing.assert_array_equal(before, after.train.images)
    assert str(path) in capsys.readouterr().err
    store.check(thorough=True)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "delete"])
@pytest.mark.parametrize("file", ["records", "dataset_info.json"])
def test_a_damaged_tfds_file_is_named_and_fetched_anew(file, damage, tmp_path, capsys):
    store = prepare("cifar10", tmp_path)
    path = record_file(store) if file == "records" else store.folder / file
    _damage(path, damage)
    load(store)
    assert str(path) in capsys.readouterr().err
    store.check(thorough=True)
    assert [folder.name for folder in store.folder.parent.iterdir()] == [store.spec.version]


def _damage(path: Path, damage: str) -> None:
    if damage == "flip":
        flip_byte(path)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "header":
        flip_byte(path, 20)
    else:
        path.unlink()


def test_verify_finds_a_byte_that_rotted_without_a_trace_in_the_time(tmp_path):
    store = prepare("mnist", tmp_path)
    path, times = record_file(store, "test"), record_file(store, "test").stat()
    flip_byte(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    store.check()
    with pytest.raises(Damaged, match=path.name):
        store.check(thorough=True)


def test_damage_that_cannot_be_repaired_is_one_clear_error(tmp_path):
    store = prepare("mnist", tmp_path)
    shutil.rmtree(tmp_path / "downloads")
    record_file(store).unlink()
    with pytest.raises(RunError, match=r"MNIST was found nowhere.*--files FOLDER"):
        load(store)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 1, "files": {"features.json": {}}}'])
def test_a_damaged_manifest_is_written_anew(text, tmp_path):
    store = prepare("mnist", tmp_path)
    (store.folder / "arrays" / "manifest.json").write_text(text)
    load(store)
    store.check(thorough=True)


def test_somebody_elses_damaged_data_is_kept_aside_not_deleted(tmp_path, capsys):
    store = prepare("mnist", tmp_path)
    shutil.rmtree(store.folder / "arrays")
    _damage(record_file(store), "cut")
    load(store)
    store.check(thorough=True)
    kept = [folder for folder in store.folder.parent.iterdir() if ".damaged-" in folder.name]
    assert len(kept) == 1
    assert record_file(store).name in {path.name for path in kept[0].iterdir()}
    assert "fetching it anew" in capsys.readouterr().err


def test_a_folder_that_is_not_a_prepared_data_set_is_not_taken_for_one(tmp_path):
    store = prepare("mnist", tmp_path)
    shutil.rmtree(store.folder)
    store.folder.mkdir()
    record_file(store).write_bytes(b"half a file")
    load(store)
    store.check(thorough=True)


def hidden_files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".") and not path.name.endswith(".lock")]


LOAD = """
import pickle, sys, time
from pathlib import Path
from jax_models.data.dataset import open_dataset
from jax_models.data.progress import Reporter
from jax_models.data.sources import LocalFiles
from jax_models.data.store import Store

class Stopping(Reporter):
    def bar(self, description, *, total=None):
        print(description, flush=True)
        time.sleep(600 if "verifying" in description else 0)
        return super().bar(description, total=total)

data_dir = Path(sys.argv[1])
store = Store(pickle.loads((data_dir / "spec").read_bytes()), data_dir)
open_dataset(store, Stopping(bars=False), lambda: [LocalFiles(data_dir / "downloads")])
print("tensorflow_datasets" in sys.modules)
"""


def start_loading(store: Store) -> subprocess.Popen:
    """Loads in a process of its own, which stops between writing the records and publishing them."""
    (store.data_dir / "spec").write_bytes(pickle.dumps(store.spec))
    return subprocess.Popen([sys.executable, "-c", LOAD, str(store.data_dir)], stdout=subprocess.PIPE, text=True)


def test_a_killed_preparation_leaves_nothing_that_looks_ready(tmp_path):
    spec, files = tiny("mnist")
    store = Store(spec, tmp_path)
    save(files, tmp_path / "downloads" / "manual")
    process = start_loading(store)
    assert process.stdout is not None
    assert "writing" in process.stdout.readline()
    assert "verifying" in process.stdout.readline()
    process.kill()
    process.communicate()
    assert not store.folder.exists()
    assert len(hidden_files(tmp_path)) == 1  # the leftover, which the next preparation removes
    load(store)
    store.check(thorough=True)
    assert hidden_files(tmp_path) == []


def test_a_ready_data_set_is_loaded_without_importing_tfds(tmp_path):
    out, _ = start_loading(prepare("mnist", tmp_path)).communicate()
    assert out == "False\n"


def test_a_process_waits_for_another_that_prepares_and_uses_its_work(tmp_path, capfd):
    ready = prepare("mnist", tmp_path / "ready")
    store = Store(ready.spec, tmp_path)
    with ThreadPoolExecutor() as pool:
        with FileLock(tmp_path / ".mnist.lock"):
            waiting = pool.submit(load_without_sources, store)
            while "another process prepares MNIST" not in capfd.readouterr().err:
                assert not waiting.done()
                time.sleep(0.05)
            shutil.copytree(ready.folder, store.folder)
        assert len(waiting.result(timeout=60).test) == TEST
