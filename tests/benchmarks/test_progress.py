"""A sweep shows where it is: a moving display in a terminal, one plain line per epoch and cell elsewhere."""

import io
import re

import pytest
from rich.console import Console

from benchmarks import cells
from benchmarks.progress import SweepProgress, TimeEstimate
from jax_models.recipes import resolve_config

CELLS = [resolve_config(model, "mnist", preset="quick", epochs=2) for model in ("lenet5", "vgg16")]


def finished(config, seconds: float) -> dict:
    return {**cells.identity(config), "status": "ok", "test": {"accuracy": 0.9876}, "wall_seconds": seconds}


def show(*, terminal: bool) -> str:
    """What a sweep of two cells prints, the first good and the second failed."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120, color_system=None)
    epoch = {"event": "epoch", "epoch": 1, "validation_accuracy": 0.5, "seconds": 3.0}
    with SweepProgress(CELLS, finished=[], jobs=1, console=console) as progress:
        progress.update(CELLS[0], {"event": "start"})
        progress.update(CELLS[0], {"event": "step", "done": 5, "total": 20})
        progress.update(CELLS[0], epoch)
        progress.update(CELLS[0], {"event": "row", "row": finished(CELLS[0], 60.0)})
        progress.update(CELLS[1], {"event": "start"})
        failed = {**finished(CELLS[1], 5.0), "status": "failed", "error": "no [red] memory"}
        progress.update(CELLS[1], {"event": "row", "row": failed})
    return screen.getvalue()


def test_plain_lines_without_a_terminal():
    lines = show(terminal=False).splitlines()
    assert lines[0] == "1/2 LeNet-5 on MNIST, seed 0: started"
    assert lines[1] == "1/2 LeNet-5 on MNIST, seed 0: epoch 1/2, validation 50.00 %, 3 s"
    assert lines[2] == "1/2 ✓ LeNet-5 on MNIST, seed 0: test 98.76 %, 60 s"
    assert re.fullmatch(r"2/2 VGG-16 on MNIST, seed 0: started, about 0:0\d:\d\d left", lines[3])
    assert lines[4] == "2/2 ✗ VGG-16 on MNIST, seed 0: failed: no [red] memory, 5 s"
    assert len(lines) == 5


def test_a_terminal_shows_bars_and_keeps_a_line_for_each_cell():
    screen = show(terminal=True)
    assert "all cells" in screen
    assert "2/2 done" in screen
    assert "1/2 ✓ LeNet-5 on MNIST, seed 0: test 98.76 %, 60 s" in screen
    assert "started" not in screen


def test_the_eta_learns_from_finished_and_running_cells():
    lenet5, vgg16 = CELLS
    estimate = TimeEstimate([])
    assert estimate.seconds(vgg16) is None
    estimate.add({**cells.identity(lenet5), "status": "failed", "wall_seconds": 1e6})
    assert estimate.seconds(vgg16) is None
    running = {**cells.identity(lenet5), "wall_seconds": 10.0}
    by_running = estimate.seconds(vgg16, running=[running])
    assert by_running is not None
    assert by_running > 10
    estimate.add({**cells.identity(vgg16), "status": "ok", "wall_seconds": 10.0})
    longer = resolve_config("vgg16", "fashion_mnist", preset="quick", epochs=4)
    assert estimate.seconds(longer, running=[running]) == pytest.approx(20.0)


def test_rows_of_another_version_do_not_disturb_the_eta():
    vgg16 = CELLS[1]
    named = {"cell": "x", "status": "ok", "model": "convnext", "dataset": "svhn", "preset": vgg16.preset}
    odd = [named, named | {"epochs": None, "wall_seconds": 9.0}, named | {"epochs": 2, "wall_seconds": None}]
    assert TimeEstimate(odd).seconds(vgg16) is None
    timed = named | {"epochs": vgg16.epochs, "wall_seconds": 60.0, "planets": 8}
    guess = TimeEstimate([*odd, timed]).seconds(vgg16)
    assert guess is not None
    assert 20 < guess < 180
    own = finished(vgg16, 30.0)
    assert TimeEstimate([*odd, timed, own]).seconds(vgg16) == pytest.approx(30.0)
