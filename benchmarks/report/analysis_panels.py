"""Panels of what stored predictions say: reliability, ROC, precision and recall, hard examples, Pareto fronts.

Like those of `panels`, each draws on the Axes it is given.
"""

from collections.abc import Mapping, Sequence
from math import floor, log10
from statistics import median

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from benchmarks.analysis.calibration import Calibration
from benchmarks.analysis.curves import MacroCurve
from benchmarks.analysis.hard_examples import HardExample
from benchmarks.analysis.pareto import pareto_front
from benchmarks.analysis.reliability import BINS, Reliability
from benchmarks.report.groups import model_title
from benchmarks.report.panels import BAND, GRID, INK, MUTED, colour

FEWEST = 10  # images that a bin needs to be drawn as a point
ERRORS = [error / 10**decade for decade in range(6) for error in (1, 0.5)]  # right are 0 %, 50 %, 90 %, 95 %, 99 %...


def draw_reliability(axes: Axes, *, calibration: Calibration, model: str) -> None:
    """Accuracy over confidence: hollow before temperature scaling, filled with 95 % intervals after it.

    On the diagonal confidence is right, above it too low, below it too high. The bars are the shares of images after
    scaling; bins of fewer than ten images have no point. Below stand calibration errors and temperature.
    """
    shade = colour(model)
    before, after = calibration.reliability_before, calibration.reliability_after
    shares = after.images / after.images.sum()
    axes.bar(np.arange(BINS) / BINS, shares, width=1 / BINS, align="edge", color=GRID, linewidth=0, zorder=0)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, dashes=(1, 2), zorder=2)
    axes.plot(*_points(before), "o-", color=shade, markersize=3.2, fillstyle="none", linewidth=1, dashes=(3, 1.6))
    shown = after.images >= FEWEST
    axes.vlines(after.confidence[shown], after.low[shown], after.high[shown], color=shade, linewidth=1.2, alpha=0.55)
    axes.plot(*_points(after), "o-", color=shade, markersize=3.2, linewidth=1.6, zorder=3)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([0, 0.5, 1]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(color=GRID, linewidth=0.8)
    errors = [f"{100 * scores['ece'].mean:.2f}" for scores in (calibration.before, calibration.after)]
    axes.set_xlabel(f"ECE {errors[0]} → {errors[1]} %, T {calibration.temperature.mean:.2f}", fontsize=8, color=INK)


def _points(bins: Reliability) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    shown = bins.images >= FEWEST
    return bins.confidence[shown], bins.accuracy[shown]


def draw_roc(axes: Axes, *, curves: Mapping[str, MacroCurve]) -> None:
    """True-positive rate over false-positive rate by model, in percent, spaced by the logarithm of the error.

    The legend gives the areas under the curves, in percent.
    """
    _draw_by_error(axes, {model: (curve.x, 1 - curve.y) for model, curve in curves.items()}, names=_names(curves))
    axes.set_xlim(min(curve.x[0] for curve in curves.values()), 1)
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:g}"))
    axes.set_xlabel("false-positive rate")
    axes.set_ylabel("true-positive rate")


def draw_precision_recall(axes: Axes, *, curves: Mapping[str, MacroCurve]) -> None:
    """Precision over recall by model, in percent, spaced by the logarithm of the error.

    The legend gives the average precisions, in percent.
    """
    _draw_by_error(axes, {model: (1 - curve.x, 1 - curve.y) for model, curve in curves.items()}, names=_names(curves))
    axes.set_xlim(1, min(1 - curve.x[-1] for curve in curves.values()))
    _write_percent_right(axes.xaxis)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")


def _names(curves: Mapping[str, MacroCurve]) -> dict[str, str]:
    """What the legend says of each model, largest area first; two digits of the median distance to 100 %."""
    ranked = sorted(curves.items(), key=lambda item: -item[1].area.mean)
    distance = 100 * (1 - median(curve.area.mean for curve in curves.values()))
    digits = max(1, 1 - floor(log10(max(distance, 1e-4))))
    return {model: f"{100 * curve.area.mean:.{digits}f} {model_title(model)}" for model, curve in ranked}


def _draw_by_error(axes: Axes, lines: Mapping[str, tuple[np.ndarray, np.ndarray]], *, names: dict[str, str]) -> None:
    """Draws errors over errors, both logarithmic, upwards the smaller ones; the first of `names` lies over the others.

    A curve leaves at the top where its error is less than one image's share.
    """
    most, least = max(y.max() for _, y in lines.values()), min(x.min() for x, _ in lines.values())
    for rank, (model, name) in enumerate(names.items()):
        x, y = lines[model]
        axes.plot(x, np.maximum(y, least / 10), color=colour(model), linewidth=1.5, label=name, zorder=3 - 0.1 * rank)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(min(1, max(1.3 * most, 10 * least)), least)
    axes.xaxis.set_minor_locator(NullLocator())
    _write_percent_right(axes.yaxis)
    axes.grid(color=GRID, linewidth=0.8)
    axes.legend(loc="best", frameon=False, fontsize=7.5, handlelength=1.2, labelspacing=0.25, borderaxespad=0.4)


def _write_percent_right(axis: Axis) -> None:
    """Ticks of a logarithmic axis of errors, with the percentage that is right written there."""
    axis.set_major_locator(FixedLocator(ERRORS))
    axis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 * (1 - error):g}"))
    axis.set_minor_locator(NullLocator())


def draw_front(axes: Axes, *, costs: Float[np.ndarray, " n"], accuracies: Float[np.ndarray, " n"]) -> None:
    """Shades what the Pareto front beats, under a scatter of accuracy in percent over cost; its edge is the front.

    An area rather than a line, which would strike the names through. It reaches the right and the lower edge, so the
    limits of `axes` must be set. Accuracies are fractions; without a known cost nothing is drawn.
    """
    front = np.flatnonzero(pareto_front(costs, accuracies))
    if not len(front):
        return
    front = front[np.argsort(costs[front], kind="stable")]
    x, y = [*costs[front], axes.get_xlim()[1]], 100 * accuracies[[*front, front[-1]]]
    axes.fill_between(x, y, axes.get_ylim()[0], step="post", color=BAND, linewidth=0, zorder=0)
    axes.step(x, y, where="post", color=GRID, linewidth=1.6, zorder=0.6)


def draw_hard_example(
    axes: Axes, *, image: UInt8[np.ndarray, "h w c"], example: HardExample, classes: Sequence[str]
) -> None:
    """One image as it is stored; below it its label, and the most frequent answer with its share of the votes."""
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="none")  # an SVG then holds the pixels as they are
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    said = f"{100 * example.agreement:.0f} %: {classes[example.answer]}"
    axes.set_xlabel(f"labelled {classes[example.label]}\n{said}", fontsize=8, color=INK, linespacing=1.3)
