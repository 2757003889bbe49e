"""Trackers follow a sweep whose cells run side by side, keep each epoch once, and never stop it."""

import json
import os
import subprocess
import sys
import time

import pytest

from benchmarks import cells
from benchmarks.tracking import TRACKERS, fields, open_tracker
from jax_models.errors import UsageError
from jax_models.recipes import TrainConfig, resolve_config
from tests.benchmarks.tracker_files import Recorded, read_runs

PACKAGES = {"trackio": "trackio", "tensorboard": "tensorboardX", "wandb": "wandb"}
PROJECT = "cnn-families"
LENET5, VGG16 = (resolve_config(model, "mnist", preset="quick", epochs=3) for model in ("lenet5", "vgg16"))


def epoch(number: int, *, loss: float) -> dict:
    rates = {"learning_rate": 0.01, "seconds": 2.5}
    scores = {"train_accuracy": 0.5, "validation_loss": loss + 1, "validation_accuracy": 0.25}
    return {"event": "epoch", "epoch": number, "train_loss": loss, **scores, **rates}


def finished(config: TrainConfig, accuracy: float) -> dict:
    costs = {"num_params": 61_706, "train_seconds": 10.5, "step_ms": None, "wall_seconds": 12.0}
    return {**cells.identity(config), "status": "ok", "error": None, "test": {"accuracy": accuracy}, **costs}


def failed(config: TrainConfig) -> dict:
    return {**cells.identity(config), "status": "failed", "error": "killed by SIGKILL", "wall_seconds": 3.0}


def losses(run: Recorded) -> list[tuple[int, float]]:
    return run.curves["train/loss"]


@pytest.fixture(params=TRACKERS)
def tracker(request, monkeypatch, tmp_path) -> str:
    """The name of a tracker that is installed, without its user's account."""
    pytest.importorskip(PACKAGES[request.param])
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "no-settings"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    return request.param


@pytest.fixture
def project(tmp_path) -> str:
    """One for each test, because trackio has one database folder per process."""
    return f"{PROJECT}-{tmp_path.name}"


def test_cells_side_by_side_keep_their_own_curves_scores_and_settings(tracker, project, tmp_path):
    opened = open_tracker(tracker, out=tmp_path, project=project)
    assert not (tmp_path / "tracking").exists()
    for number in (1, 2):
        opened.epoch(LENET5, epoch(number, loss=0.5 / number))
        opened.epoch(VGG16, epoch(number, loss=4.0 / number))
    opened.row(VGG16, finished(VGG16, 0.75))
    opened.epoch(LENET5, epoch(3, loss=0.125))
    opened.row(LENET5, finished(LENET5, 0.5))
    opened.close()
    runs = read_runs(tracker, out=tmp_path, project=project)
    assert set(runs) == {LENET5.cell, VGG16.cell}
    assert losses(runs[LENET5.cell]) == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert losses(runs[VGG16.cell]) == [(1, 4.0), (2, 2.0)]
    assert runs[VGG16.cell].curves["validation/accuracy"] == [(1, 0.25), (2, 0.25)]
    assert runs[VGG16.cell].curves["validation/loss"] == [(1, 5.0), (2, 3.0)]
    assert runs[LENET5.cell].summary["test/accuracy"] == 0.5
    assert runs[VGG16.cell].summary["test/accuracy"] == 0.75
    assert runs[VGG16.cell].summary["cost/num_params"] == 61_706
    assert runs[VGG16.cell].summary["status"] == "ok"
    assert not {"error", "cost/step_ms"} & set(runs[VGG16.cell].summary)
    settings = runs[VGG16.cell].settings
    assert (settings["model"], settings["epochs"], settings["optimizer"]) == ("vgg16", 3, "muon")
    assert json.loads(settings["architecture"]) == json.loads(json.dumps(dict(VGG16.architecture)))


def test_a_cell_that_goes_on_after_a_stop_has_each_epoch_once(tracker, project, tmp_path):
    first = open_tracker(tracker, out=tmp_path, project=project)
    first.epoch(LENET5, epoch(1, loss=0.5))
    first.epoch(LENET5, epoch(2, loss=0.25))
    first.close()
    assert read_runs(tracker, out=tmp_path, project=project)[LENET5.cell].summary["status"] == "stopped"
    time.sleep(1.1)  # folders of wandb are named after the second
    second = open_tracker(tracker, out=tmp_path, project=project)
    second.epoch(LENET5, epoch(3, loss=0.125))
    second.row(LENET5, finished(LENET5, 0.5))
    run = read_runs(tracker, out=tmp_path, project=project)[LENET5.cell]
    assert losses(run) == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert (run.summary["status"], run.summary["test/accuracy"]) == ("ok", 0.5)


def test_tensorboard_shows_an_epoch_that_was_trained_twice_once(tmp_path):
    pytest.importorskip("tensorboardX")
    for numbers in ((1, 2), (2, 3)):
        opened = open_tracker("tensorboard", out=tmp_path, project=PROJECT)
        for number in numbers:
            opened.epoch(LENET5, epoch(number, loss=0.5))
        opened.close()
    run = read_runs("tensorboard", out=tmp_path, project=PROJECT)[LENET5.cell]
    assert losses(run) == [(1, 0.5), (2, 0.5), (3, 0.5)]


def test_a_cell_that_begins_anew_takes_the_place_of_its_old_run(tracker, project, tmp_path):
    first = open_tracker(tracker, out=tmp_path, project=project)
    for config in (LENET5, VGG16):
        first.epoch(config, epoch(1, loss=8.0))
        first.epoch(config, epoch(2, loss=4.0))
    first.row(LENET5, finished(LENET5, 0.5))
    first.close()
    time.sleep(1.1)
    second = open_tracker(tracker, out=tmp_path, project=project)
    second.epoch(LENET5, epoch(1, loss=0.5))
    second.row(LENET5, failed(LENET5))
    runs = read_runs(tracker, out=tmp_path, project=project)
    assert losses(runs[LENET5.cell]) == [(1, 0.5)]
    assert "test/accuracy" not in runs[LENET5.cell].summary
    assert losses(runs[VGG16.cell]) == [(1, 8.0), (2, 4.0)]


def test_a_cell_that_fails_before_its_first_epoch_says_why(tracker, project, tmp_path):
    opened = open_tracker(tracker, out=tmp_path, project=project)
    opened.row(LENET5, failed(LENET5))
    run = read_runs(tracker, out=tmp_path, project=project)[LENET5.cell]
    assert (run.summary["status"], run.summary["error"]) == ("failed", "killed by SIGKILL")
    assert not run.curves


@pytest.mark.parametrize("name", TRACKERS)
def test_a_package_that_is_not_installed_is_named_in_one_line(name, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, f"benchmarks.tracking.{name}_runs", raising=False)
    for module in [module for module in sys.modules if module.partition(".")[0] == PACKAGES[name]]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)  # as if it were not there
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    with pytest.raises(UsageError, match=rf"^tracking with {name} needs its package: pip install -e '\.\[{name}\]'"):
        open_tracker(name, out=tmp_path, project=PROJECT)


def test_an_unknown_tracker_is_refused_with_those_that_are_known(tmp_path):
    with pytest.raises(UsageError, match="unknown tracker 'mlflow'; choose from: trackio tensorboard wandb"):
        open_tracker("mlflow", out=tmp_path, project=PROJECT)


def test_a_tracker_that_fails_warns_once_and_the_sweep_goes_on(tmp_path):
    pytest.importorskip("tensorboardX")
    (tmp_path / "tracking").write_text("a file where the folder should be")
    opened = open_tracker("tensorboard", out=tmp_path, project=PROJECT)

    def follow() -> None:
        opened.epoch(LENET5, epoch(1, loss=0.5))
        opened.epoch(VGG16, epoch(1, loss=0.5))
        opened.row(LENET5, finished(LENET5, 0.5))
        opened.close()

    with pytest.warns(RuntimeWarning, match="tensorboard failed, and the sweep goes on without it") as warned:
        follow()
    assert len(warned) == 1


RUN_WITH_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from benchmarks.tracking import open_tracker
from tests.benchmarks.test_tracking import LENET5, epoch, finished
opened = open_tracker("tensorboard", out=Path(sys.argv[1]), project="p")
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))  # longer files are refused, as on a full disk
for number in range(1, 100):
    opened.epoch(LENET5, epoch(number, loss=0.5))
opened.row(LENET5, finished(LENET5, 0.5))
opened.close()
print("the sweep went on")
"""


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if name != "TRACKIO_DIR"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)


@pytest.mark.skipif(os.name != "posix", reason="needs resource limits")
def test_a_full_disk_ends_the_tracking_and_not_the_sweep(tmp_path):
    pytest.importorskip("tensorboardX")
    done = run_python(RUN_WITH_A_FULL_DISK, tmp_path)
    assert done.stdout == "the sweep went on\n", done.stderr
    assert done.stderr.count("RuntimeWarning: tensorboard failed") == 1


FOLLOW_ONE_CELL = """
import sys
from pathlib import Path
import benchmarks.compare
from benchmarks.tracking import open_tracker
from tests.benchmarks.test_tracking import LENET5, PACKAGES, epoch, finished
assert not set(PACKAGES.values()) & set(sys.modules)
opened = open_tracker(sys.argv[1], out=Path(sys.argv[2]), project="p")
assert set(PACKAGES.values()) & set(sys.modules) == {PACKAGES[sys.argv[1]]}
opened.epoch(LENET5, epoch(1, loss=0.5))
opened.row(LENET5, finished(LENET5, 0.5))
"""


def test_only_the_chosen_tracker_is_imported_and_it_prints_nothing_and_writes_to_the_results_folder(tracker, tmp_path):
    done = run_python(FOLLOW_ONE_CELL, tracker, tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert any(path.is_file() for path in (tmp_path / "out" / "tracking" / tracker).rglob("*"))


def test_wandb_online_without_an_account_is_refused_before_work_starts(monkeypatch, tmp_path):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(UsageError, match="nobody is logged in: run wandb login"):
        open_tracker("wandb", out=tmp_path, project=PROJECT)


@pytest.mark.parametrize("preset", ["quick", "quick-imagenet"])
def test_settings_are_single_values(preset):
    told = fields.settings(resolve_config("vgg16", "mnist", preset=preset))
    assert all(isinstance(value, str | int | float | bool) for value in told.values())
    assert ("vgg16_bn" in told.get("variant", "")) == (preset == "quick-imagenet")
