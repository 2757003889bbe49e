"""`benchmarks.speedrun`: the recipe does what it says, a run that was stopped goes on, and the table says what came."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from benchmarks.speedrun.network import SpeedResNet, whitening_filters
from benchmarks.speedrun.training import (
    SIX_VIEWS,
    SpeedRecipe,
    TrainingImages,
    accuracy,
    make_speed_optimizer,
    make_speed_step,
    predict,
    train,
)
from jax_models.data import DATASETS, Split
from jax_models.errors import UsageError
from jax_models.training.metrics import MetricSums
from jax_models.training.state import create_state, take_apart

TINY = Path(__file__).with_name("tiny")
SPEC = DATASETS["cifar10"]
RECIPE = SpeedRecipe(channels=(24, 24, 24), epochs=4, small_epochs=2, batch_size=20)


def stripes(count: int) -> Split:
    """Images of two classes, striped one way or the other, with noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int32) % 2
    bars = np.where(np.arange(32) // 4 % 2, 200, 60)[None, :, None]
    images = np.where(labels[:, None, None, None], bars[:, :, None], bars[:, None])
    noise = rng.integers(0, 40, (count, 32, 32, 3))
    return Split((images + noise).astype(np.uint8), labels)


def leaves(run):
    return jax.tree.leaves(run.variables)


def test_the_filters_make_patches_white():
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(size=(50, 32, 32, 3)), axis=1).astype(np.float32)
    filters = whitening_filters(smooth)
    assert filters.shape == (2, 2, 3, 24)
    windows = np.lib.stride_tricks.sliding_window_view(smooth, (2, 2), axis=(1, 2))
    seen = np.einsum("nyxckl,klco->nyxo", windows, filters).reshape(-1, 24)
    np.testing.assert_allclose(seen[:, :12].T @ seen[:, :12] / len(seen), np.eye(12), atol=2e-3)
    np.testing.assert_array_equal(filters[..., 12:], -filters[..., :12])


def test_filters_stay_on_their_sphere_and_turn_by_the_rate():
    tx = make_speed_optimizer(dataclasses.replace(RECIPE, filters_learning_rate=0.1), steps=10, whitening_steps=5)
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.asarray(rng.normal(size=(3, 3, 4, 8)), jnp.float32)}
    updates, _ = tx.update({"kernel": jnp.zeros((3, 3, 4, 8))}, tx.init(params), params)
    still = optax.apply_updates(params, updates)["kernel"]
    assert float(jnp.linalg.norm(still)) == pytest.approx(8**0.5, rel=1e-4)
    updates, _ = tx.update({"kernel": params["kernel"][..., ::-1]}, tx.init(params), params)
    moved = (optax.apply_updates(params, updates)["kernel"] - still).reshape(-1, 8)
    turned = np.linalg.svd(np.asarray(moved), compute_uv=False)
    assert turned.min() > 0.02
    assert turned.max() < 0.13, "0.1 times singular values near 1"


@pytest.mark.parametrize("small", [True, False])
def test_the_first_bias_learns_from_small_images_alone(small):
    split = stripes(20)
    model = SpeedResNet(10, filters=np.ones((2, 2, 3, 8), np.float32), channels=(8, 8, 8), rngs=nnx.Rngs(0))
    network, params, batch_stats = take_apart(model)
    tx = make_speed_optimizer(RECIPE, steps=10, whitening_steps=5)
    state = create_state(params, batch_stats, tx, key=jax.random.key(0), average=False)
    data = TrainingImages(
        images=jnp.asarray(split.images),
        labels=jnp.asarray(split.labels),
        mirrored=jnp.zeros(20, bool),
        mean=jnp.asarray(SPEC.mean),
        std=jnp.asarray(SPEC.std),
    )
    sums = MetricSums(*(jnp.zeros(()) for _ in range(3)))
    step = jax.jit(make_speed_step(network, tx, RECIPE, small=small, dtype=jnp.float32))
    state, sums = step(state, sums, data, jnp.arange(20), jnp.asarray(0))
    assert float(sums.count) == 20
    assert bool((state.params["whitening"]["bias"][...] != 0).any()) == small
    assert bool((state.params["groups"][0]["norm1"]["bias"][...] != 0).any())


def test_it_learns():
    split = stripes(200)
    run = train(RECIPE, 0, split, SPEC)
    logits = predict(run.network, run.variables, split.images, SPEC)
    assert accuracy(logits, split) > 0.95
    assert run.history[-1].learning_rate == 0


def test_a_run_that_was_stopped_comes_to_the_same_weights(tmp_path):
    split = stripes(60)
    whole = train(RECIPE, 3, split, SPEC)

    class Stopped(Exception):
        pass

    def stop_after_three(record):
        if record.epoch == 3:
            raise Stopped

    with pytest.raises(Stopped):
        train(RECIPE, 3, split, SPEC, checkpoint_dir=tmp_path, on_epoch=stop_after_three)
    resumed = train(RECIPE, 3, split, SPEC, checkpoint_dir=tmp_path)
    assert resumed.resumed_epochs == 3
    for ours, theirs in zip(leaves(resumed), leaves(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_views_are_weighted_shifts_and_mirror_images():
    split = stripes(20)
    run = train(dataclasses.replace(RECIPE, epochs=1, small_epochs=1), 0, split, SPEC)
    mixed = predict(run.network, run.variables, split.images, SPEC, views=SIX_VIEWS)
    padded = np.pad(split.images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    expected = np.zeros((20, 10))
    for weight, moved in ((0.5, split.images), (0.25, padded[:, :32, :32]), (0.25, padded[:, 2:, 2:])):
        for images in (moved, moved[:, :, ::-1]):
            expected += weight / 2 * predict(run.network, run.variables, np.ascontiguousarray(images), SPEC)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


def test_too_few_images_for_a_batch_are_refused():
    with pytest.raises(UsageError, match="batch size 20 is larger than the 10 training images"):
        train(RECIPE, 0, stripes(10), SPEC)


def run_speedrun(out, *arguments):
    command = [sys.executable, str(TINY / "speedrun.py"), "--out", str(out), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))


def test_the_command_keeps_rows_says_the_rules_and_adds_missing_seeds(tmp_path):
    settings = ("--epochs", "2", "--batch-size", "100")
    first = run_speedrun(tmp_path, *settings, "--seeds", "1")
    shown, errors = first.communicate()
    assert first.returncode == 0, errors
    assert "opened once, after training" in " ".join(shown.split())
    assert "n = 1" in shown
    again = run_speedrun(tmp_path, *settings, "--seeds", "2")
    shown, errors = again.communicate()
    assert again.returncode == 0, errors
    rows = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [row["seed"] for row in rows] == [0, 1]
    assert [len(row["history"]) for row in rows] == [2, 2]
    assert [row["num_params"] for row in rows] == [1_971_352] * 2, "the count in `network.py`"
    mean = 50 * (rows[0]["accuracy"] + rows[1]["accuracy"])
    assert f"{mean:.2f} %" in shown
    assert "n = 2" in shown
    assert f"{mean:.2f} %" in (tmp_path / "table.md").read_text()


def test_ctrl_c_ends_it_in_one_line(tmp_path):
    process = run_speedrun(tmp_path, "--seeds", "1", "--epochs", "500", "--batch-size", "100")
    while "epoch 1/500" not in (process.stdout.readline() or "epoch 1/500"):
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "error: interrupted; finished work is kept, run the same command to go on"
