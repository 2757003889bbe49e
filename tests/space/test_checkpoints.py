"""Finding the project's own models and bringing them into memory."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("gradio")
pytest.importorskip("safetensors")

import lab_models
import safetensors.numpy

from jax_models.data.batches import pad_to_image_size
from jax_models.errors import RunError
from jax_models.evaluation import predict_probabilities
from jax_models.training.state import take_apart
from jax_models.weight_files import save_weights
from space.folders import WEIGHTS, zoo_folder
from space.jobs import Job, Stopped
from space.labs import checkpoints
from space.labs.checkpoints import find_checkpoints, search_folders, without_folder
from space.labs.networks import load_classifier, load_reader
from space.labs.shelf import Shelf


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a finished run of `python -m jax_models`, and the model as it was after training."""
    folder = tmp_path_factory.mktemp("run")
    return folder, lab_models.network_run(folder)


def job(seconds: float = 60.0) -> Job:
    return Job(time.monotonic() + seconds)


def test_the_environment_names_the_folders_and_replaces_the_usual_ones(monkeypatch, tmp_path):
    monkeypatch.delenv("SPACE_CHECKPOINTS", raising=False)
    assert [folder.name for folder in search_folders()] == ["out", "zoo", "attention"]
    monkeypatch.setenv("SPACE_CHECKPOINTS", os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")]))
    assert search_folders() == (tmp_path / "a", tmp_path / "b")


def test_finds_nothing_where_there_is_nothing(tmp_path):
    assert find_checkpoints("vision", (tmp_path, tmp_path / "missing")) == ()


def test_finds_runs_and_shipped_files_with_their_scores(tmp_path, run):
    lab_models.network_file(tmp_path / "files", dataset="cifar10")
    lab_models.reader_run(tmp_path / "runs" / "sweep" / "reverse")
    networks, readers = (find_checkpoints(kind, (tmp_path, run[0])) for kind in ("vision", "attention"))
    assert [(c.subject, c.key, c.score) for c in networks] == [("cifar10", "lenet5", 0.5), ("mnist", "lenet5", 0.25)]
    assert [(c.subject, c.key, c.score) for c in readers] == [("reverse", "reverse-additive", 0.125)]


def test_the_first_folder_wins_and_in_it_the_newest(tmp_path):
    old, new, late = (tmp_path / name for name in ("own/old", "own/new", "shipped"))
    for age, folder in ((20, old), (10, new), (0, late)):
        path = lab_models.network_file(folder)
        os.utime(path, (time.time() - age, time.time() - age))
    (found,) = find_checkpoints("vision", (tmp_path / "own", late))
    assert found.path.parent == new


def test_an_unfinished_or_broken_run_is_not_offered(tmp_path):
    (tmp_path / "unfinished" / "checkpoints").mkdir(parents=True)
    (tmp_path / "broken" / "checkpoints").mkdir(parents=True)
    (tmp_path / "broken" / "result.json").write_text("{")
    (tmp_path / "odd" / "checkpoints").mkdir(parents=True)
    (tmp_path / "odd" / "result.json").write_text('["model"]')
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 100)
    assert find_checkpoints("vision", (tmp_path,)) == ()


def test_foreign_files_and_runs_that_say_nothing_usable_are_not_offered(tmp_path):
    for number, about in enumerate(({"kind": "vision"}, {"kind": "vision", "dataset": 1, "model": "a"}, ["vision"])):
        save_weights(tmp_path / f"{number}.safetensors", {"a": np.zeros(1)}, about)
    save_weights(tmp_path / "reader.safetensors", {"a": np.zeros(1)}, {"kind": "attention", "config": {"task": 1}})
    (tmp_path / "foreign.safetensors").write_bytes(safetensors.numpy.save({"a": np.zeros(1)}))
    assert find_checkpoints("vision", (tmp_path,)) == find_checkpoints("attention", (tmp_path,)) == ()


def test_the_usual_folders_are_looked_through_once_in_some_seconds(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_CHECKPOINTS", str(tmp_path))
    clock = [1000.0 * checkpoints.FRESH_SECONDS]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    assert find_checkpoints("vision") == ()
    lab_models.network_file(tmp_path)
    assert find_checkpoints("vision") == ()
    clock[0] += checkpoints.FRESH_SECONDS
    assert len(find_checkpoints("vision")) == 1


def test_finding_imports_no_jax():
    code = "import sys, space.labs.checkpoints as c; c.find_checkpoints('vision'); print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_run_answers_as_the_model_did_after_training(run):
    folder, trained = run
    (found,) = find_checkpoints("vision", (folder,))
    classifier = load_classifier(found)
    image = np.random.default_rng(1).integers(0, 256, (28, 28, 1)).astype(np.uint8)
    images = pad_to_image_size(image[None])
    expected = predict_probabilities(*take_apart(trained), images=images, spec=classifier.spec, batch_size=1)[0]
    np.testing.assert_array_equal(classifier.probabilities(image), expected)


def test_a_shipped_reader_answers_as_the_model_in_the_run_does(tmp_path):
    trained = lab_models.reader_run(tmp_path / "run")
    (found,) = find_checkpoints("attention", (tmp_path,))
    written = load_reader(found).write("1 2 3")
    assert written.alignment.source == ["1", "2", "3"]
    assert written.alignment.weights.shape == (len(written.alignment.output), 3)
    assert trained.config == load_reader(found).trained.config


def test_damaged_weights_are_named_in_one_line(tmp_path):
    path = lab_models.network_file(tmp_path)
    (found,) = find_checkpoints("vision", (tmp_path,))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match=r"lenet5-mnist\.safetensors is damaged"):
        load_classifier(found)


def test_weights_of_another_architecture_are_refused(tmp_path):
    lab_models.network_file(tmp_path)
    (tmp_path / "lenet5-mnist.safetensors").rename(tmp_path / "moved")
    network = lab_models.network_file(tmp_path, dataset="cifar10").read_bytes()
    (tmp_path / "lenet5-cifar10.safetensors").write_bytes(
        network.replace(b'dataset\\": \\"cifar10', b'dataset\\": \\"mnist\\" ')
    )
    found = find_checkpoints("vision", (tmp_path,))
    for checkpoint in found:
        with pytest.raises(RunError, match="this version"):
            load_classifier(checkpoint)


def test_errors_do_not_tell_where_a_checkpoint_lies(tmp_path):
    lab_models.network_file(tmp_path)
    (found,) = find_checkpoints("vision", (tmp_path,))
    assert without_folder(RunError(f"{found.path.absolute()} is damaged"), found) == f"{found.path.name} is damaged"


class Block:
    size = 100


def test_a_shelf_loads_once_and_drops_the_least_recently_used(tmp_path):
    for dataset in ("mnist", "fashion_mnist", "cifar10"):
        lab_models.network_file(tmp_path, dataset=dataset)
    loaded = []

    def load(checkpoint):
        loaded.append(checkpoint.subject)
        return Block()

    shelf = Shelf(load, budget=200)
    cifar10, fashion_mnist, mnist = find_checkpoints("vision", (tmp_path,))
    for checkpoint in (mnist, mnist, fashion_mnist, mnist, cifar10):
        shelf.get(checkpoint, job())
    assert loaded == ["mnist", "fashion_mnist", "cifar10"]
    assert [shelf.has(checkpoint) for checkpoint in (mnist, fashion_mnist, cifar10)] == [True, False, True]


def test_a_stopped_job_ends_at_once_and_the_model_still_arrives(tmp_path):
    lab_models.network_file(tmp_path)
    (found,) = find_checkpoints("vision", (tmp_path,))
    go_on = threading.Event()

    def load(checkpoint):
        go_on.wait(30)
        return Block()

    shelf = Shelf(load, budget=200)
    started = time.monotonic()
    with pytest.raises(Stopped):
        shelf.get(found, job(seconds=0.1))
    assert time.monotonic() - started < 0.5
    go_on.set()
    assert shelf.get(found, job()).size == 100


def test_work_of_a_stopped_job_that_has_not_begun_never_does():
    shelf, go_on, done = Shelf(lambda checkpoint: Block(), budget=200), threading.Event(), []
    busy = threading.Thread(target=lambda: shelf.run(lambda: go_on.wait(30), job()))
    busy.start()
    with pytest.raises(Stopped):
        shelf.run(lambda: done.append("stopped"), job(seconds=0.1))
    go_on.set()
    shelf.run(lambda: done.append("next"), job())
    busy.join()
    assert done == ["next"]


def test_a_failed_load_is_tried_again(tmp_path):
    lab_models.network_file(tmp_path)
    (found,) = find_checkpoints("vision", (tmp_path,))
    tries = []

    def load(checkpoint):
        tries.append(checkpoint)
        if len(tries) == 1:
            raise RunError("damaged")
        return Block()

    shelf = Shelf(load, budget=200)
    with pytest.raises(RunError, match="damaged"):
        shelf.get(found, job())
    assert shelf.get(found, job()).size == 100


def test_a_network_of_the_zoo_is_found_and_loaded(tmp_path):
    (found,) = find_checkpoints("vision", (zoo_folder() / "mnist" / "lenet5-quick",))
    assert (found.subject, found.key) == ("mnist", "lenet5")
    assert load_classifier(found).probabilities(np.zeros((28, 28, 1), np.uint8)).sum() == pytest.approx(1, abs=1e-5)


def test_what_is_shipped_has_its_scores():
    for kind, folder, count in (("vision", zoo_folder(), 21), ("attention", WEIGHTS / "attention", 1)):
        found = find_checkpoints(kind, (folder,))
        assert len(found) == count
        assert all(checkpoint.score is not None and checkpoint.score > 0.6 for checkpoint in found)
