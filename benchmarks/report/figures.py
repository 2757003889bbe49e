"""The figures of a sweep: which panels they have, how they are called, and what a reader must know to read them."""

from functools import partial
from typing import Literal

from benchmarks.derived import derived_line
from benchmarks.report import wording
from benchmarks.report.deeper_figures import DEEPER, plots_of_predictions, plots_of_probes
from benchmarks.report.groups import dataset_title, model_title
from benchmarks.report.panels import draw_accuracy, draw_confusion, draw_curves
from benchmarks.report.plot import Panel, Plot
from benchmarks.report.scatter import Cost, draw_cost, label_points
from benchmarks.report.summary import Sweep

COSTS: dict[Cost, tuple[str, str, str]] = {
    "num_params": ("accuracy_by_parameters", "number of parameters", "smaller"),
    "flops": ("accuracy_by_operations", "arithmetic per image", "less; two operations for each multiply-add"),
    "train_seconds": ("accuracy_by_train_time", "training time", "faster; time is that of one seed, without compiling"),
    "step_ms": ("accuracy_by_step_time", "time of a training step", "faster"),
    "latency_ms": ("accuracy_by_latency", "time from one image to its class", "faster"),
    "peak_memory_bytes": ("accuracy_by_memory", "peak memory", "less; it is that of the whole process"),
}
"""Costs that accuracy is drawn against: the figure's name, the cost in its title, and what left means."""

NAMES = (
    *("accuracy", "curves_accuracy", "curves_loss", "confusion"),
    *(*DEEPER, *(name for name, _, _ in COSTS.values())),
)


def plots(sweep: Sweep) -> list[Plot]:
    """Every figure of one sweep, in the order in which they are read."""
    return [
        _accuracy(sweep),
        _curves(sweep, "accuracy"),
        _curves(sweep, "loss"),
        _confusion(sweep),
        *plots_of_predictions(sweep),
        *(_scatter(sweep, cost) for cost in COSTS if any(group.cost(cost) > 0 for group in sweep.groups)),
        *plots_of_probes(sweep),
    ]


def _accuracy(sweep: Sweep) -> Plot:
    ticks = ", the small ticks are its seeds" if sweep.seeds != (1,) else ""
    counted = sweep.seeds != (1,) and all(group.predictions for group in sweep.groups)
    luck = "that seeds and test images leave" if counted else "that the number of test images leaves"
    shaded = "families on a shaded row are" if sweep.comparisons else "the shaded band holds what is"
    band = f"; {shaded} not distinguished from the best" if len(sweep.models) > 1 else ""
    panels = (Panel(dataset_title(d), partial(draw_accuracy, sweep=sweep, dataset=d)) for d in sweep.datasets)
    return Plot(
        name="accuracy",
        title="Test accuracy in percent by model and data set",
        caption=f"Each line is the 95 % interval {luck}{ticks}{band}.",
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
        best = sweep.leader(dataset).best
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

    name, words, left = COSTS[cost]
    if cost == "latency_ms":
        left += f", measured on {wording.span(_latency_devices(sweep))}"
    return Plot(
        name=name,
        title=f"Test accuracy in percent against {words}",
        caption=f"Up is better, left is {left}; shaded is what a cheaper or better family beats: its edge is the "
        "Pareto front, on which a small lead may be luck. Both scales are logarithmic, that of accuracy in the error.",
        rows=(("", tuple(map(panel, sweep.datasets))),),
        size=(4.0, 3.2),
    )


def _latency_devices(sweep: Sweep) -> list[str]:
    lines = [derived_line(group.out, "latency", group.rows[0]) for group in sweep.groups]
    return [wording.device(line) for line in lines if line]
