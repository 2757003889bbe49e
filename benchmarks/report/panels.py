"""One panel of a figure: each function draws one data set (or one cell) on the Axes it is given.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; a family keeps its colour in all
figures. Names and values stand beside what they mean, in ink, so that no reader needs to match colours with a legend.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, MultipleLocator, NullLocator

from benchmarks.report.groups import Group
from benchmarks.report.summary import Sweep

PAPER, INK, MUTED, GRID, BAND, ALERT = "#ffffff", "#1b1f24", "#5d6671", "#e1e5ea", "#eef1f5", "#d55e00"
COLOURS = {
    "lenet5": "#7a7f87",
    "alexnet": "#56b4e9",
    "vgg16": "#e69f00",
    "resnet18": "#0072b2",
    "googlenet": "#009e73",
    "xception": "#cc79a7",
    "se_resnet18": "#d55e00",
}
OTHER_COLOUR = "#6a51a3"


def colour(model: str) -> str:
    """The family's colour in every figure."""
    return COLOURS.get(model, OTHER_COLOUR)


def draw_accuracy(axes: Axes, *, sweep: Sweep, dataset: str) -> None:
    """Test accuracy by model, best on top: mean, 95 % interval, single seeds, values at the right.

    A bar behind a family that is not distinguished from the best; without tests a band that holds all of those.
    """
    ranked = sweep.ranked(dataset)
    leader = sweep.leader(dataset)
    best = 100 * leader.best.accuracy
    if leader.margin is not None and len(ranked) > 1:
        axes.axvspan(best - 100 * leader.margin, best, color=BAND, linewidth=0, zorder=0)
    for position, group in enumerate(ranked):
        if leader.margin is None and (group is leader.best or group in leader.close):
            axes.axhspan(position - 0.45, position + 0.45, color=BAND, linewidth=0, zorder=0)
        low, high = group.interval
        shade, mean = colour(group.model), 100 * group.accuracy
        axes.plot([100 * low, 100 * high], [position] * 2, color=shade, linewidth=2, solid_capstyle="round", alpha=0.55)
        if group.n > 1:
            seeds = [100 * row["test"]["accuracy"] for row in group.rows]
            axes.plot(seeds, [position - 0.27] * group.n, "|", color=shade, markersize=5, markeredgewidth=1.2)
        axes.plot(mean, position, "o", color=shade, markersize=7.5)
        weight = "bold" if sweep.is_best(group) else "normal"
        where = {"xycoords": axes.get_yaxis_transform(), "va": "center", "fontweight": weight, "annotation_clip": False}
        axes.annotate(f"{mean:.2f}", (1.17, position), ha="right", **where)
        axes.annotate(group.title, (-0.02, position), ha="right", **where)
    axes.set_ylim(len(ranked) - 0.45, -0.6)
    axes.yaxis.set_major_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.margins(x=0.06)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.spines["left"].set_visible(False)


def draw_curves(axes: Axes, *, sweep: Sweep, group: Group, quantity: Literal["accuracy", "loss"]) -> None:
    """One cell's training (dashed) and validation (solid) over epochs, every seed, before all other families in grey.

    All cells of a data set get the same axes. Accuracy is cut where the slowest first epochs would flatten the rest.
    """
    scale = 100 if quantity == "accuracy" else 1
    peers = sweep.ranked(group.dataset)
    for peer in peers:
        if peer is not group:
            axes.plot(*_mean_curve(peer, f"validation_{quantity}", scale=scale), color=GRID, linewidth=1.2, zorder=1)
    shade = colour(group.model)
    thin = 0.7 if group.n > 1 else 1.0
    for row in group.rows:
        epochs, training = _curve(row, f"train_{quantity}", scale=scale)
        axes.plot(epochs, training, color=shade, linewidth=1.2 * thin, alpha=0.75, zorder=2, dashes=(3, 1.6))
        if len(epochs) == 1:
            axes.plot(epochs, training, "o", color=shade, markersize=4.5 * thin, fillstyle="none", zorder=4)
        epochs, validation = _curve(row, f"validation_{quantity}", scale=scale)
        axes.plot(epochs, validation, color=shade, linewidth=2 * thin, zorder=3)
        axes.plot(epochs[-1:], validation[-1:], "o", color=shade, markersize=4.5 * thin, zorder=4)
    longest = max(peer.epochs for peer in peers)
    axes.set_xlim(1 - 0.06 * longest, longest * 1.06)
    axes.xaxis.set_major_locator(MultipleLocator(1) if longest <= 5 else MaxNLocator(4, integer=True))
    rows = [row for peer in peers for row in peer.rows]
    if quantity == "accuracy":
        axes.set_ylim(*_accuracy_limits(rows))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    else:
        _log_loss(axes, rows)
    axes.grid(axis="y", color=GRID, linewidth=0.8)


def _curve(row: dict, name: str, *, scale: int) -> tuple[list[int], list[float]]:
    return [entry["epoch"] for entry in row["history"]], [scale * entry[name] for entry in row["history"]]


def _mean_curve(group: Group, name: str, *, scale: int) -> tuple[list[int], list[float]]:
    epochs = min(len(row["history"]) for row in group.rows)
    curves = [_curve(row, name, scale=scale) for row in group.rows]
    return curves[0][0][:epochs], [float(np.mean([values[i] for _, values in curves])) for i in range(epochs)]


def _accuracy_limits(rows: Sequence[dict]) -> tuple[float, float]:
    """Percent limits that show every family's last epochs: three times as deep as the final accuracies reach."""
    curves = [[100 * entry["validation_accuracy"] for entry in row["history"]] for row in rows]
    top = max(100 * row["history"][-1][f"{split}_accuracy"] for row in rows for split in ("train", "validation"))
    final = min(curve[-1] for curve in curves)
    everything = min(min(curve) for curve in curves)
    bottom = max(everything, final - 2 * (top - final) - 0.5 * (100 - top))
    return bottom - 0.08 * (top - bottom) - 0.05, top + 0.12 * (top - bottom) + 0.05


def _log_loss(axes: Axes, rows: Sequence[dict]) -> None:
    values = [entry[f"{split}_loss"] for row in rows for entry in row["history"] for split in ("train", "validation")]
    values = [value for value in values if value > 0] or [1.0]
    axes.set_yscale("log")
    axes.set_ylim(min(values) / 1.3, max(values) * 1.3)
    wide = max(values) / min(values) > 30
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def draw_confusion(axes: Axes, *, group: Group) -> None:
    """Confusion matrix, true classes in rows: images per seed on average, errors tinted by their share of the row."""
    counts = np.mean([row["confusion_matrix"] for row in group.rows], axis=0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    errors = shares[~np.eye(len(counts), dtype=bool)]
    worst = max(float(errors.max(initial=0.0)), 0.01)
    for (row, column), count in np.ndenumerate(counts):
        on_diagonal = row == column
        if count < 0.5 and not on_diagonal:
            continue
        tint = 0.10 if on_diagonal else 0.75 * (float(shares[row, column]) / worst) ** 0.6
        face = to_rgba(INK if on_diagonal else ALERT, tint)
        axes.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=face, linewidth=0))
        weight = "bold" if on_diagonal else "normal"
        axes.text(column, row, f"{count:.0f}", ha="center", va="center", fontsize=7, fontweight=weight)
    labels = [str(entry["label"]) for entry in group.rows[0]["per_class"]]
    axes.set_xlim(-0.5, len(counts) - 0.5)
    axes.set_ylim(len(counts) - 0.5, -0.5)
    axes.set_aspect("equal")
    rotation = 45 if max(map(len, labels)) > 2 else 0
    side = "right" if rotation else "center"
    axes.set_xticks(range(len(labels)), labels, rotation=rotation, ha=side, rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(length=0, labelsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for spine in axes.spines.values():
        spine.set_visible(False)
