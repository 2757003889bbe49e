"""The figures beyond accuracy: those of stored predictions, and those of derived results."""

from collections.abc import Iterator
from functools import partial

from benchmarks.analysis.hard_examples import LABEL_NOTE, HardExample
from benchmarks.derived import image_of
from benchmarks.report.analysis_panels import (
    draw_hard_example,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
)
from benchmarks.report.groups import dataset_title
from benchmarks.report.plot import Panel, Plot
from benchmarks.report.probe_panels import draw_attacks, draw_saliency, draw_severity
from benchmarks.report.summary import Sweep
from benchmarks.report.wording import names

DEEPER = ("reliability", "roc", "precision_recall", "robustness", "attacks", "saliency", "examples")


def plots_of_predictions(sweep: Sweep) -> Iterator[Plot]:
    """Calibration and threshold curves, of the families and data sets whose predictions were kept."""
    datasets = [d for d in sweep.datasets if any(group.predictions for group in sweep.ranked(d))]
    if not datasets:
        return

    def reliability(model: str, dataset: str) -> Panel | None:
        group = sweep.get(model, dataset)
        if group is None or group.calibration is None:
            return None
        return Panel(group.title, partial(draw_reliability, calibration=group.calibration, model=model))

    yield Plot(
        name="reliability",
        title="Reliability: accuracy over confidence",
        caption="Dashed and hollow before, filled after temperature scaling fitted on the validation images; the "
        "dotted diagonal is perfect; grey bars are shares of images; a bin of under 10 images has no point.",
        rows=tuple((dataset_title(d), tuple(reliability(m, d) for m in sweep.models)) for d in datasets),
        size=(2.3, 2.1),
    )
    for name, title, draw in (
        ("roc", "ROC curves", draw_roc),
        ("precision_recall", "Precision over recall", draw_precision_recall),
    ):
        panels = []
        for dataset in datasets:
            curves = {g.model: curve for g in sweep.ranked(dataset) if (curve := getattr(g, name)) is not None}
            panels.append(Panel(dataset_title(dataset), partial(draw, curves=curves)))
        yield Plot(
            name=name,
            title=f"{title}, in percent",
            caption="Axes are spaced by the logarithm of the error; one class against the rest, mean over classes and "
            f"seeds; the legend gives the {'area under the curve' if name == 'roc' else 'average precision'}.",
            rows=(("", tuple(panels)),),
            size=(3.9, 3.3),
        )


def plots_of_probes(sweep: Sweep) -> Iterator[Plot]:
    """Those of the probes that ran."""
    for name, title, caption, draw in (
        (
            "robustness",
            "Accuracy in percent under corruptions",
            "Mean over 15 corruptions of the same 1,000 test images, one seed; the legend has that over severities.",
            draw_severity,
        ),
        (
            "attacks",
            "Accuracy in percent under attacks",
            "Each pixel may change by up to ε (white is 1): PGD solid, FGSM dashed. The same images, one seed.",
            draw_attacks,
        ),
    ):
        found = {d: {g.model: one for g in sweep.ranked(d) if (one := g.probe(name))} for d in sweep.datasets}
        panels = [Panel(dataset_title(d), partial(draw, results=found[d])) for d in sweep.datasets if found[d]]
        if panels:
            yield Plot(name=name, title=title, caption=caption, rows=(("", tuple(panels)),), size=(3.9, 3.0))
    yield from _saliency(sweep)
    yield from _examples(sweep)


def _saliency(sweep: Sweep) -> Iterator[Plot]:
    galleries = [(dataset, found) for dataset in sweep.datasets if (found := sweep.gallery("saliency", dataset))]
    if galleries:
        yield Plot(
            name="saliency",
            title="What the networks look at",
            caption="SmoothGrad (arXiv 1706.03825): bright is where a pixel moves the network's choice most; one test "
            "image of each of five classes, one seed.",
            rows=tuple((dataset_title(d), (Panel("", partial(draw_saliency, gallery=g)),)) for d, g in galleries),
            size=(7.5, 4.6),
        )


def hard_counts(sweep: Sweep) -> str:
    """How many such images each data set has, and how many it would have by chance."""
    found = [
        f"{len(hard.examples)} of {dataset_title(dataset)} ({hard.expected:.1f} if families erred independently; "
        f"{hard.by_every_seed} that no network at all gets right)"
        for dataset, hard in sweep.hard_examples.items()
    ]
    return f"There are {names(found)}." if found else ""


def _examples(sweep: Sweep) -> Iterator[Plot]:
    rows = []
    for dataset, hard in sweep.hard_examples.items():
        kept = (sweep.gallery("examples", dataset) or {"images": {}})["images"]
        classes = [str(entry["label"]) for entry in sweep.ranked(dataset)[0].rows[0]["per_class"]]
        shown = [one for one in hard.examples if str(one.index) in kept]
        if shown:
            panels = [_example(one, kept[str(one.index)], classes) for one in shown]
            rows.append((dataset_title(dataset), tuple(panels)))
    if rows:
        most = max(len(panels) for _, panels in rows)
        yield Plot(
            name="examples",
            title="Test images that every family gets wrong",
            caption=f"In each family most seeds are wrong. {hard_counts(sweep)} Shown are those on whose wrong answer "
            f"most networks agree, with its share of the votes. {LABEL_NOTE}",
            rows=tuple((heading, panels + (None,) * (most - len(panels))) for heading, panels in rows),
            size=(1.5, 1.9),
        )


def _example(example: HardExample, image: str, classes: list[str]) -> Panel:
    return Panel(
        f"no. {example.index}", partial(draw_hard_example, image=image_of(image), example=example, classes=classes)
    )
