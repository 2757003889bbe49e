"""Figures of one run: how it learnt, where it looks, and which lengths it gets right.

Drawn with Figure objects on the Agg canvas: no display, no global state, the same bytes for the same numbers.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from jax_models.training.loop import EpochRecord
from seq2seq.decoding import Alignment

PAPER, INK, MUTED, GRID = "#ffffff", "#1b1f24", "#5d6671", "#e1e5ea"
TRAINING, VALIDATION = "#e69f00", "#0072b2"  # of Okabe and Ito (2008), which colour-blind readers can tell apart
DPI = 150
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": PAPER,
}


def draw_curves(history: Sequence[EpochRecord], *, title: str, exact: bool) -> bytes:
    """Loss and accuracy over epochs, as a PNG; `exact`: validation accuracy is the share of outputs without error."""
    with matplotlib.rc_context(STYLE):
        figure = _figure(8.6, 3.2, title)
        losses, accuracies = figure.subplots(1, 2)
        epochs = [record.epoch for record in history]
        curves = {"training": TRAINING, "validation": VALIDATION}
        for axes, quantity, scale in ((losses, "loss", 1), (accuracies, "accuracy", 100)):
            for split, shade in curves.items():
                prefix = "train" if split == "training" else split
                values = [scale * getattr(record, f"{prefix}_{quantity}") for record in history]
                axes.plot(epochs, values, color=shade, linewidth=2, marker="o", markersize=4, label=split)
            axes.set_xlabel("epoch")
            axes.grid(axis="y", color=GRID, linewidth=0.8)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        losses.set_title("Loss, nats per token")
        losses.set_yscale("log")
        losses.yaxis.set_major_locator(LogLocator(numticks=6))
        losses.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        losses.yaxis.set_minor_locator(NullLocator())
        losses.legend(frameon=False, labelcolor="linecolor")
        accuracies.set_title("Accuracy, percent")
        validation = "validation: whole sequences, own prefix" if exact else "validation: tokens, true prefix"
        accuracies.legend(
            labels=["training: tokens, true prefix", validation],
            frameon=False,
            labelcolor="linecolor",
            loc="lower right",
        )
        return _png(figure)


def draw_attention(examples: Sequence[Alignment], *, title: str) -> bytes:
    """A heatmap for each example, as a PNG: a row for every written symbol, dark where the model looked."""
    with matplotlib.rc_context(STYLE):
        labels = max(len(piece) for example in examples for piece in example.source)
        width = sum(1.0 + 0.3 * len(example.source) for example in examples)
        height = 1.6 + 0.3 * max(len(example.output) for example in examples) + 0.05 * labels
        figure = _figure(max(width, 5.2), height, title)
        ratios = [max(1, len(example.source)) for example in examples]
        grid = figure.subplots(1, len(examples), squeeze=False, gridspec_kw={"width_ratios": ratios})
        for axes, example in zip(grid[0], examples, strict=True):
            _heatmap(axes, example)
        grid[0][0].set_ylabel("written, from top to bottom")
        return _png(figure)


def draw_lengths(scores: Mapping[int, float], *, title: str) -> bytes:
    """Exact match in percent by the length of the source, as a PNG."""
    with matplotlib.rc_context(STYLE):
        figure = _figure(6.2, 2.9, title)
        axes = figure.subplots()
        lengths, values = list(scores), [100 * value for value in scores.values()]
        axes.plot(lengths, values, color=VALIDATION, linewidth=2, marker="o", markersize=4)
        axes.set_ylim(min(*values, 99) - 0.06 * (101 - min(*values, 99)), 100 + 0.06 * (101 - min(*values, 99)))
        axes.set_xlabel("symbols in the source")
        axes.set_ylabel("exact match, percent")
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        return _png(figure)


def _heatmap(axes: Axes, example: Alignment) -> None:
    source, output = example.source, example.output
    axes.imshow(example.weights, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    upright = max(map(len, source)) > 2
    axes.set_xticks(range(len(source)), source, rotation=90 if upright else 0)
    axes.set_yticks(range(len(output)), output)
    axes.xaxis.set_ticks_position("top")
    axes.set_xticks(np.arange(len(source) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(output) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.5)
    axes.tick_params(which="both", length=0, labelsize=7.5, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold")
    return figure


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
    return data.getvalue()
