"""The figures of a sweep: which panels they have, how they are called, and what a reader must know to read them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from matplotlib.axes import Axes

from benchmarks.report.groups import dataset_title, model_title
from benchmarks.report.panels import draw_accuracy, draw_confusion, draw_curves
from benchmarks.report.scatter import Cost, draw_cost, label_points
from benchmarks.report.summary import Sweep

NAMES = ("accuracy", "curves_accuracy", "curves_loss", "confusion", "accuracy_by_parameters", "accuracy_by_train_time")


@dataclass(frozen=True)
class Panel:
    """One drawing: `draw` fills the axes; `finish` runs when the layout is final and sizes in pixels are known."""

    title: str
    draw: Callable[[Axes], None]
    finish: Callable[[Axes], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One figure with a caption of one sentence.

    Attributes:
        name: one of `NAMES`.
        rows: a heading, or "", and as many panels as the other rows have; None leaves a place empty.
        size: width and height of a panel in inches.
    """

    name: str
    title: str
    caption: str
    rows: tuple[tuple[str, tuple[Panel | None, ...]], ...]
    size: tuple[float, float]


def plots(sweep: Sweep) -> list[Plot]:
    """Every figure of one sweep, in the order in which they are read."""
    return [
        _accuracy(sweep),
        _curves(sweep, "accuracy"),
        _curves(sweep, "loss"),
        _confusion(sweep),
        _scatter(sweep, "num_params"),
        _scatter(sweep, "train_seconds"),
    ]


def _accuracy(sweep: Sweep) -> Plot:
    ticks = ", the small ticks are its seeds" if sweep.seeds != (1,) else ""
    band = "; the shaded band holds what one cannot tell from the best" if len(sweep.models) > 1 else ""
    panels = (Panel(dataset_title(d), partial(draw_accuracy, sweep=sweep, dataset=d)) for d in sweep.datasets)
    return Plot(
        name="accuracy",
        title="Test accuracy in percent by model and data set",
        caption=f"Each line is the 95 % interval that the number of test images leaves{ticks}{band}.",
        rows=(("", tuple(panels)),),
        size=(3.9, 2.9),
    )


def _curves(sweep: Sweep, quantity: Literal["accuracy", "loss"]) -> Plot:
    def panel(model: str, dataset: str) -> Panel | None:
        group = sweep.get(model, dataset)
        if group is None:
            return None
        return Panel(model_title(model), partial(draw_curves, sweep=sweep, group=group, quantity=quantity))

    what = "Accuracy in percent" if quantity == "accuracy" else "Loss in nats on a logarithmic axis"
    others = ", the other families' validation in grey" if len(sweep.models) > 1 else ""
    return Plot(
        name=f"curves_{quantity}",
        title=f"Learning curves: {quantity}",
        caption=f"{what} over epochs: validation solid, training (during the epoch, augmented as the recipe says) "
        f"dashed{others}.",
        rows=tuple((dataset_title(d), tuple(panel(model, d) for model in sweep.models)) for d in sweep.datasets),
        size=(2.5, 1.9),
    )


def _confusion(sweep: Sweep) -> Plot:
    def panel(dataset: str) -> Panel:
        best = sweep.verdict(dataset).best
        return Panel(f"{dataset_title(dataset)}: {best.title}", partial(draw_confusion, group=best))

    mean = "" if sweep.seeds == (1,) else ", averaged over seeds"
    return Plot(
        name="confusion",
        title="Confusion matrix of the best model per data set",
        caption=f"Rows are true classes, columns predictions; numbers are test images{mean}, errors are tinted by "
        "their share of the row.",
        rows=(("", tuple(map(panel, sweep.datasets))),),
        size=(4.1, 4.1),
    )


def _scatter(sweep: Sweep, cost: Cost) -> Plot:
    def panel(dataset: str) -> Panel:
        what = {"sweep": sweep, "dataset": dataset, "cost": cost}
        return Panel(dataset_title(dataset), partial(draw_cost, **what), partial(label_points, **what))

    by_size = cost == "num_params"
    left = "smaller" if by_size else "faster; time is that of one seed, without compiling"
    return Plot(
        name="accuracy_by_parameters" if by_size else "accuracy_by_train_time",
        title=f"Test accuracy in percent against {'number of parameters' if by_size else 'training time'}",
        caption=f"Up is better, left is {left}; both scales are logarithmic, that of accuracy in the error.",
        rows=(("", tuple(map(panel, sweep.datasets))),),
        size=(4.0, 3.2),
    )
