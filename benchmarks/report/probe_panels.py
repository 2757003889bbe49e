"""Panels of derived results: accuracy over severity and attack, and what networks look at.

Like those of `panels`, each draws on the Axes it is given.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from benchmarks.derived import image_of
from benchmarks.probes.saliency import GUTTER
from benchmarks.report.depth import epsilon
from benchmarks.report.groups import model_title
from benchmarks.report.panels import GRID, INK, colour

Results = Mapping[str, Mapping[str, Any]]
"""What a probe found, by model."""


def draw_severity(axes: Axes, *, results: Results) -> None:
    """Accuracy in percent, mean over the corruptions, at severities 1 to 5, and at 0 without corruption."""
    lines = {}
    for model, found in results.items():
        by_severity = np.mean(list(found["corruption_accuracy"].values()), axis=0)
        lines[model] = [found["clean_accuracy"], *by_severity.tolist()]
    names = {m: f"{100 * found['mean_corruption_accuracy']:.1f} {model_title(m)}" for m, found in results.items()}
    for model in sorted(results, key=lambda model: -results[model]["mean_corruption_accuracy"]):
        axes.plot(100 * np.array(lines[model]), "o-", color=colour(model), markersize=3.5, label=names[model])
    _finish(axes, ["clean", "1", "2", "3", "4", "5"])
    axes.set_xlabel("severity")


def draw_attacks(axes: Axes, *, results: Results) -> None:
    """Accuracy in percent over the attack's size, at equal steps: PGD solid, FGSM dashed."""
    ranked = sorted(results, key=lambda model: -sum(results[model]["pgd"]))
    for model in ranked:
        found = results[model]
        clean = found["clean_accuracy"]
        axes.plot(100 * np.array([clean, *found["fgsm"]]), color=colour(model), linewidth=1, dashes=(3, 1.6))
        line = 100 * np.array([clean, *found["pgd"]])
        axes.plot(line, "o-", color=colour(model), markersize=3.5, label=model_title(model))
    _finish(axes, ["clean", *map(epsilon, results[ranked[0]]["epsilons"])])
    axes.set_xlabel("ε")


def _finish(axes: Axes, ticks: Sequence[str]) -> None:
    axes.set_xticks(range(len(ticks)), ticks)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]) if axes.get_ylim()[0] < 12 else None)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.legend(loc="lower left", frameon=False, fontsize=7.5, handlelength=1.2, labelspacing=0.25)


def draw_saliency(axes: Axes, *, gallery: Mapping[str, Any]) -> None:
    """The sheet of a gallery, with the families' names over its columns and the labels beside its rows."""
    sheet = image_of(gallery["sheet"])
    columns, rows = len(gallery["models"]) + 1, len(gallery["labels"])
    width, height = (sheet.shape[1] + GUTTER) / columns, (sheet.shape[0] + GUTTER) / rows
    axes.imshow(sheet, interpolation="none")
    titles = ["image", *map(model_title, gallery["models"])]
    middle_x = [width * (column + 0.5) - GUTTER / 2 for column in range(columns)]
    middle_y = [height * (row + 0.5) - GUTTER / 2 for row in range(rows)]
    axes.set_xticks(middle_x, titles, fontsize=7.5, color=INK)
    axes.set_yticks(middle_y, gallery["labels"], fontsize=7.5, color=INK)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
