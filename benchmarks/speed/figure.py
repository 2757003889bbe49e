"""The ratios as a figure: a bar for each network, one panel for each mode, on a logarithmic scale around 1."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.report.groups import model_title
from benchmarks.report.panels import GRID, INK, MUTED, colour
from benchmarks.report.render import DPI, STYLE
from jax_models.output import write_bytes

TICKS = (0.25, 0.5, 1, 2, 4, 8, 16)
CHARACTERS_PER_INCH = 17  # of the footer
TITLES = {"train": "Training step, batch 128", "infer1": "Inference, batch 1", "infer128": "Inference, batch 128"}


def write_figure(path: Path, rows: Sequence[dict[str, Any]], *, footer: str) -> None:
    """Draws the rows of `benchmarks.speed` into a PNG.

    Raises:
        RunError: it cannot be written.
    """
    modes = [mode for mode in TITLES if any(row["mode"] == mode for row in rows)]
    most = max(sum(row["mode"] == mode for row in rows) for mode in modes)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.3 * len(modes) + 0.6, 0.3 * most + 1.7), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(modes), squeeze=False)[0]
        for axes, mode in zip(panels, modes, strict=True):
            _draw(axes, [row for row in rows if row["mode"] == mode])
            axes.set_title(TITLES[mode])
        figure.suptitle("Speed beside PyTorch on the same CPU", x=0.01, ha="left", color=INK, fontweight="bold")
        footer = textwrap.fill(footer, int(CHARACTERS_PER_INCH * figure.get_figwidth()), break_on_hyphens=False)
        figure.supxlabel(footer, x=0.01, ha="left", fontsize=7, color=MUTED)
        image = io.BytesIO()
        figure.savefig(image)
    write_bytes(path, image.getvalue())


def _draw(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    for position, row in enumerate(rows):
        ratio, (least, greatest) = row["ratio"], row["ratio_range"]
        shade = colour(row["model"])
        axes.barh(position, ratio - 1, left=1, height=0.62, color=shade, alpha=1 if row["preset"] == "full" else 0.6)
        axes.plot([least, greatest], [position] * 2, color=INK, linewidth=1)
        side = {"ha": "left", "x": 4} if ratio >= 1 else {"ha": "right", "x": -4}
        axes.annotate(
            f"{ratio:.2f}",
            (max(greatest, 1) if ratio >= 1 else min(least, 1), position),
            xytext=(side["x"], 0),
            textcoords="offset points",
            ha=side["ha"],
            va="center",
            fontsize=8,
        )
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_xscale("log")
    low = min([0.5, *(row["ratio_range"][0] for row in rows)]) / 1.35
    high = max([2, *(row["ratio_range"][1] for row in rows)]) * 1.35
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.set_yticks(range(len(rows)), [f"{model_title(row['model'])}, {row['preset']}" for row in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", color=GRID)
    axes.set_xlabel("PyTorch's time by ours; right of 1 ours is faster")
