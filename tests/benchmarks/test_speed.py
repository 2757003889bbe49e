"""`benchmarks.speed`: PyTorch runs our networks, with the same logits and gradients; JSON is JSON."""

import json
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_models import create_model, list_models

torch = pytest.importorskip("torch")

IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)


def torch_images():
    return torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("preset", ["quick", pytest.param("full", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", list_models())
def test_both_sides_give_the_same_logits(name, preset):
    from benchmarks.speed.torch_peer import torch_peer

    model = create_model(name, num_classes=10, preset=preset)
    peer = torch_peer(model).eval()
    assert sum(param.numel() for param in peer.parameters()) == sum(
        param.size for param in jax.tree.leaves(nnx.state(model, nnx.Param))
    )
    model.eval()
    with torch.inference_mode():
        theirs = peer(torch_images()).numpy()
    ours = np.asarray(model(jnp.asarray(IMAGES)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("name", ["lenet5", "se_resnet18"])
def test_both_sides_give_the_same_gradients(name):
    from benchmarks.speed.torch_peer import torch_peer

    model = create_model(name, num_classes=10, preset="quick")
    peer = torch_peer(model).eval()
    model.eval()
    peer(torch_images()).square().sum().backward()
    grads = nnx.grad(lambda model: (model(jnp.asarray(IMAGES)) ** 2).sum())(model)
    theirs = sorted(float(param.grad.square().sum()) for param in peer.parameters())
    ours = sorted(float((grad**2).sum()) for grad in jax.tree.leaves(grads))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6 * max(theirs))


def test_a_pair_takes_turns_until_its_time_is_over(monkeypatch):
    from benchmarks.speed import race

    monkeypatch.setattr(race, "PAIR_SECONDS", 0.1)
    assert 2 <= len(race._turns(lambda: time.sleep(0.02))) <= 5
    assert len(race._turns(lambda: time.sleep(0.2))) == 1


@pytest.mark.parametrize(("steps", "runs"), [(1, 1), (2, 3), (8, 10)])
def test_turns_of_several_steps_warm_up_before_the_clock_starts(steps, runs):
    from benchmarks.speed.torch_side import TorchSide

    done = []

    def block():
        time.sleep(0.01 if len(done) < runs - steps else 0.03)  # faster before the clock starts
        done.append(1)

    side = TorchSide()
    side.block, side.steps = block, steps
    assert side.measure()["seconds"] >= 0.03
    assert len(done) == runs


def run_speed(*arguments):
    command = [sys.executable, "-m", "benchmarks.speed", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_json_is_all_that_is_printed_and_files_are_written(tmp_path):
    one = ("--models", "lenet5", "--presets", "quick", "--pairs", "2", "--eager", "--modes", "infer1", "train")
    done = run_speed(*one, "--json", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["model"], row["preset"], row["mode"]) for row in rows] == [
        ("lenet5", "quick", "train"),
        ("lenet5", "quick", "infer1"),
    ]
    for row in rows:
        least, greatest = row["ratio_range"]
        assert 0 < least <= row["ratio"] <= greatest
        assert row["ours_ms"] > 0 < row["torch_ms"]
        assert set(row["torch_variants_ms"]) == {"eager, NCHW", "eager, channels-last"}
        assert row["logits_difference"] < 1e-4
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "speed.json", "table.md", "speed.png"}
    assert "| LeNet-5 | quick |" in (tmp_path / "table.md").read_text()

    more = run_speed(*one, "infer128", "--json", "--out", str(tmp_path))  # measures what is missing
    assert more.returncode == 0, more.stderr
    described = json.loads((tmp_path / "speed.json").read_text())
    assert described["rows"] == json.loads(more.stdout)
    assert described["rows"][:2] == rows
    assert described["rows"][2]["mode"] == "infer128"


def test_an_unknown_mode_is_one_line():
    done = run_speed("--modes", "fast")
    assert done.returncode == 2
    assert "infer128" in done.stderr
    assert "Traceback" not in done.stderr
