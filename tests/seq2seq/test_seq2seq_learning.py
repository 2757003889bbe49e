"""Training: a small task is learnt to perfection in seconds, and a stopped run goes on bit for bit."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from jax_models.errors import RunError, UsageError
from jax_models.training.loop import Diverged
from seq2seq import TrainConfig, decode, load_model, resolve_config, save_model, train
from seq2seq.configuration import Recipe
from seq2seq.data import STEPS_PER_EPOCH, ranges
from seq2seq.scoring import score
from seq2seq.tasks import TEST, held_out_sources, with_targets

ROOT = Path(__file__).resolve().parents[2]
TINY = TrainConfig(
    steps=300,
    batch_size=64,
    max_length=4,
    vocabulary_size=5,
    hidden_size=32,
    embedding_size=16,
    attention_size=16,
    recipe=Recipe(peak_learning_rate=0.02, dropout=0.0),
)
SHORT = dataclasses.replace(TINY, steps=20, batch_size=8)


def weights(fitted) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(fitted.trained.model))]


@pytest.fixture(scope="module")
def fitted():
    return train(TINY)


def test_reversal_of_a_tiny_vocabulary_is_learnt_without_an_error(fitted):
    judged = score(fitted.trained.model, with_targets("reverse", held_out_sources(TEST, 200, **ranges(TINY))))
    assert len(judged.exact) > 30
    assert (judged.errors, judged.exact_match, judged.token_accuracy) == (0, 1.0, 1.0)
    assert set(judged.by_length().values()) == {1.0}
    assert decode(fitted.trained, [[0, 1, 2, 3], [4, 4]]) == [[3, 2, 1, 0], [4, 4]]


def test_scores_count_errors_in_the_models_own_output(fitted):
    examples = with_targets("sort", held_out_sources(TEST, 200, **ranges(TINY)))
    judged = score(fitted.trained.model, examples)
    rows = [fitted.trained.vocabulary.decode(row) for row in np.asarray(examples.source)]
    wrong = sum(row[::-1] != sorted(row) for row in rows)  # it reverses, which only by chance is what was asked for
    assert judged.errors == wrong > 0
    assert judged.exact_match == pytest.approx(1 - wrong / len(rows))


def test_a_saved_model_loads_with_its_vocabulary_and_writes_the_same(fitted, tmp_path):
    save_model(fitted.trained, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.config == TINY
    assert decode(loaded, [[0, 1, 2, 3]]) == [[3, 2, 1, 0]]
    with pytest.raises(UsageError, match="of the task reverse, not sort"):
        load_model(tmp_path, task="sort")
    (tmp_path / "weights.npz").write_bytes(b"torn")
    with pytest.raises(RunError, match="is damaged"):
        load_model(tmp_path)
    with pytest.raises(UsageError, match="holds no finished model"):
        load_model(tmp_path / "elsewhere")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    one, same, other = (train(dataclasses.replace(SHORT, seed=seed)) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(weights(one), weights(same), strict=True))
    assert not all((a == b).all() for a, b in zip(weights(one), weights(other), strict=True))


def test_a_model_without_attention_goes_on_from_its_checkpoint(tmp_path):
    config = dataclasses.replace(SHORT, attention="none", steps=10)
    whole = train(config, checkpoint_dir=tmp_path)
    again = train(config, checkpoint_dir=tmp_path)
    assert again.history == whole.history
    assert all((a == b).all() for a, b in zip(weights(again), weights(whole), strict=True))


def test_a_diverged_run_says_so_also_when_only_the_last_step_broke_it():
    with pytest.raises(Diverged, match="lower the"):
        train(dataclasses.replace(SHORT, steps=1, recipe=Recipe(peak_learning_rate=1e38)))


def test_what_cannot_be_held_out_or_makes_no_sense_is_refused():
    with pytest.raises(UsageError, match="too few sequences of at most 2"):
        train(dataclasses.replace(SHORT, vocabulary_size=2, max_length=2))
    with pytest.raises(UsageError, match="dates need at least 29"):
        train(resolve_config("dates", max_length=28))
    with pytest.raises(UsageError, match="counts epochs, so steps must be 0"):
        TrainConfig(task="pairs")
    with pytest.raises(UsageError, match=r"dropout is 1\.5"):
        Recipe(dropout=1.5)
    with pytest.raises(UsageError, match="unknown optimizer 'adma'"):
        Recipe(optimizer="adma")


@pytest.mark.parametrize("attention", ["none", "dot", "location"])
def test_every_attention_trains_also_with_scheduled_sampling(attention):
    fitted = train(dataclasses.replace(SHORT, attention=attention, teacher_forcing=(1.0, 0.5)))
    assert np.isfinite(fitted.history[-1].train_loss)


def test_a_stopped_run_goes_on_to_the_same_weights_bit_for_bit(tmp_path):
    class Stopped(Exception):
        pass

    def stop(record):
        raise Stopped

    config = dataclasses.replace(SHORT, steps=STEPS_PER_EPOCH + 25)
    with pytest.raises(Stopped):
        train(config, on_epoch=stop, checkpoint_dir=tmp_path)
    epochs = []
    resumed = train(config, on_epoch=lambda record: epochs.append(record.epoch), checkpoint_dir=tmp_path)
    assert epochs == [2], "the first was not trained again"
    assert all((a == b).all() for a, b in zip(weights(resumed), weights(train(config)), strict=True))


def run_command(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seq2seq.train", "--max-length", "3", "--vocabulary-size", "4", *options]
    settings = ["--batch-size", "8", "--hidden-size", "16"]
    return subprocess.run([*command, *settings], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_writes_metrics_a_model_and_figures_and_goes_on_after_a_kill(tmp_path):
    out = tmp_path / "out"
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from seq2seq import TrainConfig\n"
        "from seq2seq.learning import train\n"
        "from seq2seq.machine import share_the_cores\n"
        "share_the_cores()\n"
        "config = TrainConfig(steps=450, batch_size=8, max_length=3, vocabulary_size=4, hidden_size=16)\n"
        "die = lambda record: os.kill(os.getpid(), signal.SIGKILL) if record.epoch == 2 else None\n"
        "train(config, on_epoch=die, checkpoint_dir=Path(sys.argv[1]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(out / "checkpoints")], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    resumed, whole = (run_command("--steps", "450", "--out", str(folder)) for folder in (out, tmp_path / "whole"))
    assert resumed.returncode == whole.returncode == 0, resumed.stderr + whole.stderr
    assert "epoch  1" not in resumed.stdout
    assert "epoch  3" in resumed.stdout
    with np.load(out / "weights.npz") as ours, np.load(tmp_path / "whole" / "weights.npz") as expected:
        assert all(ours[name].tobytes() == expected[name].tobytes() for name in expected.files)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["test_size"] == len(held_out_sources(TEST, 10_000, num_symbols=4, min_length=1, max_length=3))
    assert metrics["exact_match"] == 1 - metrics["errors"] / metrics["test_size"]
    assert {path.name for path in (out / "figures").iterdir()} == {"curves.png", "lengths.png", "attention.png"}
    assert "unseen sequences" in resumed.stdout
    other = run_command("--steps", "451", "--out", str(out))
    assert other.returncode == 2
    assert other.stderr.count("\n") == 1
    assert "holds checkpoints of reverse/additive/s0/n450" in other.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "translate"], "unknown task 'translate'; choose from: reverse copy sort dates pairs"),
        (["--attention", "self"], "unknown attention 'self'; choose from: none additive dot location"),
        (["--steps", "-1"], "--steps: '-1' is not a whole number of at least 1"),
        (["--learning-rate", "0"], "--learning-rate: '0' is not a positive number"),
        (["--teacher-forcing", "1", "2"], "two numbers between 0 and 1 are needed"),
        (["--hidden-size", "7"], "two directions need an even one"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(options, message, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "seq2seq.train", *options, "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
