"""What published weights bring: networks that began with them beside the same ones from scratch, cell by cell."""

from collections.abc import Iterator

from benchmarks.report import wording
from benchmarks.report.groups import Group, dataset_title
from benchmarks.report.pairs import signed
from benchmarks.report.summary import Summary
from benchmarks.report.versions import Change, compare_cells
from jax_models.recipes import ARMS

TITLE = "What ImageNet weights bring"
HEADINGS = ("model, data set", "scratch", "ImageNet", "gain", "95 % interval", "time / scratch", "verdict")
NOTE = (
    "Test accuracy in percent of the same network from scratch and from ImageNet's weights, on which the first fifth "
    "of the epochs, one at least, trains a new last layer alone. Size of images, epochs and recipe are the same. The "
    "gain, in points, is that after so many epochs: more of them may bring the other nearer. Verdicts are tested on "
    "the same test images and corrected for their number (Holm)."
)
ONE_SEED = "One seed: verdicts are about these trained networks, not about the luck of training."


def gains(summary: Summary) -> list[Change]:
    """From scratch (before) and from published weights (after), wherever both ran in one setting."""
    return compare_cells(
        [(scratch, tuned) for scratch, tuned in _sides(summary) if _setting(scratch) == _setting(tuned)]
    )


def without_gain(summary: Summary) -> list[str]:
    """The cells whose two sides were trained in different settings, in words."""
    return [
        f"{tuned.title} on {dataset_title(tuned.dataset)}"
        for scratch, tuned in _sides(summary)
        if _setting(scratch) != _setting(tuned)
    ]


def _sides(summary: Summary) -> Iterator[tuple[Group, Group]]:
    sweeps = {sweep.preset: sweep for sweep in summary.sweeps}
    for after, before in ARMS.values():
        if before in sweeps and after in sweeps:
            for scratch in sweeps[before].groups:
                if tuned := sweeps[after].get(scratch.model, scratch.dataset):
                    yield scratch, tuned


def gain_lines(found: list[Change]) -> list[tuple[str, ...]]:
    """A line with `HEADINGS` for each."""
    return [
        (
            f"{one.after.title}, {dataset_title(one.after.dataset)}",
            wording.percent(one.before.estimate("accuracy"), spread=one.before.n > 1),
            wording.percent(one.after.estimate("accuracy"), spread=one.after.n > 1),
            signed(one.difference),
            " to ".join(map(signed, one.comparison.interval)) if one.comparison else wording.DASH,
            wording.ratio(one.ratio("train_seconds")),
            one.verdict,
        )
        for one in found
    ]


def gain_note(found: list[Change]) -> str:
    """What the numbers mean, and how far they reach."""
    one_seed = any(one.comparison and not one.comparison.counts_training for one in found)
    return f"{NOTE} {ONE_SEED}" if one_seed else NOTE


def _setting(group: Group) -> tuple:
    """What must be the same on both sides."""
    row = group.rows[0]
    return group.epochs, group.batch_size, row.get("recipe"), (row.get("variant") or {}) | {"weights": None}
