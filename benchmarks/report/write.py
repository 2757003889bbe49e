"""Writes a report's files into a results folder, each whole or not at all."""

from pathlib import Path

from benchmarks.report import wording
from benchmarks.report.figures import NAMES, plots
from benchmarks.report.gains import gains
from benchmarks.report.page import html_page
from benchmarks.report.pairs import pairs_csv
from benchmarks.report.render import png
from benchmarks.report.summary import Summary, Sweep
from benchmarks.report.tables import csv_table, markdown_table
from benchmarks.report.versions import versions_csv
from jax_models.output import write_bytes

FIGURES = "figures"


def write_report(summary: Summary, out: Path) -> None:
    """Writes `table.csv`, `pairs.csv`, `table.md`, `report.html` and `figures/*.png` into `out`, `gains.csv` if any.

    The same runs give the same files. Each file is replaced in one step, and figures of an earlier report that this one
    does not have are removed. Where rows have several presets, a figure's name ends in its preset.

    Raises:
        RunError: a file cannot be written; those that were there before stay whole.
        OSError: the folder of figures cannot be made.
    """
    (out / FIGURES).mkdir(parents=True, exist_ok=True)
    drawn = set()
    for sweep in summary.sweeps:
        for plot in plots(sweep):
            name = f"{plot.name}-{sweep.preset}.png" if len(summary.sweeps) > 1 else f"{plot.name}.png"
            write_bytes(out / FIGURES / name, png(plot, footer=_footer(sweep)))
            drawn.add(name)
    for path in (out / FIGURES).glob("*.png"):
        if path.name not in drawn and path.stem.split("-")[0] in NAMES:
            path.unlink()
    write_bytes(out / "table.csv", csv_table(summary).encode())
    write_bytes(out / "pairs.csv", pairs_csv(summary).encode())
    if found := gains(summary):
        write_bytes(out / "gains.csv", versions_csv(found).encode())
    else:
        (out / "gains.csv").unlink(missing_ok=True)
    write_bytes(out / "table.md", markdown_table(summary).encode())
    write_bytes(out / "report.html", html_page(summary).encode())


def _footer(sweep: Sweep) -> str:
    origin = wording.provenance([row for group in sweep.groups for row in group.rows])
    return f"Preset {sweep.preset}, {wording.seeds(sweep.seeds)}. {origin}."
