"""The training core: schedule, optimisers, moving averages, and checkpoints that a run goes on from."""

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy
from flax import nnx

from jax_models.classification import FitResult, fit
from jax_models.errors import RunError, UsageError
from jax_models.recipes import Recipe, TrainConfig
from jax_models.training.checkpoint import Checkpoints
from jax_models.training.loop import EpochRecord
from jax_models.training.optim import learning_rate_schedule, make_optimizer
from jax_models.training.state import TrainState, apply_gradients, create_state, final_variables

OPTIMIZERS = ("sgd", "adamw", "muon")
SHAPES = {"conv": (3, 3, 4, 8), "depthwise": (3, 3, 1, 4), "linear": (12, 5), "bias": (8,), "scale": (8,)}
RUN = toy.config(epochs=3, crop_padding=2, flip=True, ema_decay=0.9)


class Stopped(Exception):
    """What ends a run early in these tests."""


def first_update(recipe: Recipe, grads: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """The optimiser's first update of parameters that are all 1."""
    tx, params = make_optimizer(recipe), jax.tree.map(jnp.ones_like, grads)
    updates, _ = jax.jit(tx.update)(grads, tx.init(params), params)
    return updates


def random_gradients() -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    return {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in SHAPES.items()}


@functools.cache
def muon_update() -> dict[str, jax.Array]:
    return first_update(Recipe(optimizer="muon", weight_decay=0.0), random_gradients())


def test_learning_rate_rises_to_its_peak_at_the_warm_up_fraction_and_falls_to_nearly_zero():
    schedule = learning_rate_schedule(Recipe(peak_learning_rate=0.4, warmup=0.25), 100)
    rates = np.asarray([schedule(step) for step in range(100)])
    assert rates.argmax() == 25
    assert rates.max() == pytest.approx(0.4)
    assert (np.diff(rates[:26]) > 0).all()
    assert (np.diff(rates[25:]) < 0).all()
    assert 0 < rates[-1] < 0.02 * 0.4
    assert float(schedule(100)) == 0.0


@pytest.mark.parametrize("total_steps", [1, 2, 3])
def test_learning_rate_of_the_shortest_runs_is_positive_and_never_above_its_peak(total_steps):
    schedule = learning_rate_schedule(Recipe(peak_learning_rate=0.4), total_steps)
    assert all(0 < schedule(step) <= 0.4 for step in range(total_steps))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_shrinks_kernels_and_leaves_biases_and_scales_alone(optimizer):
    nothing = {name: jnp.zeros(shape) for name, shape in SHAPES.items()}
    updates = first_update(Recipe(optimizer=optimizer, weight_decay=0.1), nothing)
    assert (updates["conv"] < 0).all()
    assert (updates["linear"] < 0).all()
    assert not updates["bias"].any()
    assert not updates["scale"].any()
    updates = first_update(Recipe(optimizer=optimizer, weight_decay=0.0), nothing)
    assert not any(update.any() for update in updates.values())


def test_sgd_steps_with_nesterov_momentum():
    grads = random_gradients()
    updates = first_update(Recipe(optimizer="sgd", weight_decay=0.01, momentum=0.9), grads)
    assert jnp.allclose(updates["linear"], -1.9 * (grads["linear"] + 0.01), rtol=1e-5)
    assert jnp.allclose(updates["bias"], -1.9 * grads["bias"], rtol=1e-5)


@pytest.mark.parametrize("name", ["conv", "linear"])
def test_muon_gives_kernels_nearly_orthogonal_updates_as_large_as_those_of_adamw(name):
    updates = muon_update()
    matrix = np.asarray(updates[name]).reshape(-1, SHAPES[name][-1])
    gradient = np.asarray(random_gradients()[name]).reshape(matrix.shape)
    values = np.linalg.svd(matrix, compute_uv=False)
    assert values.min() > 0.5 * values.max()
    assert np.sqrt((matrix**2).mean()) == pytest.approx(0.2, rel=0.3)
    assert (matrix * gradient).sum() < 0


@pytest.mark.parametrize("name", ["depthwise", "bias", "scale"])
def test_muon_leaves_depthwise_kernels_and_vectors_to_adam(name):
    """Adam's first step has the same size in every element, whatever the gradient."""
    steps = np.asarray(muon_update()[name])
    assert np.abs(steps) == pytest.approx(np.abs(steps).max() * np.ones_like(steps), rel=1e-3)
    assert (np.sign(steps) == -np.sign(random_gradients()[name])).all()


def small_state(*, average: bool) -> tuple[TrainState, optax.GradientTransformation]:
    tx = optax.sgd(1.0)
    params, batch_stats = {"kernel": jnp.asarray([1.0, -2.0])}, {"mean": jnp.asarray([0.0])}
    return create_state(params, batch_stats, tx, key=jax.random.key(0), average=average), tx


def take_steps(state: TrainState, tx: optax.GradientTransformation, *, ema_decay: float) -> list[TrainState]:
    """Three steps down the gradient (1, 2); the batch statistics are 10, 20 and 30."""
    states = []
    for statistic in (10.0, 20.0, 30.0):
        grads, batch_stats = {"kernel": jnp.asarray([1.0, 2.0])}, {"mean": jnp.asarray([statistic])}
        state = apply_gradients(state, grads, batch_stats, tx, learning_rate=0.5, ema_decay=ema_decay)
        states.append(state)
    return states


def test_without_averaging_the_last_weights_and_statistics_are_the_final_ones():
    state, tx = small_state(average=False)
    last = take_steps(state, tx, ema_decay=0.0)[-1]
    params, batch_stats = final_variables(last)
    assert params["kernel"].tolist() == [-0.5, -5.0]
    assert batch_stats["mean"].tolist() == [30.0]
    assert int(last.step) == 3


@pytest.mark.parametrize("decay", [0.05, 0.15, 0.999])
def test_with_averaging_the_moving_average_of_weights_and_statistics_is_final(decay):
    start, tx = small_state(average=True)
    kernel, statistic = np.asarray([1.0, -2.0]), 0.0
    for step, state in enumerate(take_steps(start, tx, ema_decay=decay)):
        kept = min(decay, (1 + step) / (10 + step))
        kernel = kept * kernel + (1 - kept) * (np.asarray([1.0, -2.0]) - 0.5 * (step + 1) * np.asarray([1.0, 2.0]))
        statistic = kept * statistic + (1 - kept) * 10 * (step + 1)
        params, batch_stats = final_variables(state)
        assert params["kernel"] == pytest.approx(kernel, rel=1e-6)
        assert batch_stats["mean"] == pytest.approx(statistic, rel=1e-6)
        assert state.params["kernel"].tolist() == [1 - 0.5 * (step + 1), -2 - (step + 1)], "training goes on unaveraged"


def weights(fitted: FitResult) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(fitted.model))]


def without_seconds(history: list[EpochRecord]) -> list[EpochRecord]:
    return [dataclasses.replace(record, seconds=0.0) for record in history]


def stop_after(epoch: int, checkpoint_dir: Path, config: TrainConfig = RUN) -> None:
    """Runs until the end of an epoch and leaves its checkpoints."""

    def stop(record: EpochRecord) -> None:
        if record.epoch == epoch:
            raise Stopped

    with pytest.raises(Stopped):
        fit(config, toy.dataset(), on_epoch=stop, checkpoint_dir=checkpoint_dir)


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory) -> Path:
    """The checkpoints of a run that was stopped after its second epoch; for reading only."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    stop_after(2, folder)
    return folder


def copy(checkpointed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpointed, tmp_path / "copy"))


def test_a_stopped_run_with_batch_statistics_and_dropout_goes_on_bit_for_bit(tmp_path):
    muon = dataclasses.replace(RUN.recipe, optimizer="muon")
    run = dataclasses.replace(RUN, model="resnet18", architecture=toy.TINY_RESNET, recipe=muon)
    stop_after(2, tmp_path / "checkpoints", run)
    whole, resumed = fit(run, toy.dataset()), fit(run, toy.dataset(), checkpoint_dir=tmp_path / "checkpoints")
    assert all((a == b).all() for a, b in zip(weights(whole), weights(resumed), strict=True))
    assert without_seconds(resumed.history) == without_seconds(whole.history)


def test_a_stopped_run_goes_on_to_the_same_weights_and_history_bit_for_bit(checkpointed, tmp_path):
    folder, epochs, steps = copy(checkpointed, tmp_path), [], []
    whole = fit(RUN, toy.dataset())
    resumed = fit(
        RUN,
        toy.dataset(),
        on_epoch=lambda record: epochs.append(record.epoch),
        on_step=lambda done, total: steps.append((done, total)),
        checkpoint_dir=folder,
    )
    assert epochs == [3], "the first two were not trained again"
    assert steps == [(done, 18) for done in range(13, 19)]
    assert all((a == b).all() for a, b in zip(weights(whole), weights(resumed), strict=True))
    assert without_seconds(resumed.history) == without_seconds(whole.history)
    again = fit(RUN, toy.dataset(), on_epoch=lambda record: epochs.append(record.epoch), checkpoint_dir=folder)
    assert epochs == [3], "a finished run trains no more"
    assert all((a == b).all() for a, b in zip(weights(whole), weights(again), strict=True))
    assert again.history == resumed.history


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"epochs": 4}, {"recipe": dataclasses.replace(RUN.recipe, flip=False)}]
)
def test_checkpoints_of_another_run_are_refused_in_one_line_that_names_both(checkpointed, change: dict[str, Any]):
    other = dataclasses.replace(RUN, **change)
    with pytest.raises(UsageError) as error:
        Checkpoints(checkpointed, other.cell).latest(small_state(average=True)[0])
    message = str(error.value)
    assert RUN.cell in message
    assert other.cell in message
    assert str(checkpointed) in message
    assert "\n" not in message
    assert {path.name for path in checkpointed.iterdir()} == {"1", "2"}, "nothing was touched"


def test_a_file_in_the_place_of_the_checkpoints_is_left_alone(tmp_path):
    (tmp_path / "checkpoints").write_text("mine")
    with pytest.raises(UsageError, match="checkpoints is a file"):
        fit(RUN, toy.dataset(), checkpoint_dir=tmp_path / "checkpoints")
    assert (tmp_path / "checkpoints").read_text() == "mine"


def test_a_checkpoint_that_cannot_be_written_is_one_line_and_the_one_before_it_stays(tmp_path):
    """A limit on file sizes stands in for a full disk; it holds for a child process alone."""
    folder = tmp_path / "checkpoints"
    stop_after(1, folder)
    code = (
        "import resource, signal, sys; from pathlib import Path; import toy, test_training\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "from jax_models.errors import RunError\n"
        "try: test_training.fit(test_training.RUN, toy.dataset(), checkpoint_dir=Path(sys.argv[1]))\n"
        "except RunError as error: print(error)"
    )
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PYTHONPATH": paths, "JAX_ENABLE_COMPILATION_CACHE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"cannot save a checkpoint in {folder}: ")
    epochs = []
    fit(RUN, toy.dataset(), on_epoch=lambda record: epochs.append(record.epoch), checkpoint_dir=folder)
    assert epochs == [2, 3]


def test_the_last_two_epochs_are_kept_and_other_files_left_alone(checkpointed, tmp_path):
    folder = copy(checkpointed, tmp_path)
    (folder / "notes").mkdir()
    (folder / "notes" / "why.txt").write_text("mine")
    fit(RUN, toy.dataset(), checkpoint_dir=folder)
    assert {path.name for path in folder.iterdir()} == {"2", "3", "notes"}
    assert (folder / "notes" / "why.txt").read_text() == "mine"


def test_a_damaged_checkpoint_is_named_in_one_line_and_the_one_before_it_still_serves(checkpointed, tmp_path):
    folder = copy(checkpointed, tmp_path)
    (folder / "2" / "state" / "_METADATA").unlink()
    with pytest.raises(RunError, match=r"2 is damaged; move it away") as error:
        fit(RUN, toy.dataset(), checkpoint_dir=folder)
    assert "\n" not in str(error.value)
    (folder / "2").rename(tmp_path / "damaged")
    epochs = []
    fit(RUN, toy.dataset(), on_epoch=lambda record: epochs.append(record.epoch), checkpoint_dir=folder)
    assert epochs == [2, 3]


def test_a_checkpoint_with_one_flipped_bit_is_refused(checkpointed, tmp_path):
    folder = copy(checkpointed, tmp_path)
    largest = max((folder / "2").rglob("d/*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    with pytest.raises(RunError, match=r"2 is damaged"):
        fit(RUN, toy.dataset(), checkpoint_dir=folder)
