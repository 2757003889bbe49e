"""The cost of a sweep is counted work by assumed speed: the arithmetic, checked by hand, and the page that shows it."""

import contextlib
import io
from pathlib import Path

import pytest

from benchmarks import estimate
from benchmarks.estimate import Cell, Machine, cell_seconds, cpu_hours, sweep_hours
from jax_models.errors import UsageError
from jax_models.recipes import LENGTHS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"
SLOW = Machine(title="two devices of 1 TFLOP/s", devices=2, peak_tflops=1)


def cell(*, steps: int = 3600, step_flops: int = 10**12, batch_size: int = 256) -> Cell:
    return Cell(model="vgg16", batch_size=batch_size, steps=steps, step_flops=step_flops)


@pytest.fixture(scope="module")
def printed() -> str:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        estimate.main([])
    return output.getvalue()


def test_a_sweep_has_a_cell_for_each_model_and_data_set():
    cells = estimate.full_cells()
    assert len(cells) == 7 * len(LENGTHS["full"])
    vgg = max((cell for cell in cells if cell.model == "vgg16"), key=lambda cell: cell.flops)
    assert vgg.steps == 45_000 // 512 * 200, "CIFAR-10 without its validation images"
    assert vgg.step_flops == 3 * 512 * 2 * (313_196_544 + 5_120), "three passes of the published multiply-adds"


def test_a_step_takes_its_work_by_the_speed_and_never_less_than_the_least():
    seconds = {n: cell_seconds(cell(), SLOW, devices=n, sustained=0.5, least_step=0.0) for n in (1, 2)}
    assert seconds == {1: 2 * 3600, 2: 3600}
    assert cell_seconds(cell(step_flops=1), SLOW, devices=2, sustained=0.5, least_step=0.25) == 900


@pytest.mark.parametrize(
    ("steps", "side_by_side", "hours"),
    [
        ((3600, 3600), False, 2),  # each an hour on both devices
        ((3600, 3600), True, 2),  # each two hours on a device of its own
        ((7200, 3600), True, 4),  # as long as the longer one
    ],
)
def test_hours_of_a_sweep_by_how_its_cells_are_dealt_out(steps, side_by_side, hours):
    cells = [cell(steps=count) for count in steps]
    found = sweep_hours(cells, SLOW, seeds=1, side_by_side=side_by_side, sustained=0.5, least_step=0.0)
    assert found == pytest.approx(hours)


def test_more_seeds_fill_the_devices_that_one_seed_leaves_idle():
    cells, assumed = [cell(steps=7200), cell()], {"side_by_side": True, "sustained": 0.5, "least_step": 0.0}
    assert sweep_hours(cells, SLOW, seeds=10, **assumed) == pytest.approx(30)


def test_cpu_hours_are_measured_steps_scaled_to_the_batch():
    assert cpu_hours([cell(batch_size=256)], {"vgg16": 500.0}) == pytest.approx(1)
    assert set(estimate.measured_step_ms()) == {cell.model for cell in estimate.full_cells()}


def test_the_page_shows_what_the_command_prints(printed):
    assert printed in PAGE.read_text(encoding="utf-8")


def test_an_assumption_of_nothing_is_a_usage_error():
    with pytest.raises(UsageError, match="--sustained-percent: '0' is not a whole number of at least 1"):
        estimate.main(["--sustained-percent", "0"])
