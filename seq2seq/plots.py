"""Figures of a run: how it learnt, where it looks, which lengths it gets right; and of many: how far attention reaches.

Drawn with Figure objects on the Agg canvas: no display, no global state, the same bytes for the same numbers.
"""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, MultipleLocator, NullLocator

from jax_models.training.loop import EpochRecord
from seq2seq.decoding import Alignment

PAPER, INK, MUTED, GRID = "#ffffff", "#1b1f24", "#5d6671", "#e1e5ea"
TRAINING, VALIDATION = "#e69f00", "#0072b2"  # of Okabe and Ito (2008), which colour-blind readers can tell apart
SHADES = {"none": MUTED, "additive": VALIDATION, "dot": TRAINING, "location": "#009e73"}  # also theirs
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


def draw_reach(
    curves: Mapping[str, Mapping[int, tuple[float, float, float]]], *, trained: tuple[int, int], title: str
) -> bytes:
    """Exact match in percent by length (its mean, lowest and highest), a curve for each attention, as a PNG.

    Made for a slide. Lengths are on a logarithmic scale; those of the training are shaded.
    """
    large: dict[Any, Any] = {"font.size": 14}
    with matplotlib.rc_context(STYLE | large):
        figure = _figure(10.0, 5.6, title, size=18.0)
        axes = figure.subplots()
        axes.set_xscale("log")
        first, last, longest = *trained, max(max(curve) for curve in curves.values())
        axes.axvspan(first, last, color=GRID, alpha=0.5, linewidth=0)
        axes.text(math.sqrt(first * last), 105, f"lengths of the training: {first} to {last}", color=MUTED, ha="center")
        for number, (name, curve) in enumerate(curves.items()):
            mean, low, high = zip(*curve.values(), strict=True)
            width = 3 + 1.3 * (len(curves) - 1 - number)  # where curves coincide, all of them are seen
            axes.fill_between(list(curve), low, high, color=SHADES[name], alpha=0.25, linewidth=0)
            axes.plot(list(curve), mean, color=SHADES[name], linewidth=width, solid_capstyle="butt")
        means = {name: {length: mean for length, (mean, _, _) in curve.items()} for name, curve in curves.items()}
        _label_curves(axes, means)
        axes.set_xlim(first * 0.93, longest * 1.1)
        axes.set_ylim(-3, 113)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(MultipleLocator(25))
        axes.set_xlabel("symbols in the source")
        axes.set_ylabel("exact match, percent")
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        return _png(figure)


def _label_curves(axes: Axes, curves: Mapping[str, Mapping[int, float]]) -> None:
    """Writes each name right of where its curve falls; of curves that fall together, each at a height of its own.

    Curves that do not fall have their names at the end, below them.
    """
    falls = {name: _fall(curve, 50.0) for name, curve in curves.items()}
    fallen = sorted((name for name in curves if falls[name] is not None), key=lambda name: falls[name] or 0)
    style: dict[str, Any] = {"fontsize": 16, "fontweight": "bold"}
    for name, height in zip(fallen, np.linspace(72, 28, len(fallen)), strict=True):
        height = max(height, min(curves[name].values()) + 0.1)  # a curve that stops falling before it comes so low
        own = _fall(curves[name], height) or 0.0
        falls_here = [_fall(curves[other], height) or 0.0 for other in fallen]
        beside = [fall for fall in falls_here if own <= fall < 1.6 * own] or [own]
        place, line = (1.15 * max(beside), height), {"arrowstyle": "-", "color": SHADES[name], "linewidth": 1.5}
        axes.annotate(name, (own, height), place, color=SHADES[name], va="center", arrowprops=line, **style)
    for number, name in enumerate(name for name in curves if falls[name] is None):
        length, value = list(curves[name].items())[-1]
        axes.text(length, value - 4 - 8 * number, name, color=SHADES[name], ha="right", va="top", **style)


def _fall(curve: Mapping[int, float], level: float) -> float | None:
    """The length at which a curve first falls below a level, or None if it does not; between lengths on a log scale."""
    lengths, values = list(curve), list(curve.values())
    for number, value in enumerate(values):
        if value < level:
            before = max(0, number - 1)
            ends = np.log([lengths[before], lengths[number]])
            return float(np.exp(np.interp(level, [value, values[before]], ends[::-1])))
    return None


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


def _figure(width: float, height: float, title: str, *, size: float = 12.0) -> Figure:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.012, ha="left", fontsize=size, fontweight="bold")
    return figure


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
    return data.getvalue()
