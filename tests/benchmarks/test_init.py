"""`--init imagenet`: a small published network in a cache of the hub, through the whole sweep to the table of gains."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from flax import nnx

from benchmarks import compare
from benchmarks.results import read_rows
from jax_models.classification import new_model
from jax_models.data import DATASETS
from jax_models.errors import UsageError
from jax_models.recipes import resolve_config

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "tests" / "jax_models"))

import published  # noqa: E402

OPTIONS = (
    "--init",
    "imagenet",
    "--preset",
    "quick",
    "--models",
    "resnet18",
    "--datasets",
    "mnist",
    "--batch-size",
    "30",
)


def run(folder: Path, *options: str, digest: str = "0" * 64) -> subprocess.CompletedProcess[str]:
    offline = {"HF_HUB_CACHE": str(folder / "hub"), "HF_HUB_OFFLINE": "1", "TINY_WEIGHTS": digest}
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "COLUMNS": "120", **offline}
    command = [sys.executable, str(HERE / "tiny" / "compare.py"), *OPTIONS, "--out", str(folder / "out"), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)


def test_the_gain_of_published_weights_is_shown(tmp_path, monkeypatch):
    published.shrink(monkeypatch)
    network = new_model(
        resolve_config("resnet18", "mnist", preset="quick-scratch"), DATASETS["mnist"], rngs=nnx.Rngs(0)
    )
    digest = published.put_into_cache(tmp_path / "hub", network.network)

    done = run(tmp_path, digest=digest)
    assert done.returncode == 0, done.stderr
    tuned, scratch = read_rows(tmp_path / "out")
    assert [row["preset"] for row in (tuned, scratch)] == ["quick-imagenet", "quick-scratch"]
    assert scratch["variant"]["weights"] is None
    assert tuned["variant"]["weights"] == "timm/resnet18.tv_in1k@bbd144b"
    assert len(tuned["history"]) == len(scratch["history"]) == 2
    assert "ResNet-18 on MNIST from ImageNet, seed 0: epoch 2/2" in done.stdout
    assert "What ImageNet weights bring" in done.stdout
    assert "mixes the presets" not in done.stdout

    (gain,) = csv.DictReader((tmp_path / "out" / "gains.csv").read_text().splitlines())
    assert float(gain["difference"]) == pytest.approx(tuned["test"]["accuracy"] - scratch["test"]["accuracy"])
    assert gain["verdict"] in ("better", "worse", "equivalent", "not distinguished")
    for name in ("table.md", "report.html"):
        text = (tmp_path / "out" / name).read_text()
        assert "What ImageNet weights bring" in text
        assert "from scratch" in text

    again = run(tmp_path, digest=digest)
    assert "2 of 2 cells are finished already" in again.stdout


def test_weights_that_cannot_be_had_stop_the_sweep_before_its_first_cell(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot fetch the weights of resnet18: download https://huggingface.co/timm/")
    assert f"put it at {tmp_path / 'hub'}" in done.stderr
    assert read_rows(tmp_path / "out") == []


def test_a_family_without_weights_is_left_out_of_all_and_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "sweep", lambda wanted, **_: seen.extend(wanted) or [])
    seen: list = []
    compare.main(["--init", "imagenet", "--preset", "full", "--out", str(tmp_path / "out")])
    assert [config.variant.network for config in seen if config.dataset == "mnist" and config.variant.weights] == [
        *("alexnet", "vgg16_bn", "resnet18", "googlenet", "xception", "legacy_seresnet18")
    ]
    assert {config.preset for config in seen} == {"full-imagenet", "full-scratch"}
    with pytest.raises(
        UsageError, match="LeNet-5 has no ImageNet weights: nobody has published any; choose from: alexnet"
    ):
        compare.main(["--init", "imagenet", "--models", "resnet18", "lenet5"])
