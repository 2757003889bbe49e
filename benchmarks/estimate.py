"""`python -m benchmarks.estimate`: what a whole sweep at full width costs, by arithmetic, on machines not at hand.

The work is counted: FLOPs of a training step, steps of a recipe. How fast a machine does it is assumed, apart from the
CPU, whose steps `python -m benchmarks.speed` measured.
"""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from flax import nnx
from tabulate import tabulate

from benchmarks.cost import forward_flops
from jax_models.command_line import Parser, positive
from jax_models.data import DATASETS
from jax_models.data.batches import IMAGE_SIZE
from jax_models.data.dataset import VALIDATION_FRACTION
from jax_models.errors import run_cli
from jax_models.recipes import resolve_config
from jax_models.registry import MODELS, create_model

TRAINING_FLOPS = 3  # of a forward pass: itself, gradients of the inputs, gradients of the weights
MEASURED = Path(__file__).parent / "results" / "speed" / "speed.json"
MEASURED_BATCH = 128

# Share of the peak: ResNet-50 trains at 2,470 images/s on an A100 in mixed precision (NVIDIA/DeepLearningExamples,
# PyTorch/Classification/ConvNets/resnet50v1.5), times 3 x 8.2 GFLOP is 61 TFLOP/s, 20 % of 312.
SUSTAINED_PERCENT = 20
# A step is many small programs, of microseconds each however little they compute: GoogLeNet's about a thousand.
LEAST_STEP_MS = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """Devices that work together, each with its peak in dense bfloat16 TFLOP/s, by its maker's data sheet."""

    title: str
    devices: int
    peak_tflops: int


MACHINES = (
    Machine(title="one GPU (A100)", devices=1, peak_tflops=312),
    Machine(title="one GPU (H100 SXM)", devices=1, peak_tflops=989),
    Machine(title="8 GPUs in one machine (H100 SXM)", devices=8, peak_tflops=989),
    Machine(title="one TPU host (v5e-8)", devices=8, peak_tflops=197),
    Machine(title="TPU pod slice (v5e-32, several hosts)", devices=32, peak_tflops=197),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """The work of one model on one data set, one seed."""

    model: str
    batch_size: int
    steps: int
    step_flops: int

    @property
    def flops(self) -> int:
        """Of the whole training; validation, which is left out, adds about 4 %."""
        return self.steps * self.step_flops


def full_cells() -> list[Cell]:
    """The 21 cells of the preset `full`; networks are traced, nothing is computed."""
    flops = {
        (model, channels): _model_flops(model, channels)
        for model in MODELS
        for channels in sorted({spec.shape[-1] for spec in DATASETS.values()})
    }
    cells = []
    for model in MODELS:
        for name, spec in DATASETS.items():
            config = resolve_config(model, name, preset="full")
            images = round(spec.sizes["train"] * (1 - VALIDATION_FRACTION))
            cells.append(
                Cell(
                    model=model,
                    batch_size=config.batch_size,
                    steps=images // config.batch_size * config.epochs,
                    step_flops=TRAINING_FLOPS * config.batch_size * flops[model, spec.shape[-1]],
                )
            )
    return cells


def _model_flops(model: str, channels: int) -> int:
    network = nnx.eval_shape(lambda: create_model(model, num_classes=10, in_channels=channels))
    return forward_flops(network, (IMAGE_SIZE, IMAGE_SIZE, channels))


def cell_seconds(cell: Cell, machine: Machine, *, devices: int, sustained: float, least_step: float) -> float:
    """Training time of a cell whose batch is split over some of a machine's devices.

    Sums of gradients between the devices are left out.

    Args:
        sustained: share of the peak, a fraction.
        least_step: seconds that a step takes at least.
    """
    speed = devices * 1e12 * machine.peak_tflops * sustained
    return cell.steps * max(cell.step_flops / speed, least_step)


def sweep_hours(
    cells: Sequence[Cell], machine: Machine, *, seeds: int, side_by_side: bool, sustained: float, least_step: float
) -> float:
    """Hours for all cells and seeds: one cell on each device, or one after the other on all devices.

    Side by side no sweep is shorter than its longest cell; otherwise it is taken to be dealt out evenly.
    """
    devices = 1 if side_by_side else machine.devices
    times = [cell_seconds(cell, machine, devices=devices, sustained=sustained, least_step=least_step) for cell in cells]
    total = seeds * sum(times)
    return (max(total / machine.devices, *times) if side_by_side else total) / 3600


def measured_step_ms() -> dict[str, float]:
    """Milliseconds of a training step of 128 images at full width by model, on the CPU of the speed table."""
    rows = json.loads(MEASURED.read_text(encoding="utf-8"))["rows"]
    return {row["model"]: row["ours_ms"] for row in rows if (row["preset"], row["mode"]) == ("full", "train")}


def cpu_hours(cells: Sequence[Cell], step_ms: dict[str, float]) -> float:
    """Hours for these cells, one seed, if batches of any size take the time per image of the measured ones."""
    return sum(cell.steps * cell.batch_size / MEASURED_BATCH * step_ms[cell.model] for cell in cells) / 3.6e6


def work_table(cells: Sequence[Cell]) -> str:
    """What each family has to compute for one seed on all data sets, and what that takes the CPU."""
    step_ms = measured_step_ms()
    rows = []
    for model in dict.fromkeys(cell.model for cell in cells):
        own = [cell for cell in cells if cell.model == model]
        per_image = max(cell.step_flops / cell.batch_size / TRAINING_FLOPS for cell in own)
        work = sum(cell.flops for cell in own)
        rows.append([MODELS[model].title, per_image / 1e9, work / 1e15, step_ms[model], cpu_hours(own, step_ms)])
    rows.append(["all", None, sum(cell.flops for cell in cells) / 1e15, None, cpu_hours(cells, step_ms)])
    headers = ["model", "GFLOP per image", "PFLOP per seed", "CPU step, ms", "CPU, hours per seed"]
    return tabulate(rows, headers, tablefmt="pipe", floatfmt=("", ".3g", ",.3g", ",.0f", ",.1f"))


def machine_table(cells: Sequence[Cell], *, seeds: int, sustained: float, least_step: float) -> str:
    """Hours of a sweep by machine and by how the cells are dealt out."""
    on_cpu = cpu_hours(cells, measured_step_ms())
    rows: list[list[object]] = [["two CPU cores, as measured", 1, "one by one", on_cpu, seeds * on_cpu]]
    for machine in MACHINES:
        for side_by_side in (True, False)[: 1 if machine.devices == 1 else 2]:
            hours = [
                sweep_hours(
                    cells, machine, seeds=n, side_by_side=side_by_side, sustained=sustained, least_step=least_step
                )
                for n in (1, seeds)
            ]
            dealt = "a device each" if side_by_side and machine.devices > 1 else "one by one"
            rows.append([machine.title, machine.devices, dealt, *hours])
    headers = ["machine", "devices", "cells", "hours, 1 seed", f"hours, {seeds} seeds"]
    return tabulate(rows, headers, tablefmt="pipe", floatfmt=("", "", "", ",.1f", ",.1f"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints both tables in Markdown.

    Raises:
        UsageError: a wrong option.
    """
    options = _options(arguments)
    cells = full_cells()
    assumed = {"sustained": options.sustained_percent / 100, "least_step": options.least_step_ms / 1e3}
    print(work_table(cells))
    print(
        f"\nForward FLOPs, 2 per multiply-add, at 32 x 32 x 3; a training step counts {TRAINING_FLOPS} forward passes. "
        f"CPU steps: {MEASURED_BATCH} images, measured (`python -m benchmarks.speed`).\n"
    )
    print(machine_table(cells, seeds=options.seeds, **assumed))
    print(
        f"\nEstimates, not measurements, but for the CPU's step times. Assumed: {options.sustained_percent} % of each "
        f"device's dense bfloat16 peak, no step under {options.least_step_ms} ms; without compiling, validation and "
        "sums between devices."
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.estimate", description=__doc__ or "", epilog="")
    add = parser.add_argument
    add("--seeds", type=positive, default=10, metavar="N", help="seeds of each cell (default: 10)")
    add(
        "--sustained-percent",
        type=positive,
        default=SUSTAINED_PERCENT,
        metavar="N",
        help=f"share of the peak that training reaches (default: {SUSTAINED_PERCENT})",
    )
    add(
        "--least-step-ms",
        type=positive,
        default=LEAST_STEP_MS,
        metavar="N",
        help=f"milliseconds that a step takes however little it computes (default: {LEAST_STEP_MS})",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_cli(main)
