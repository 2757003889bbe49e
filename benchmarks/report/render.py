"""Figures as files: one PNG each, and separate SVG drawings that a page arranges to its width.

Drawn with Figure objects on the Agg and SVG canvases: no display, no global state, the same bytes for the same rows.
"""

import io
import re
import textwrap
from collections.abc import Iterable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks.report.panels import BAND, GRID, INK, MUTED, PAPER
from benchmarks.report.plot import Panel, Plot

DPI = 150
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": PAPER,
    "svg.fonttype": "none",
}
THEME = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--line)", PAPER: "var(--paper)", BAND: "var(--band)"}
"""Colours that a page sets by its own scheme, so that a drawing is right on light and on dark paper."""
NUMBER = re.compile(r"\d+\.\d{3,}")  # of a coordinate: a hundredth of a point is enough


def png(plot: Plot, *, footer: str) -> bytes:
    """The whole figure as a PNG of 150 dpi, with its title, its caption and a footer line."""
    columns = len(plot.rows[0][1])
    width, height = max(columns * plot.size[0], 5.2), len(plot.rows) * plot.size[1] + 1.1
    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.03)
        figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(plot.rows), columns, squeeze=False)
        places = [
            place for (_, panels), line in zip(plot.rows, grid, strict=True) for place in zip(panels, line, strict=True)
        ]
        for panel, axes in places:
            _fill(axes, panel)
        for (heading, _), axes in zip(plot.rows, grid[:, 0], strict=True):
            if heading:
                axes.set_ylabel(heading, fontsize=10.5, fontweight="bold", color=INK, labelpad=8)
        figure.align_ylabels(grid[:, 0])
        title = textwrap.fill(plot.title, int(7.5 * width))
        caption = "\n".join(textwrap.fill(text, int(16 * width)) for text in (plot.caption, footer))
        figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
        figure.supxlabel(caption, x=0.012, ha="left", fontsize=8.5, color=MUTED, linespacing=1.5)
        _finish(figure, places)
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
    return data.getvalue()


def svg(plot: Plot, panel: Panel, *, label: str, key: str) -> str:
    """One panel, without its title, as an SVG element to stand in a page whose scheme sets the colours.

    `label` is for those who cannot see it; `key` makes its ids different from those of other drawings on the page.
    """
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": key}):
        figure = Figure(figsize=plot.size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        panel.draw(axes)
        _finish(figure, [(panel, axes)])
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _for_page(text.getvalue(), label=label, key=key)


def _fill(axes: Axes, panel: Panel | None) -> None:
    if panel is None:
        axes.set_frame_on(False)
        axes.set_xticks([])
        axes.set_yticks([])
    else:
        panel.draw(axes)
        axes.set_title(panel.title)


def _finish(figure: Figure, drawn: Iterable[tuple[Panel | None, Axes]]) -> None:
    """Lays the figure out for good, then lets the panels finish."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")
    for panel, axes in drawn:
        if panel is not None and panel.finish is not None:
            panel.finish(axes)


def _for_page(text: str, *, label: str, key: str) -> str:
    """Takes from a standalone SVG what only a file needs, and gives it the page's colours and letters."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"<[^>]*>", lambda tag: NUMBER.sub(_shortened, tag.group()), text)
    text = re.sub(r'\bid="', f'id="{key}-', text)
    text = re.sub(r'href="#', f'href="#{key}-', text).replace("url(#", f"url(#{key}-")
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--letters)", text)
    for shade, variable in THEME.items():
        text = re.sub(shade, variable, text, flags=re.IGNORECASE)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    label = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'<svg {box.group()} role="img" aria-label="{label}">' + text[text.index(">") + 1 :]


def _shortened(number: re.Match[str]) -> str:
    return f"{float(number.group()):.2f}"
