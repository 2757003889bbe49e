"""`python -m benchmarks.zoo`: the weights of a sweep, rounded, judged and written as the package ships them."""

import json
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from report_rows import make_row

from benchmarks import cells, run_files, zoo
from benchmarks.predictions import Predictions
from benchmarks.results import append_row
from jax_models import from_pretrained, resolve_config
from jax_models.classification import new_model
from jax_models.errors import UsageError


@pytest.fixture
def tiny(monkeypatch):
    """The tiny MNIST of the sweep's tests."""
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("tiny")))
    import dataset

    monkeypatch.setattr(zoo, "load_dataset", dataset.load)
    return dataset.load("mnist")


@pytest.fixture
def sweep(tmp_path, tiny):
    """Two seeds of LeNet-5 with its first weights, and predictions drawn at random."""
    out = tmp_path / "out"
    for seed in (1, 0):
        config = resolve_config("lenet5", "mnist", seed=seed)
        model = new_model(config, tiny.spec, rngs=nnx.Rngs(seed))
        drawn = np.random.default_rng(seed).dirichlet(np.ones(10), len(tiny.test.labels)).astype(np.float32)
        split = Predictions(drawn, tiny.test.labels)
        files = {
            "predictions": run_files.save_predictions(out, config, {"validation": split, "test": split}),
            "weights": run_files.save_weights(out, config, model, scores={}),
        }
        append_row(out, make_row("lenet5", "mnist", seed=seed) | cells.identity(config) | files)
    return out


def test_the_lowest_seed_is_rounded_judged_and_written(sweep, tiny, tmp_path, capsys):
    zoo.main([str(sweep), "--to", str(tmp_path / "zoo")])
    folder = tmp_path / "zoo" / "mnist" / "lenet5-quick"
    config = json.loads((folder / "config.json").read_text())
    assert config["run"]["seed"] == 0
    assert config["dtype"] == "float16"
    assert config["study"]["seeds"] == 2
    right = from_pretrained(folder).probabilities(tiny.test.images).argmax(-1) == tiny.test.labels
    assert config["test"]["n"] == len(right)
    assert config["test"]["accuracy"] == pytest.approx(right.mean())
    shown = capsys.readouterr().out
    assert f"{100 * right.mean():.2f}" in shown
    assert "mnist/lenet5-quick" in shown


def test_networks_made_for_imagenet_are_refused(tmp_path):
    config = resolve_config("resnet18", "mnist", preset="quick-scratch")
    append_row(tmp_path, make_row("resnet18", "mnist") | cells.identity(config))
    with pytest.raises(UsageError, match=r"is of --init imagenet: a zoo holds the families' own networks"):
        zoo.main([str(tmp_path)])


def test_a_folder_without_rows_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no finished cell in"):
        zoo.main([str(tmp_path)])
