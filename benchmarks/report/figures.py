"""The figures: which panels they have, as one PNG each and as separate SVG drawings that a page arranges to its width.

Drawn with Figure objects on the Agg and SVG canvases: no display, no global state, the same bytes for the same rows.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks.report.panels import BAND, GRID, INK, MUTED, PAPER, draw_accuracy, draw_confusion, draw_curves
from benchmarks.report.scatter import draw_cost, label_points
from benchmarks.report.summary import Sweep, dataset_title, model_title

STYLE: dict[str, Any] = {
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

DPI = 150


@dataclass(frozen=True)
class Panel:
    """One drawing: `draw` fills the axes; `finish` runs when the layout is final and sizes in pixels are known."""

    title: str
    draw: Callable[[Axes], None]
    finish: Callable[[Axes], None] | None = None


@dataclass(frozen=True)
class Plot:
    """One figure: panels in rows, each row with an optional heading, a panel's size in inches, and a one-sentence caption."""

    name: str
    title: str
    caption: str
    rows: tuple[tuple[str, tuple[Panel | None, ...]], ...]
    size: tuple[float, float]


def plots(sweep: Sweep) -> list[Plot]:
    """Every figure of one sweep, in the order in which they are read."""
    panels = partial(_per_dataset, sweep)
    margin = "; the shaded band holds what one cannot tell from the best" if len(sweep.models) > 1 else ""
    ticks = ", the small ticks are its seeds" if sweep.seeds != (1,) else ""
    return [
        Plot(
            "accuracy",
            "Test accuracy in percent by model and data set",
            f"Each line is the 95 % interval that the number of test images leaves{ticks}{margin}.",
            panels(lambda dataset, axes: draw_accuracy(axes, sweep, dataset)),
            (3.9, 2.9),
        ),
        *(_curves(sweep, quantity) for quantity in ("accuracy", "loss")),
        Plot(
            "confusion",
            "Confusion matrix of the best model per data set",
            "Rows are true classes, columns predictions; numbers are test images"
            f"{'' if sweep.seeds == (1,) else ', averaged over seeds'}, and errors are tinted by their share of the row.",
            panels(lambda dataset, axes: draw_confusion(axes, sweep.ranked(dataset)[0]), best=True),
            (4.1, 4.1),
        ),
        Plot(
            "accuracy_by_parameters",
            "Test accuracy in percent against number of parameters",
            "Up is better, left is smaller; the scale of parameters is logarithmic, that of accuracy is logarithmic in the error.",
            *_scatter(sweep, "num_params"),
        ),
        Plot(
            "accuracy_by_train_time",
            "Test accuracy in percent against training time",
            "Up is better, left is faster; time is that of one seed without compiling, and the scales are logarithmic in time and in the error.",
            *_scatter(sweep, "train_seconds"),
        ),
    ]


def _per_dataset(sweep: Sweep, draw: Callable[[str, Axes], None], *, best: bool = False) -> tuple:
    titles = {
        dataset: dataset_title(dataset) + (f": {sweep.ranked(dataset)[0].title}" if best else "")
        for dataset in sweep.datasets
    }
    return (("", tuple(Panel(titles[dataset], partial(draw, dataset)) for dataset in sweep.datasets)),)


def _scatter(sweep: Sweep, cost) -> tuple:
    def panel(dataset: str) -> Panel:
        return Panel(
            dataset_title(dataset),
            lambda axes: draw_cost(axes, sweep, dataset, cost),
            lambda axes: label_points(axes, sweep, dataset, cost),
        )

    return (("", tuple(map(panel, sweep.datasets))),), (4.0, 3.2)


def _curves(sweep: Sweep, quantity) -> Plot:
    def panel(model: str, dataset: str) -> Panel | None:
        group = sweep.get(model, dataset)
        return group and Panel(model_title(model), lambda axes: draw_curves(axes, sweep, group, quantity))

    rows = tuple((dataset_title(d), tuple(panel(model, d) for model in sweep.models)) for d in sweep.datasets)
    what = "Accuracy in percent" if quantity == "accuracy" else "Loss in nats on a logarithmic axis"
    others = ", the other families' validation in grey" if len(sweep.models) > 1 else ""
    return Plot(
        f"curves_{quantity}",
        f"Learning curves: {quantity}",
        f"{what} over epochs: validation solid, training (on augmented images, while the weights change) dashed{others}.",
        rows,
        (2.5, 1.9),
    )


def png(plot: Plot, *, footer: str) -> bytes:
    """The whole figure as a PNG of 150 dpi, with its title, its caption and a footer line."""
    columns = max(len(panels) for _, panels in plot.rows)
    width, height = plot.size
    with matplotlib.rc_context(STYLE):
        size = (max(columns * width, 5.2), len(plot.rows) * height + 1.1)
        figure = Figure(figsize=size, dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.03))
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(plot.rows), columns, squeeze=False)
        for (heading, panels), line in zip(plot.rows, grid, strict=True):
            for panel, axes in zip_longest(panels, line):
                _fill(axes, panel)
            if heading:
                line[0].set_ylabel(heading, fontsize=10.5, fontweight="bold", color=INK, labelpad=8)
        figure.align_ylabels(grid[:, 0])
        figure.suptitle(plot.title, x=0.012, ha="left", fontsize=13, fontweight="bold")
        figure.supxlabel(f"{plot.caption}\n{footer}", x=0.012, ha="left", fontsize=8.5, color=MUTED, linespacing=1.5)
        _finish(
            figure,
            [
                (panel, axes)
                for (_, panels), line in zip(plot.rows, grid, strict=True)
                for panel, axes in zip(panels, line)
            ],
        )
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
    return data.getvalue()


def svg(plot: Plot, panel: Panel, *, label: str, key: str) -> str:
    """One panel, without its title, as an SVG element to stand in a page whose scheme sets the colours.

    `label` is for those who cannot see it; `key` makes its ids different from those of other drawings on the page.
    """
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": key}):
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
        axes.set_axis_off()
        return
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
    text = re.sub(r'\bid="', f'id="{key}-', text)
    text = re.sub(r'href="#', f'href="#{key}-', text).replace("url(#", f"url(#{key}-")
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--letters)", text)
    for shade, variable in THEME.items():
        text = re.sub(shade, variable, text, flags=re.IGNORECASE)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    label = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'<svg {box.group()} role="img" aria-label="{label}">' + text[text.index(">") + 1 :]
