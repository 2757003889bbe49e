"""Writes a report's files into a results folder, each whole or not at all."""

import os
import tempfile
from pathlib import Path

from benchmarks.report import wording
from benchmarks.report.figures import NAMES, plots
from benchmarks.report.page import html_page
from benchmarks.report.pairs import pairs_csv
from benchmarks.report.render import png
from benchmarks.report.summary import Summary, Sweep
from benchmarks.report.tables import csv_table, markdown_table

FIGURES = "figures"


def write_report(summary: Summary, out: Path) -> None:
    """Writes `table.csv`, `pairs.csv`, `table.md`, `report.html` and `figures/*.png` into `out`.

    The same runs give the same files. Each file is replaced in one step, and figures of an earlier report that this one
    does not have are removed. Where rows have several presets, a figure's name ends in its preset.

    Raises:
        OSError: a file cannot be written; those that were there before stay whole.
    """
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    drawn = set()
    for sweep in summary.sweeps:
        for plot in plots(sweep):
            name = f"{plot.name}-{sweep.preset}.png" if len(summary.sweeps) > 1 else f"{plot.name}.png"
            _replace(out / FIGURES / name, png(plot, footer=_footer(sweep)))
            drawn.add(name)
    for path in (out / FIGURES).glob("*.png"):
        if path.name not in drawn and path.stem.split("-")[0] in NAMES:
            path.unlink()
    _replace(out / "table.csv", csv_table(summary).encode())
    _replace(out / "pairs.csv", pairs_csv(summary).encode())
    _replace(out / "table.md", markdown_table(summary).encode())
    _replace(out / "report.html", html_page(summary).encode())


def _footer(sweep: Sweep) -> str:
    origin = wording.provenance([row for group in sweep.groups for row in group.rows])
    return f"Preset {sweep.preset}, {wording.seeds(sweep.seeds)}. {origin}."


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
