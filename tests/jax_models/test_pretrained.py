"""Trained networks by name: saving and loading, the zoo that comes with the package, the hub, published weights."""

import dataclasses
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from huggingface_hub import ModelCard, constants
from PIL import Image
from safetensors.numpy import save, save_file

from jax_models import create_model, evaluate, from_pretrained, list_models, list_zoo, load_dataset, push_to_hub
from jax_models.data import DATASETS
from jax_models.errors import RunError, UsageError
from jax_models.pretrained import Preprocessing, PretrainedModel, hub, imagenet
from jax_models.pretrained.card import model_card
from jax_models.pretrained.imagenet import HubFile, WebFile
from jax_models.pretrained.model import digest_of
from jax_models.weight_files import arrays_of


def small_network(name: str = "mnist/lenet5-quick", **changes: Any) -> PretrainedModel:
    """LeNet-5 with its first weights."""
    spec = DATASETS["mnist"]
    model = create_model("lenet5", num_classes=10, in_channels=1, preset="quick")
    model.eval()
    network = PretrainedModel(
        name=name,
        family="lenet5",
        architecture={},
        model=model,
        classes=spec.classes,
        preprocessing=Preprocessing.of_dataset(spec),
    )
    return dataclasses.replace(network, **changes)


def digits(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1)).astype(np.uint8)


def test_a_saved_network_answers_as_before(tmp_path):
    network = small_network()
    network.save_pretrained(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    loaded = from_pretrained(tmp_path)
    assert loaded.classes == network.classes
    np.testing.assert_array_equal(loaded.probabilities(digits()), network.probabilities(digits()))


def test_float16_halves_the_file_and_rounds_as_rounded_does(tmp_path):
    network = small_network()
    for dtype in ("float32", "float16"):
        network.save_pretrained(tmp_path / dtype, dtype=dtype)
    sizes = [(tmp_path / dtype / "model.safetensors").stat().st_size for dtype in ("float16", "float32")]
    assert sizes[0] < 0.52 * sizes[1]
    loaded, rounded = from_pretrained(tmp_path / "float16"), network.rounded("float16")
    np.testing.assert_array_equal(loaded.probabilities(digits()), rounded.probabilities(digits()))
    assert not np.array_equal(loaded.probabilities(digits()), network.probabilities(digits()))
    with pytest.raises(UsageError, match="unknown dtype 'int8'; choose from: float32 float16"):
        network.save_pretrained(tmp_path, dtype="int8")


def test_probabilities_are_those_of_evaluate():
    """The same preprocessing, so that a zoo's scores are the pipeline's."""
    split = toy.split(20)
    network = small_network()
    wanted = evaluate(network.model, split, DATASETS["mnist"]).probabilities
    np.testing.assert_allclose(network.probabilities(split.images), wanted, atol=1e-6)
    np.testing.assert_allclose(wanted.sum(1), 1, atol=1e-5)


def test_images_of_another_shape_are_refused():
    wanted = r"reads uint8 images \(pixels 0 to 255\) of shape \(n, 32, 32, 1\) or smaller"
    for shape in ((1, 33, 33, 1), (1, 28, 28, 3)):
        with pytest.raises(UsageError, match=wanted):
            small_network().probabilities(np.zeros(shape, np.uint8))
    assert small_network().classify([]).shape == (0, 10)
    assert small_network().probabilities(digits(0)).shape == (0, 10)


def test_a_folder_without_a_network_says_what_is_missing(tmp_path):
    with pytest.raises(UsageError, match=r"holds no trained network: config.json and model.safetensors missing"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "config", "classes", "format"])
def test_damage_is_told_in_one_line(tmp_path, damage):
    small_network().save_pretrained(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    content = json.loads(config.read_text())
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "flipped":
        weights.write_bytes(weights.read_bytes()[:-100] + b"\xff" * 100)
    elif damage == "other":
        content["architecture"] = {"hidden": [12, 8]}
    elif damage == "classes":
        content["classes"] = content["classes"][:4]
    elif damage == "format":
        content["format"] = 99
    config.write_text("{" if damage == "config" else json.dumps(content))
    with pytest.raises(RunError, match=r"damaged|is not what config.json describes") as error:
        from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": "resnet99"}, "unknown family 'resnet99'; choose from: lenet5"),
        ({"architecture": {"width": 3}}, "unexpected keyword argument 'width'"),
        ({"name": None}, "'name' is missing"),
        ({"classes": []}, "does not describe"),
        ({"preprocessing": {}}, "missing"),
        ({"preprocessing": {"image_size": 64}}, "does not describe"),
        ({"preprocessing": {"std": [0.0]}}, "std must be positive"),
        ({"preprocessing": {"std": [1, 1, 1]}}, "one finite number each, or three"),
        ({"preprocessing": {"mean": ["a"]}}, "does not describe"),
    ],
)
def test_a_configuration_of_another_version_is_told(tmp_path, changes, words):
    small_network().save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    content = json.loads(config.read_text())
    if changes.get("preprocessing"):
        changes = {"preprocessing": content["preprocessing"] | changes["preprocessing"]}
    content = {name: value for name, value in (content | changes).items() if value is not None}
    config.write_text(json.dumps(content))
    with pytest.raises(RunError, match=rf"does not describe a network of this version.*{words}|{words}") as error:
        from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


def test_the_model_card_is_one_that_the_hub_reads(tmp_path):
    scores = {"accuracy": 0.9934, "precision": 0.99, "recall": 0.98, "f1": 0.97, "loss": 0.1178}
    about = {
        "weights": digest_of(arrays_of(small_network().model)),
        "dataset": "mnist",
        "test": {"n": 10_000, "interval": (0.9916, 0.9948), **scores},
        "study": {"seeds": 5, "mean": 0.9931, "interval": (0.992, 0.994)},
    }
    small_network(about=about).save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    card.data.to_yaml()
    assert card.data.library_name == "flax"
    assert card.data.pipeline_tag == "image-classification"
    assert {result.metric_type: result.metric_value for result in card.data.eval_results} == scores
    for text in (
        "99.34 %",
        "99.16 % to 99.48 %",
        "10,000",
        "61,706",
        "the first of 5 runs; their mean accuracy is 99.31 %",
    ):
        assert text in card.text
    small_network(about=about).save_pretrained(tmp_path, dtype="float16")
    assert "Scores" not in ModelCard.load(tmp_path / "README.md").text, "they are not those of the rounded weights"
    small_network().save_pretrained(tmp_path)  # a network of which nothing is known
    assert "Scores" not in ModelCard.load(tmp_path / "README.md").text


def test_unknown_names_say_what_there_is():
    with pytest.raises(
        UsageError, match="resnet99-quick' in the zoo, did you mean cifar10/resnet18-quick; choose from: cifar10/a"
    ):
        from_pretrained("cifar10/resnet99-quick")
    with pytest.raises(UsageError, match="no trained network 'resnet18': it must be a folder, OWNER/NAME on the hub"):
        from_pretrained("resnet18")
    with pytest.raises(UsageError, match=r"there is no folder \./mine"):
        from_pretrained("./mine")
    with pytest.raises(UsageError, match=r"resnet50 is a network of ImageNet: give preset='imagenet'"):
        create_model("resnet50", num_classes=10)
    with pytest.raises(UsageError, match="unknown ImageNet model 'vgg99'; choose from: alexnet"):
        from_pretrained("imagenet/vgg99")
    with pytest.raises(UsageError, match="LeNet-5 has no ImageNet weights"):
        from_pretrained("imagenet/lenet5")
    with pytest.raises(UsageError, match="a file of weights is for imagenet"):
        from_pretrained("mnist/lenet5-quick", file="weights.pth")


def test_the_zoo_has_every_family_on_every_data_set():
    assert set(list_zoo()) == {f"{dataset}/{model}-quick" for dataset in DATASETS for model in list_models()}


@pytest.mark.parametrize("name", list_zoo())
def test_a_network_of_the_zoo_loads_and_says_where_it_comes_from(name):
    network = from_pretrained(name)
    about: Any = network.about
    size = (hub.ZOO / name / "model.safetensors").stat().st_size
    assert network.name == name
    assert (hub.ZOO / name / "README.md").read_text() == model_card(
        json.loads((hub.ZOO / name / "config.json").read_text())
    )
    assert size < 10e6
    assert about["test"]["n"] == 10_000
    low, high = about["test"]["interval"]
    assert low < about["test"]["accuracy"] < high
    assert about["run"]["cell"].startswith(f"{network.family}/{about['dataset']}/quick/s{about['run']['seed']}/")
    assert network.probabilities(np.zeros((1, *DATASETS[about["dataset"]].shape), np.uint8)).shape == (1, 10)


def test_the_zoo_is_small_enough_to_ship():
    assert sum(file.stat().st_size for file in hub.ZOO.glob("*/*/*")) < 20e6


@pytest.mark.slow
@pytest.mark.parametrize("name", list_zoo())
def test_a_network_of_the_zoo_scores_on_the_test_split_what_its_card_says(name):
    """Exactly on the machine that made it; elsewhere sums may be rounded otherwise."""
    network = from_pretrained(name)
    about: Any = network.about
    found = evaluate(network.model, load_dataset(about["dataset"]).test, DATASETS[about["dataset"]])
    right, wanted = (round(10_000 * scores["accuracy"]) for scores in (found.metrics, about["test"]))
    assert abs(right - wanted) <= 2


# The hub and the web, without network.


def of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def put(cache: Path, repo: str, revision: str, *, kind: str = "models") -> Path:
    """The folder of a repository's snapshot, as the hub's library lays it out."""
    folder = cache / f"{kind}--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(revision)
    return snapshot


def test_a_repository_of_the_hub_is_loaded_from_its_cache(tmp_path, monkeypatch):
    network = small_network(name="someone/digits")
    network.save_pretrained(put(of_the_hub(tmp_path, monkeypatch), "someone/digits", "a" * 40))
    loaded = from_pretrained("someone/digits")
    np.testing.assert_array_equal(loaded.probabilities(digits()), network.probabilities(digits()))


def test_a_repository_that_cannot_be_had_is_told_in_one_line(tmp_path, monkeypatch):
    of_the_hub(tmp_path, monkeypatch)
    with pytest.raises(RunError, match="cannot get someone/digits from the hub") as error:
        from_pretrained("someone/digits")
    assert "\n" not in str(error.value)
    with pytest.raises(RunError, match="cannot write someone/digits on the hub"):
        push_to_hub(small_network(), "someone/digits")
    with pytest.raises(UsageError, match="'digits' is no repository of the hub; it must be OWNER/NAME"):
        push_to_hub(small_network(), "digits")


def tiny_state_dict(name: str) -> dict[str, np.ndarray]:
    shapes = json.loads(Path(__file__).with_name("torch_state_dicts.json").read_text())[name]
    return {key: np.full(shape, 0.01, np.float32) for key, shape in shapes.items()}


def publish(monkeypatch: pytest.MonkeyPatch, name: str, file: Any) -> None:
    monkeypatch.setattr(imagenet, "WEIGHTS", {name: dataclasses.replace(imagenet.WEIGHTS[name], file=file)})


def test_published_weights_are_found_in_the_hubs_cache(tmp_path, monkeypatch):
    data = save(tiny_state_dict("resnet18"))
    cache, digest = of_the_hub(tmp_path, monkeypatch), hashlib.sha256(data).hexdigest()
    publish(monkeypatch, "resnet18", HubFile(repo="timm/resnet18.tv_in1k", revision="b" * 40, sha256=digest))
    file = put(cache, "timm/resnet18.tv_in1k", "b" * 40) / "model.safetensors"
    file.write_bytes(data)
    labels = put(cache, imagenet.LABELS[0], "c" * 40, kind="datasets") / imagenet.LABELS[1]
    labels.write_text(json.dumps({str(number): f"class {number}" for number in range(1000)}))
    network = from_pretrained("imagenet/resnet18")
    assert network.classes[3] == "class 3"
    photo = Image.new("RGB", (300, 260), "green")
    assert network.preprocessing.picture(photo).shape == (224, 224, 3)
    file.write_bytes(data[:-4] + b"oops")
    with pytest.raises(RunError, match=r"is damaged or not the published file: its sha256 is not"):
        from_pretrained("imagenet/resnet18")


def test_without_network_the_error_names_the_file_and_its_place(tmp_path, monkeypatch):
    of_the_hub(tmp_path, monkeypatch)
    with pytest.raises(RunError) as error:
        from_pretrained("imagenet/resnet18")
    text = str(error.value)
    assert "download https://huggingface.co/timm/resnet18.tv_in1k/resolve/bbd144b" in text
    assert f"put it at {tmp_path / 'hub'}/models--timm--resnet18.tv_in1k/snapshots/bbd144b" in text
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    publish(monkeypatch, "alexnet", WebFile(url="http://127.0.0.1:9/alexnet-owt-7be5be79.pth"))
    with pytest.raises(RunError, match=r"download http.*put it at .*torch/hub/checkpoints/alexnet-owt-7be5be79\.pth"):
        from_pretrained("imagenet/alexnet")


def test_without_network_nothing_is_tried_for_half_a_minute(tmp_path, monkeypatch):
    """huggingface_hub itself is online here, and would try six times."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(urllib.request, "getproxies", dict)

    def look_up(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    started = time.monotonic()
    with pytest.raises(RunError, match="cannot fetch the weights of resnet18"):
        from_pretrained("imagenet/resnet18")
    with pytest.raises(RunError, match="cannot get someone/digits from the hub"):
        from_pretrained("someone/digits")
    assert time.monotonic() - started < 10


def test_the_hub_is_reached_by_a_process_that_has_not_used_it_before(tmp_path):
    code = "from jax_models import from_pretrained; from_pretrained('someone/digits')"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("jax_models.errors.RunError: cannot get someone/digits from the hub")


def test_a_file_that_torchvision_has_fetched_is_used_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    of_the_hub(tmp_path, monkeypatch)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    tensors = {key: torch.from_numpy(array) for key, array in tiny_state_dict("googlenet").items()}
    torch.save(tensors, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    publish(monkeypatch, "googlenet", WebFile(url=f"http://127.0.0.1:9/googlenet-{digest}.pth"))
    (folder / "new.pth").rename(folder / f"googlenet-{digest}.pth")
    network = from_pretrained("imagenet/googlenet")
    assert network.classes[-1] == "999", "the names could not be had"
    assert network.preprocessing.mean == (0.5, 0.5, 0.5)
    (folder / f"googlenet-{digest}.pth").write_bytes(b"cut")
    with pytest.raises(RunError, match="damaged or not the published file"):
        from_pretrained("imagenet/googlenet")


def test_weights_on_this_machine_are_read_as_they_are(tmp_path, monkeypatch):
    of_the_hub(tmp_path, monkeypatch)
    entries = tiny_state_dict("resnet18") | {
        "fc.weight": np.ones((7, 512), np.float32),
        "fc.bias": np.ones(7, np.float32),
    }
    save_file(entries, tmp_path / "mine.safetensors")
    network = from_pretrained("imagenet/resnet18", file=tmp_path / "mine.safetensors")
    assert len(network.classes) == 7
    assert set(arrays_of(network.model)) == set(arrays_of(create_model("resnet18", num_classes=7, preset="imagenet")))
    with pytest.raises(RunError, match="there is no file"):
        from_pretrained("imagenet/resnet18", file=tmp_path / "other.safetensors")


def test_every_published_network_has_its_file_and_preprocessing():
    assert tuple(imagenet.WEIGHTS) == list_models(pretrained="imagenet")
    for published in imagenet.WEIGHTS.values():
        if isinstance(published.file, HubFile):
            assert (len(published.file.revision), len(published.file.sha256)) == (40, 64)
        else:
            assert len(published.file.name.removesuffix(".pth").rpartition("-")[2]) >= 8


def test_a_photo_is_scaled_and_cut_as_torchvision_does():
    """The shorter side to 256, then the middle 224: of a picture with a red middle, red is all that is left."""
    picture = Image.new("RGB", (512, 256), "blue")
    picture.paste("red", (256 - 120, 0, 256 + 120, 256))
    pixels = imagenet.WEIGHTS["resnet18"].preprocessing.picture(picture)
    assert pixels.shape == (224, 224, 3)
    assert (pixels == (255, 0, 0)).all()


def test_what_is_no_list_of_whole_pictures_is_refused_by_a_sentence(tmp_path):
    network = small_network()
    digit = Image.new("L", (40, 40), "white")
    Image.effect_noise((80, 80), 50).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    with pytest.raises(UsageError, match="picture 2 of 2 is broken"), Image.open(tmp_path / "cut.png") as cut:
        network.classify([digit, cut])
