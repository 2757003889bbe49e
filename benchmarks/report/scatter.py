"""Accuracy against a cost, every family named beside its point."""

from collections.abc import Sequence
from math import ceil, floor
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.report.analysis_panels import draw_front
from benchmarks.report.labels import DISTANCES, place_names
from benchmarks.report.panels import GRID, PAPER, colour
from benchmarks.report.summary import Sweep

Cost = Literal["num_params", "flops", "train_seconds", "step_ms", "latency_ms", "peak_memory_bytes"]
AXES: dict[Cost, str] = {
    "num_params": "parameters",
    "flops": "operations per image",
    "train_seconds": "training time",
    "step_ms": "time of a training step",
    "latency_ms": "time of one image",
    "peak_memory_bytes": "peak memory",
}


def _ticks(digits: Sequence[int], units: Sequence[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    return tuple((digit * factor, f"{digit}{unit}") for factor, unit in units for digit in digits)


TICKS: dict[Cost, tuple[tuple[float, str], ...]] = {
    "num_params": _ticks((1, 3, 10, 30, 100, 300), ((10**3, "k"), (10**6, "M"))),
    "flops": _ticks((1, 3, 10, 30, 100, 300), ((10**6, "M"), (10**9, "G"))),
    "train_seconds": _ticks((1, 2, 5, 10, 20, 30), ((1, " s"), (60, " min"), (3600, " h"))),
    "step_ms": _ticks((1, 2, 5, 10, 20, 50, 100, 200, 500), ((1, " ms"), (1000, " s"))),
    "latency_ms": (
        *((0.1, "0.1 ms"), (0.2, "0.2 ms"), (0.5, "0.5 ms")),
        *_ticks((1, 2, 5, 10, 20, 50, 100, 200, 500), ((1, " ms"),)),
    ),
    "peak_memory_bytes": _ticks((1, 2, 4, 8, 16, 32, 64, 128, 256, 512), ((2**20, " MiB"), (2**30, " GiB"))),
}
"""Round places on the logarithmic axis of each cost, with what is written there."""


def draw_cost(axes: Axes, *, sweep: Sweep, dataset: str, cost: Cost) -> None:
    """Test accuracy in percent over a cost on a logarithmic axis: one point per family, still without names."""
    groups = [group for group in sweep.ranked(dataset) if group.cost(cost) > 0]
    axes.set_xscale("log")
    for group in groups:
        place = group.cost(cost), 100 * group.accuracy
        axes.plot(*place, "o", color=colour(group.model), markersize=8.5, markeredgecolor=PAPER)
    costs = [group.cost(cost) for group in groups] or [1.0]
    room = max(max(costs) / min(costs), 10) ** 0.17
    axes.set_xlim(min(costs) / room, max(costs) * room**2.8)  # most points lie right, and need room for their names
    accuracies = np.array([group.accuracy for group in groups])
    _space_by_error(axes, accuracies.tolist())
    draw_front(axes, costs=np.array(costs[: len(groups)]), accuracies=accuracies)
    axes.xaxis.set_major_locator(FixedLocator([place for place, _ in TICKS[cost]]))
    texts = dict(TICKS[cost])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: texts.get(place, "")))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_xlabel(AXES[cost])


def _space_by_error(axes: Axes, accuracies: Sequence[float]) -> None:
    """Makes the percent axis logarithmic in the error: from 90 to 95 is as far as from 98 to 99."""
    if not accuracies:
        return
    least = 1e-3  # percent: a faultless model still has a place
    axes.set_yscale(
        "function",
        functions=(lambda y: -np.log(np.maximum(100 - y, least)), lambda z: 100 - np.exp(-z)),
    )
    errors = [max(100 * (1 - accuracy), least) for accuracy in accuracies]
    room = max(max(errors) / min(errors), 1.5) ** 0.15
    axes.set_ylim(100 - max(errors) * room, 100 - min(errors) / room)
    low, high = axes.get_ylim()
    steps = (10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
    choices = [[step * k for k in range(ceil(low / step), floor(high / step) + 1)] for step in steps]
    ticks = next((choice for choice in choices if len(choice) >= 4), choices[-1])
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def label_points(axes: Axes, *, sweep: Sweep, dataset: str, cost: Cost) -> None:
    """Names the points of `draw_cost` where there is most room, once the figure's layout is final."""
    groups = [group for group in sweep.ranked(dataset) if group.cost(cost) > 0]
    if not groups:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    points = 72 / figure.dpi
    places = [(group.cost(cost), 100 * group.accuracy) for group in groups]
    centres = axes.transData.transform(places) * points
    sizes = np.array([_text_size(axes, group.title) for group in groups]) * points + 3
    offsets = place_names(centres, sizes, frame=np.asarray(axes.get_window_extent().extents) * points)
    for group, place, (dx, dy) in zip(groups, places, offsets, strict=True):
        line = {"arrowstyle": "-", "color": colour(group.model), "linewidth": 0.9, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(
            group.title,
            place,
            (dx, dy),
            textcoords="offset points",
            ha=("right", "center", "left")[int(np.sign(dx)) + 1],
            va=("top", "center", "bottom")[int(np.sign(dy)) + 1],
            arrowprops=line if np.hypot(dx, dy) > 1.5 * DISTANCES[0] else None,
            in_layout=False,
        )


def _text_size(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height of a text, in pixels."""
    artist = axes.text(0.5, 0.5, text, transform=axes.transAxes)
    box = artist.get_window_extent()
    artist.remove()
    return box.width, box.height
