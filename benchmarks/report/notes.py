"""What would mislead if it stayed unsaid."""

from collections.abc import Iterator

from benchmarks.report.gains import without_gain
from benchmarks.report.groups import dataset_title, model_title
from benchmarks.report.summary import Summary, Sweep
from jax_models.recipes import belong_together


def notes(summary: Summary) -> list[str]:
    """Sentences about mixed presets, settings, seeds, devices and versions, and about missing or failed cells."""
    found = []
    if not belong_together(sweep.preset for sweep in summary.sweeps):
        names = " and ".join(sweep.preset for sweep in summary.sweeps)
        found.append(
            f"This folder mixes the presets {names}: they are shown apart, never averaged, never ranked together."
        )
    if cells := without_gain(summary):
        found.append(f"No gain is told of {', '.join(cells)}: its two sides were trained in different settings.")
    for sweep in summary.sweeps:
        prefix = f"Preset {sweep.preset}: " if len(summary.sweeps) > 1 else ""
        found += [prefix + note for note in _cells(sweep)]
    found += _origins(summary.rows)
    if summary.failed:
        count = len(summary.failed)
        found.append(
            f"{count} {'cell' if count == 1 else 'cells'} failed and {'counts' if count == 1 else 'count'} nowhere."
        )
    return found


def _cells(sweep: Sweep) -> Iterator[str]:
    for old in sweep.superseded:
        shown = sweep.get(old.model, old.dataset)
        assert shown is not None
        cell = f"{old.title} on {dataset_title(old.dataset)}"
        yield f"{cell} ran with more than one setting: shown is the latest ({shown.setting}), not {old.setting}."
    missing = [
        (model, dataset) for dataset in sweep.datasets for model in sweep.models if not sweep.get(model, dataset)
    ]
    if missing:
        cells = ", ".join(f"{model_title(model)} on {dataset_title(dataset)}" for model, dataset in missing)
        yield f"No finished run of {cells}."
    for group in sweep.groups:
        if group.problem:
            where = dataset_title(group.dataset)
            yield f"No tests on {where}, because not all predictions of {group.title} can be read: {group.problem}."
    if len(sweep.seeds) > 1:
        low, high = sweep.seeds[0], sweep.seeds[-1]
        yield f"The number of seeds differs between cells ({low} to {high}); n stands beside each."


def _origins(rows: list[dict]) -> Iterator[str]:
    if _differ(rows, "device"):
        yield "Rows come from more than one device: compare their accuracies, not their times."
    if _differ(rows, "versions") or _differ(rows, "commit"):
        yield "Rows come from more than one commit or set of library versions."
    for dataset in sorted({row["dataset"] for row in rows}):
        if _differ([row for row in rows if row["dataset"] == dataset], "data_hashes"):
            yield f"Rows on {dataset_title(dataset)} disagree about the sha256 of the data: they are not comparable."


def _differ(rows: list[dict], field: str) -> bool:
    return any(row.get(field) != rows[0].get(field) for row in rows)
