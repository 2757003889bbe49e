"""`python -m jax_models`: wrong requests cost nothing, and a killed run goes on to the same weights bit for bit."""

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
import toy
from flax import nnx

from jax_models import __main__ as command
from jax_models.classification import fit
from jax_models.data import DATASETS, Dataset
from jax_models.errors import RunError, UsageError
from jax_models.output import locked
from jax_models.recipes import resolve_config

ROOT = Path(__file__).resolve().parents[2]


def tiny_dataset(name: str, **options: object) -> Dataset:
    """A stand-in for `load_dataset`: blocks that a small network can tell apart."""
    spec = DATASETS[name]

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count, dtype=np.int32) % 10
        images = np.random.default_rng(0).integers(0, 60, (count, *spec.shape)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 6, 4:24] = 255
        return images, labels

    return Dataset(spec, source="drawn", official_train=draw(200), open_test=lambda: draw(60))


def train_in_child(model: str, folder: str, kill_at: str) -> None:
    """Runs in a process of its own: trains, and kills that process at a step or after an epoch if asked to."""
    config = resolve_config(model, "fashion_mnist", preset="quick", epochs=3, batch_size=60)
    if model == "resnet18":
        config = dataclasses.replace(config, architecture=toy.TINY_RESNET)
    config = dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, ema_decay=0.9))

    def die(what: str, count: int) -> None:
        if kill_at == f"{what} {count}":
            os.kill(os.getpid(), signal.SIGKILL)

    fitted = fit(
        config,
        tiny_dataset("fashion_mnist"),
        on_epoch=lambda record: die("epoch", record.epoch),
        on_step=lambda done, total: die("step", done),
        checkpoint_dir=Path(folder) / "checkpoints",
    )
    leaves = jax.tree_util.tree_leaves_with_path(nnx.state(fitted.model))
    np.savez(Path(folder) / "weights.npz", **{jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves})
    records = [dataclasses.asdict(record) | {"seconds": None} for record in fitted.history]
    (Path(folder) / "history.json").write_text(json.dumps(records))


def run_child(model: str, folder: Path, kill_at: str = "never") -> int:
    folder.mkdir(exist_ok=True)
    code = "import sys, test_train_cli; test_train_cli.train_in_child(*sys.argv[1:])"
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", code, model, str(folder), kill_at],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("model", ["lenet5", pytest.param("resnet18", marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(model, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_child(model, whole) == 0
    assert run_child(model, killed, "epoch 1") == -signal.SIGKILL
    assert (
        run_child(model, killed, "step 8") == -signal.SIGKILL
    )  # in the middle of the last of three epochs of three steps
    assert not (killed / "weights.npz").exists()
    assert run_child(model, killed) == 0
    with np.load(whole / "weights.npz") as expected, np.load(killed / "weights.npz") as found:
        assert sorted(expected.files) == sorted(found.files)
        assert len(expected.files) >= 10
        for name in expected.files:
            assert expected[name].tobytes() == found[name].tobytes(), name
    assert (killed / "history.json").read_text() == (whole / "history.json").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "nosuchnet", "--dataset", "mnist"], "unknown model 'nosuchnet'"),
        (["--model", "lenet5", "--dataset", "imagenet"], "unknown data set 'imagenet'"),
        (["--model", "lenet5", "--dataset", "mnist", "--preset", "huge"], "--preset: invalid choice: 'huge'"),
        (["--model", "vgg16", "--dataset", "mnist", "--preset", "quick-imagenet"], "--preset: invalid choice"),
        (
            ["--model", "lenet5", "--dataset", "mnist", "--epochs", "-1"],
            "--epochs: '-1' is not a whole number of at least 1",
        ),
        (
            ["--model", "lenet5", "--dataset", "mnist", "--seed", "-1"],
            "--seed: '-1' is not a whole number of at least 0",
        ),
        (["--model", "lenet5", "--dataset", "mnist", "--out", "file/x"], "cannot write to file/x: Not a directory"),
        (["--dataset", "mnist"], "required: --model"),
    ],
)
def test_a_wrong_request_is_a_usage_error_and_writes_nothing(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        command.main(options)
    assert message in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_an_accelerator_that_does_not_start_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jax_models", "--model", "lenet5", "--dataset", "mnist", "--out", str(tmp_path)],
        env={**os.environ, "JAX_PLATFORMS": "cuda", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: JAX does not start: ")


def test_a_folder_that_another_run_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "load_dataset", tiny_dataset)
    with locked(tmp_path), pytest.raises(RunError, match="another run is writing to"):
        command.main(["--model", "lenet5", "--dataset", "mnist", "--out", str(tmp_path)])


def test_the_command_trains_writes_its_result_and_refuses_another_runs_checkpoints(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "load_dataset", tiny_dataset)
    options = ["--model", "lenet5", "--dataset", "mnist", "--batch-size", "20", "--out", str(tmp_path / "out")]
    command.main([*options, "--epochs", "1"])
    shown = capsys.readouterr().out
    assert "epoch 1/1: train loss" in shown
    assert "test" in shown
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["cell"].startswith("lenet5/mnist/quick/s0/e1/b20/")
    assert sum(map(sum, result["confusion_matrix"])) == 60
    assert result["step_ms"] > 0

    command.main([*options, "--epochs", "1"])  # finished already: only judged again
    again = json.loads((tmp_path / "out" / "result.json").read_text())
    assert again["step_ms"] is None
    assert {name: again[name] for name in ("test", "validation", "history")} == {
        name: result[name] for name in ("test", "validation", "history")
    }

    with pytest.raises(UsageError, match="holds checkpoints of lenet5/mnist/quick/s0/e1"):
        command.main([*options, "--epochs", "2"])
