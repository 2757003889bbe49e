"""`python -m benchmarks.speed`: each family's training step and inference beside PyTorch's, on the CPU."""

import argparse
import contextlib
import datetime
import importlib.metadata
import importlib.util
import itertools
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import provenance
from benchmarks.report.groups import model_title
from benchmarks.speed.figure import write_figure
from benchmarks.speed.measurements import Measurements
from benchmarks.speed.race import matmul_peak, race
from jax_models import onednn
from jax_models.command_line import Parser, positive
from jax_models.errors import UsageError, run_cli
from jax_models.output import locked, prepare_folder, write_text
from jax_models.registry import MODELS

Row = dict[str, Any]

PRESETS = ("full", "quick")
MODES = {"train": "training step, 128 images", "infer1": "inference, 1 image", "infer128": "inference, 128 images"}
COLUMNS = ("model", "preset", "ours ms", "PyTorch ms", "ratio (range)", "GFLOP/s", "of peak", "compile s", "cached s")
ORDER = {"preset": PRESETS, "model": tuple(MODELS), "mode": tuple(MODES)}
LEAST_PAIRS = 7
COUNTED = "FLOP are those of plain convolutions; Winograd's algorithm does with fewer"
NAMED_PACKAGES = ("jax", "jaxlib", onednn.PACKAGE, "torch")

DESCRIPTION = """\
Measures every family's full training step (forward, loss, backward, SGD with momentum) and inference beside PyTorch's:
the same network with the same weights, which is checked, float32, 32x32 images, on the CPU. The two take turns, so that
what else the machine does hits both. The ratio is PyTorch's time by ours, the median over all pairs: above 1 we win.
"""
EPILOG = f"""\
PyTorch runs in the fastest of four ways, found before: eager or torch.compile, NCHW or channels-last. Each side is a
process of its own, with as many threads and the same allocator. GFLOP/s counts convolutions and matrix products; a
training step counts three forward passes. The peak is the fastest float32 matrix product of either side.

models:     {" ".join(MODELS)}

what lands in OUT:
  speed.json            the measurements, with all variants of PyTorch; date, processor, versions
  table.md, speed.png   the same to read and to look at

A run that was stopped goes on where it was: type the same command again.

examples:
  python -m benchmarks.speed --out out/speed               everything; most of the time goes to torch.compile
  python -m benchmarks.speed --models resnet18 --presets quick --modes train --eager
  python -m benchmarks.speed --json > speed.json
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, a folder that cannot be written or holds other measurements, or there is no PyTorch.
        RunError: the two sides do not compute the same, or a measurement failed.
    """
    options = _parser().parse_args(arguments)
    if importlib.util.find_spec("torch") is None:
        raise UsageError("there is nothing to compare with: PyTorch is not installed; pip install torch==2.13.0")
    console = Console(stderr=options.json)
    if options.out:
        prepare_folder(options.out)
    with locked(options.out) if options.out else contextlib.nullcontext():
        measurements = Measurements(surroundings(), order=ORDER, folder=options.out)
        _measure(measurements, options, console)
        rows = [row for row in measurements.rows if row["mode"] in options.modes]
        for mode in options.modes:
            console.print(_rich_table(mode, rows))
        if options.json:
            print(json.dumps(rows, indent=1, allow_nan=False))
        if options.out:
            write_text(options.out / "table.md", markdown(measurements.described))
            write_figure(options.out / "speed.png", measurements.rows, footer=_origin(measurements.described))
            console.print(f"Written: {options.out}", highlight=False, soft_wrap=True)


def _measure(measurements: Measurements, options: argparse.Namespace, console: Console) -> None:
    """All that was asked for and is not there yet."""
    described = measurements.described
    if "matmul_gflops" not in described:
        described["matmul_gflops"] = matmul_peak()
    console.print(f"matrix product: {described['matmul_gflops']:.0f} GFLOP/s", style="dim", highlight=False)
    settings = {"pairs": options.pairs, "compiled": [False] if options.eager else [False, True]}
    for preset, model in itertools.product(options.presets, options.models):
        network = {"model": model, "preset": preset}
        modes = [mode for mode in options.modes if not measurements.has(**network, **settings, mode=mode)]
        if modes:
            what = f"measuring {model_title(model)}, {preset},"
            for row in race(network, modes, **settings, what=what):
                share = row["gflops"] / described["matmul_gflops"]
                measurements.add({**row, **settings, "peak_share": share})
                console.print(_line(row), highlight=False, soft_wrap=True)


def surroundings() -> Row:
    """What the numbers depend on besides the code."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": provenance.commit(),
        "device": provenance.device(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "versions": provenance.versions() | {"torch": importlib.metadata.version("torch")},
    }


def geometric_mean(rows: Sequence[Row]) -> float:
    """Of the ratios."""
    return math.exp(sum(math.log(row["ratio"]) for row in rows) / len(rows))


def markdown(described: Row) -> str:
    """One table for each mode, the geometric mean of its ratios, and where the numbers come from."""
    lines = []
    for mode, title in MODES.items():
        chosen = [row for row in described["rows"] if row["mode"] == mode]
        if chosen:
            lines += [f"**{title[0].upper()}{title[1:]}**", "", f"| {' | '.join(COLUMNS)} |", "|---|---|" + "--:|" * 7]
            lines += [f"| {' | '.join(_cells(row))} |" for row in chosen]
            lines += [
                "",
                f"Geometric mean of the ratios: {geometric_mean(chosen):.2f} (n = {len(chosen)} networks).",
                "",
            ]
    return "\n".join([*lines, _origin(described), ""])


def _origin(described: Row) -> str:
    device, versions = described["device"], described["versions"]
    packages = ", ".join(f"{name} {versions[name]}" for name in NAMED_PACKAGES if name in versions)
    commit = (described["commit"] or "unknown")[:7]
    pairs = sorted({row["pairs"] for row in described["rows"]})
    return (
        f"{described['date'][:10]}, commit {commit}, {device['cpu']}, {device['cores']} cores, {packages}; "
        f"peak {described['matmul_gflops']:.0f} GFLOP/s; {COUNTED}; n = {'/'.join(map(str, pairs))} pairs of each"
    )


def _rich_table(mode: str, rows: Sequence[Row]) -> Table:
    chosen = [row for row in rows if row["mode"] == mode]
    caption = f"geometric mean of the ratios {geometric_mean(chosen):.2f}; above 1 ours is faster\n{COUNTED}"
    table = Table(title=MODES[mode], caption=caption, box=box.SIMPLE_HEAD, padding=0)
    for number, column in enumerate(COLUMNS):
        header = column.replace(" ", "\n").replace("/", "\n/")  # fits into 80 columns
        table.add_column(header, justify="right" if number > 1 else "left", no_wrap=True, vertical="bottom")
    for row in chosen:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    least, greatest = row["ratio_range"]
    return [
        model_title(row["model"]),
        row["preset"],
        f"{row['ours_ms']:.4g}",
        f"{row['torch_ms']:.4g}",
        f"{row['ratio']:.2f} ({least:.2f}–{greatest:.2f})",
        f"{row['gflops']:.0f}",
        f"{100 * row['peak_share']:.0f} %",
        f"{row['compile_seconds']:.1f}",
        f"{row['cached_compile_seconds']:.1f}",
    ]


def _line(row: Row) -> str:
    """A row as soon as it is there."""
    title = f"{model_title(row['model'])}, {row['preset']}, {MODES[row['mode']]}"
    times = f"ours {row['ours_ms']:.4g} ms, PyTorch ({row['torch_variant']}) {row['torch_ms']:.4g} ms"
    return f"{title}: {times}, ratio [bold]{row['ratio']:.2f}[/]"


def _parser() -> Parser:
    parser = Parser(prog="python -m benchmarks.speed", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME", help="default: all seven")
    add("--presets", nargs="+", choices=PRESETS, default=list(PRESETS), metavar="NAME", help="of full quick")
    add("--modes", nargs="+", choices=MODES, default=list(MODES), metavar="NAME", help=f"of {' '.join(MODES)}")
    add("--pairs", type=positive, default=LEAST_PAIRS, metavar="N", help=f"of each side (default: {LEAST_PAIRS})")
    add("--eager", action="store_true", help="without torch.compile, which takes most of the time")
    add("--json", action="store_true", help="print nothing but a JSON list of measurements; the rest goes to stderr")
    add("--out", type=Path, metavar="DIR", help="folder for speed.json, table.md and speed.png")
    return parser


if __name__ == "__main__":
    run_cli(main)
