"""One model trained by two processes: what one alone would come to, and errors that reach both.

The two are real processes on this machine, whose CPUs sum over gloo: `distributed_process.py`.
"""

import contextlib
import dataclasses
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import distributed_process as process
import numpy as np
import pytest
import toy

from jax_models import __main__ as command
from jax_models.classification import FitResult, fit
from jax_models.errors import UsageError
from jax_models.training.distributed import Cluster

ROOT = Path(__file__).resolve().parents[2]
# Two devices add up gradients and batch statistics in another order than one, which changes last bits (float32 has a
# unit roundoff of 6e-8); twelve steps bring that to 1e-7 of the losses and 5e-7 of the weights. The bounds are
# a hundred times as wide, for other processors, and far below what a wrong batch does (1e-2 and more).
LOSS_TOLERANCE, WEIGHT_TOLERANCE = 1e-5, 5e-5


@dataclasses.dataclass(frozen=True)
class Two:
    """What the two processes left."""

    folder: Path
    printed: list[tuple[str, str]]
    codes: list[int]

    def seen(self, index: int) -> dict[str, Any]:
        return json.loads((self.folder / f"seen{index}.json").read_text())

    def weights(self, index: int) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"weights{index}.npz") as arrays:
            return dict(arrays)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def environment() -> dict[str, str]:
    """Without the signs of a cluster in which the tests may run; with programs that compile sooner, and once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "OMPI_"))}
    return kept | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
    }


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Two:
    folder, address = tmp_path_factory.mktemp("two"), f"127.0.0.1:{free_port()}"
    children = [
        subprocess.Popen(
            [sys.executable, process.__file__, str(folder), address, "2", str(index)],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        printed = [child.communicate(timeout=500) for child in children]
    finally:
        for child in children:
            child.kill()
    assert (folder / "seen1.json").exists(), printed
    return Two(folder, printed, [child.returncode for child in children])


@dataclasses.dataclass(frozen=True)
class One:
    """What the same command leaves in one process that nothing stops."""

    fitted: FitResult
    result: dict[str, Any]
    printed: list[str]


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> One:
    folder, printed = tmp_path_factory.mktemp("one"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        for name in ("fit", "load_dataset", "resolve_config"):
            patch.setattr(command, name, getattr(command, name))  # so that what `run_command` sets is undone
        fitted = process.run_command("--out", str(folder))
    return One(fitted, json.loads((folder / "result.json").read_text()), printed.getvalue().splitlines())


def test_two_processes_have_the_losses_of_one_also_after_a_stop(two, one):
    assert two.seen(0)["devices"] == 2
    assert two.seen(0)["losses"] == two.seen(1)["losses"]
    expected = np.asarray(toy.losses(one.fitted.history))
    assert expected[1, 0] < expected[0, 0], "it learns"
    assert np.asarray(two.seen(0)["losses"]) == pytest.approx(expected, rel=LOSS_TOLERANCE)


def test_two_processes_come_to_the_weights_of_one_and_to_equal_ones(two, one):
    first, second, expected = two.weights(0), two.weights(1), process.weights(one.fitted)
    assert first.keys() == second.keys() == expected.keys()
    assert len(expected) > 10
    for name, array in expected.items():
        assert (first[name] == second[name]).all(), name
        assert np.abs(first[name] - array).max() < WEIGHT_TOLERANCE * np.abs(array).max(), name


def test_one_process_goes_on_with_the_checkpoints_of_two(two):
    """The run is finished: nothing is trained, the weights are those that were saved."""
    loaded = fit(process.case(), process.dataset(), checkpoint_dir=two.folder / "out" / "checkpoints")
    assert toy.losses(loaded.history) == two.seen(0)["losses"]
    for name, array in process.weights(loaded).items():
        assert (array == two.weights(0)[name]).all(), name


def test_the_result_scores_every_image_once_as_that_of_one_process(two, one):
    result = json.loads((two.folder / "out" / "result.json").read_text())
    assert result["cell"] == one.result["cell"]
    assert result["confusion_matrix"] == one.result["confusion_matrix"]
    assert sum(map(sum, result["confusion_matrix"])) == 23
    assert result["test"] == pytest.approx(one.result["test"], rel=LOSS_TOLERANCE)


def test_only_the_first_process_prints_what_one_would(two, one):
    first, second = ([line for line in out.splitlines() if "[Gloo]" not in line] for out, _ in two.printed)
    assert len(first) == len(one.printed)
    assert [line.partition(":")[0] for line in first[:2]] == ["epoch 1/2", "epoch 2/2"]
    assert second == []


def test_what_all_do_wrong_all_say(two):
    for errors in (two.seen(0)["errors"], two.seen(1)["errors"]):
        assert errors[0] == (
            "UsageError: batch size 9 does not split evenly over 2 devices in 2 processes; choose a multiple of 2"
        )
        assert "give all the same options" in errors[1]


def test_checkpoints_need_a_folder_that_all_processes_share(two):
    first, second = two.seen(0)["errors"][2], two.seen(1)["errors"][2]
    assert first == "RunError: process 1 failed; its message says why"
    assert second.startswith("UsageError: process 0 made ")
    assert second.endswith("checkpoints need a folder that all processes share")


def test_a_failure_of_one_process_does_not_leave_the_other_waiting(two):
    assert two.seen(0)["errors"][3] == "RunError: process 1 failed; its message says why"
    assert two.seen(1)["errors"][3] == "RunError: a full disk"
    assert two.codes == [1, 1]
    last = [messages.splitlines()[-1] for _, messages in two.printed]
    assert last == ["error: process 1 failed; its message says why", "error: no source has the data"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--distributed", "--coordinator", "host:1234"], "a cluster is named by all of --coordinator HOST:PORT"),
        (["--distributed", "--process-id", "0"], "a cluster is named by all of --coordinator HOST:PORT"),
        (
            ["--coordinator", "host:1234", "--num-processes", "2", "--process-id", "0"],
            "--process-id I are for --distributed; add it",
        ),
    ],
)
def test_options_of_a_cluster_come_together(options, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        command.main([*process.COMMAND, "--out", str(tmp_path / "out"), *options])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("coordinator", ["host", "host:", ":1234", "host:port", "host:70000"])
def test_a_coordinator_is_a_host_and_a_port(coordinator):
    with pytest.raises(UsageError, match="is not HOST:PORT"):
        Cluster(coordinator, 2, 0)


def test_process_ids_count_from_zero():
    assert Cluster("[::1]:9876", 2, 1).named
    with pytest.raises(UsageError, match="process id 2 is not one of 0 to 1"):
        Cluster("host:1234", 2, 2)


def test_where_there_is_no_cluster_the_error_says_how_to_name_one():
    done = subprocess.run(
        [sys.executable, "-m", "jax_models", "--model", "lenet5", "--dataset", "mnist", "--distributed"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: found no cluster (Cloud TPU, Slurm, Open MPI, Kubernetes)")
    assert len(done.stderr.splitlines()) == 1
