"""Tables beyond accuracy: calibration from stored predictions; corruptions and attacks from derived results."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.analysis.calibration import Calibration
from benchmarks.analysis.estimate import Estimate
from benchmarks.probes.corruptions import REPLACED
from benchmarks.report.groups import Group
from benchmarks.report.summary import Sweep

CALIBRATION_NOTE = (
    "ECE: expected calibration error over 15 bins of confidence, in percent; by chance: what would be left of it, were "
    "the confidences right; Brier: squared error of the probabilities, summed over classes; loss in nats. Before → "
    "after dividing the logits by a temperature T that is fitted on the validation images: above 1 the networks were "
    "too sure, below 1 not sure enough, as label smoothing makes them. Means over seeds; ± is one standard deviation."
)
ROBUSTNESS_NOTE = (
    "Without corruption, the mean over 15 corruptions at five severities, the percentage of the clean accuracy that is "
    "lost, the mean of each group, and of each corruption."
)
ATTACKS_NOTE = (
    "An attacker who knows the network may change every pixel by up to ε (white is 1): in one step (FGSM, arXiv "
    "1412.6572), and in {steps} from a random start (PGD, arXiv 1706.06083)."
)
UNTESTED = "Not tested: differences of a few points between families may be chance."
GROUPS = ("noise", "blur", "weather", "digital")
REPLACED_NOTE = (
    "Made anew after Hendrycks and Dietterich 2019 (arXiv 1903.12261), at the levels of CIFAR-10-C: not to be quoted "
    "beside numbers on the published files. What differs from theirs: "
    + "; ".join(f"{name.replace('_', ' ')}: {text}" for name, text in REPLACED.items())
    + ". The others follow them up to rounding."
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of one data set: a line per family, its name first.

    Attributes:
        title: what is measured.
        caption: how to read it.
        headings: of the columns after the family's.
        lines: families and their cells.
    """

    title: str
    caption: str
    headings: tuple[str, ...]
    lines: tuple[tuple[Group, tuple[str, ...]], ...]


def tables(sweep: Sweep, dataset: str) -> list[Table]:
    """All that there is for a data set."""
    return [table for table in (_calibration(sweep, dataset), *_probes(sweep, dataset)) if table.lines]


def _calibration(sweep: Sweep, dataset: str) -> Table:
    lines = [(group, _calibrated(group.calibration)) for group in sweep.ranked(dataset) if group.calibration]
    return Table(
        title="Calibration",
        caption=CALIBRATION_NOTE,
        headings=("T", "ECE %", "by chance", "ECE of equal mass %", "Brier", "loss"),
        lines=tuple(lines),
    )


def _calibrated(found: Calibration) -> tuple[str, ...]:
    def change(name: str, *, scale: int = 1, digits: int = 4) -> str:
        before, after = found.before[name], found.after[name]
        spread = "" if after.std is None else f" ± {scale * after.std:.{digits}f}"
        return f"{scale * before.mean:.{digits}f} → {scale * after.mean:.{digits}f}{spread}"

    return (
        _with_spread(found.temperature),
        change("ece", scale=100, digits=2),
        f"{100 * found.ece_by_chance.mean:.2f}",
        change("adaptive_ece", scale=100, digits=2),
        change("brier"),
        change("nll"),
    )


def _with_spread(estimate: Estimate) -> str:
    return f"{estimate.mean:.2f}" if estimate.std is None else f"{estimate.mean:.2f} ± {estimate.std:.2f}"


def _probes(sweep: Sweep, dataset: str) -> Iterator[Table]:
    robust = [(group, found) for group in sweep.ranked(dataset) if (found := group.probe("robustness"))]
    if robust:
        names = list(robust[0][1]["corruption_accuracy"])
        yield Table(
            title="Robustness to corruptions",
            caption=f"{_images(robust[0][1])}. {ROBUSTNESS_NOTE} {UNTESTED} {REPLACED_NOTE}",
            headings=("clean", "mean", "lost", *GROUPS, *(name.replace("_", " ") for name in names)),
            lines=tuple((group, _corrupted(found, names)) for group, found in robust),
        )
    attacked = [(group, found) for group in sweep.ranked(dataset) if (found := group.probe("attacks"))]
    if attacked:
        sizes = [epsilon(value) for value in attacked[0][1]["epsilons"]]
        steps = attacked[0][1]["steps"]
        yield Table(
            title="Attacks",
            caption=f"{_images(attacked[0][1])}. {ATTACKS_NOTE.format(steps=steps)} {UNTESTED}",
            headings=("clean", *(f"{name}, ε {size}" for name in ("FGSM", "PGD") for size in sizes)),
            lines=tuple((group, _attacked(found)) for group, found in attacked),
        )


def _images(found: dict) -> str:
    return f"Accuracy in percent on the same {found['count']:,} test images, one seed"


def _corrupted(found: dict, names: list[str]) -> tuple[str, ...]:
    means = [sum(found["corruption_accuracy"][name]) / len(found["corruption_accuracy"][name]) for name in names]
    fractions = [found["clean_accuracy"], found["mean_corruption_accuracy"], found["relative_drop"] or 0.0]
    return tuple(f"{100 * value:.1f}" for value in [*fractions, *(found["group_accuracy"][g] for g in GROUPS), *means])


def _attacked(found: dict) -> tuple[str, ...]:
    return tuple(f"{100 * value:.1f}" for value in [found["clean_accuracy"], *found["fgsm"], *found["pgd"]])


def epsilon(value: float) -> str:
    """An attack's size as the literature writes it: 8/255, or 0.3."""
    return f"{value * 255:.0f}/255" if abs(value * 255 - round(value * 255)) < 1e-6 else f"{value:g}"
