"""The report as one self-contained HTML page: nothing is fetched, so it can be mailed, printed and kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from benchmarks.report import depth, pairs, wording
from benchmarks.report.figures import plots
from benchmarks.report.gains import HEADINGS, TITLE, gain_lines, gain_note, gains
from benchmarks.report.groups import Group, dataset_title, model_title
from benchmarks.report.notes import notes
from benchmarks.report.panels import colour
from benchmarks.report.plot import Plot
from benchmarks.report.recipes import recipe_tables
from benchmarks.report.render import svg
from benchmarks.report.summary import Summary, Sweep
from benchmarks.report.tables import COLUMNS, accuracy_cell, cost_note, failed_cell, grid_costs
from jax_models.registry import MODELS

TEMPLATE = "template.html.j2"
SHADES = ("better", "worse", "equivalent")  # verdicts that a cell is coloured by


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure for the page: groups with a heading each, of panels: a title and an SVG element."""

    name: str
    title: str
    caption: str
    groups: list[tuple[str, list[tuple[str, Markup]]]]
    small: bool


def html_page(summary: Summary) -> str:
    """The whole page. Every text from the rows is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["colour"] = colour
    models = {group.model for sweep in summary.sweeps for group in sweep.groups}
    return environment.get_template(TEMPLATE).render(
        headline=wording.headline(summary),
        notes=notes(summary),
        sweeps=[_sweep(sweep) for sweep in summary.sweeps],
        papers=[(spec.title, spec.paper, spec.year, spec.arxiv) for name, spec in MODELS.items() if name in models],
        gains=_gains(summary),
        failed=[failed_cell(row) for row in summary.failed],
        **_origins(summary.rows),
    )


def _gains(summary: Summary) -> dict[str, Any] | None:
    found = gains(summary)
    lines = [
        (colour(one.after.model), one.verdict if one.verdict in SHADES else "open", line)
        for one, line in zip(found, gain_lines(found), strict=True)
    ]
    return {"title": TITLE, "headings": HEADINGS, "lines": lines, "note": gain_note(found)} if found else None


def _sweep(sweep: Sweep) -> dict[str, Any]:
    """What the template shows of one preset."""
    return {
        "preset": sweep.preset,
        "seeds": wording.seeds(sweep.seeds),
        "cells": len(sweep.groups),
        "compared": len(sweep.models) > 1,
        "method_note": wording.method_note(sweep),
        "ranks": wording.ranks_line(sweep),
        "pairs": [_pairs(sweep, dataset) for dataset in sweep.comparisons],
        "pair_headings": pairs.HEADINGS,
        "pair_note": pairs.NOTE,
        "margin": wording.MARGIN,
        "datasets": [dataset_title(dataset) for dataset in sweep.datasets],
        "winners": [_winner(sweep, dataset) for dataset in sweep.datasets],
        "grid": [_grid_line(sweep, model) for model in sweep.models],
        "cost_note": cost_note(sweep),
        "columns": [heading for heading, _ in COLUMNS],
        "depth": [
            (dataset_title(dataset), found) for dataset in sweep.datasets if (found := depth.tables(sweep, dataset))
        ],
        "details": [
            (dataset_title(dataset), [_detail(sweep, group) for group in sweep.ranked(dataset)])
            for dataset in sweep.datasets
        ],
        "drawings": [_drawing(plot, sweep.preset) for plot in plots(sweep)],
        "recipes": recipe_tables(sweep),
    }


def _pairs(sweep: Sweep, dataset: str) -> dict[str, Any]:
    lines = pairs.matrix(sweep, dataset)
    return {
        "dataset": dataset_title(dataset),
        "count": pairs.count_line(sweep, dataset),
        "families": [(model_title(model), colour(model)) for model, _ in lines],
        "lines": [(model_title(model), colour(model), cells) for model, cells in lines],
        "pairs": pairs.pair_lines(sweep, dataset),
    }


def _winner(sweep: Sweep, dataset: str) -> dict[str, Any]:
    best = sweep.leader(dataset).best
    accuracy = best.estimate("accuracy")
    spread = "" if accuracy.std is None else f"± {wording.std(accuracy, scale=100)} "
    return {
        "dataset": dataset_title(dataset),
        "title": best.title,
        "colour": colour(best.model),
        "accuracy": wording.percent(accuracy, spread=False),
        "spread": spread,
        "n": wording.seeds([best.n]),
        "images": f"{best.test_images:,}",
        "caution": _unbroken(wording.caution_line(sweep, dataset), sweep),
    }


def _unbroken(text: str, sweep: Sweep) -> str:
    """The text with hyphens inside the models' titles that no line ends at."""
    for title in sorted(map(model_title, sweep.models), key=len, reverse=True):
        text = text.replace(title, title.replace("-", "\N{NON-BREAKING HYPHEN}"))
    return text


def _grid_line(sweep: Sweep, model: str) -> dict[str, Any]:
    groups = [sweep.get(model, dataset) for dataset in sweep.datasets]
    cells = [(accuracy_cell(sweep, group), group is not None and sweep.is_best(group)) for group in groups]
    return {"title": model_title(model), "colour": colour(model), "cells": cells, "costs": grid_costs(sweep, model)}


def _detail(sweep: Sweep, group: Group) -> dict[str, Any]:
    accuracy = group.estimate("accuracy")
    return {
        "title": group.title,
        "colour": colour(group.model),
        "best": sweep.is_best(group),
        "accuracy": wording.percent(accuracy, spread=False),
        "interval": wording.interval(group),
        "std": wording.std(accuracy, scale=100),
        "n": group.n,
        "values": [cell(group) for _, cell in COLUMNS],
    }


def _drawing(plot: Plot, preset: str) -> Drawing:
    groups = []
    for row, (heading, panels) in enumerate(plot.rows):
        drawn = []
        for column, panel in enumerate(panels):
            if panel is not None:
                label = f"{plot.title}: {f'{heading}, ' if heading else ''}{panel.title}. {plot.caption}"
                key = f"{preset}-{plot.name}-{row}-{column}"
                drawn.append((panel.title, Markup(svg(plot, panel, label=label, key=key))))
        groups.append((heading, drawn))
    return Drawing(
        name=f"{preset}-{plot.name}",
        title=plot.title,
        caption=plot.caption,
        groups=groups,
        small=plot.size[0] < 3,
    )


def _origins(rows: list[dict]) -> dict[str, Any]:
    """Where the rows come from: machines, commits, versions, dates, and the sha256 of the data."""
    versions: dict[str, list[str]] = {}
    hashes: dict[str, dict[str, None]] = {}
    for row in rows:
        for library, version in (row.get("versions") or {}).items():
            versions.setdefault(library, []).append(str(version))
        for file, digest in (row.get("data_hashes") or {}).items():
            hashes.setdefault(dataset_title(row["dataset"]), {})[f"{file} {digest}"] = None
    dates = sorted(row[field][:10] for row in rows for field in ("started", "finished") if row.get(field))
    return {
        "devices": list(dict.fromkeys(map(wording.device, rows))),
        "commits": list(dict.fromkeys(row.get("commit") or "unknown" for row in rows)),
        "versions": [(library, wording.span(values)) for library, values in versions.items()],
        "hashes": [(dataset, [line.rsplit(" ", 1) for line in lines]) for dataset, lines in hashes.items()],
        "dates": wording.span([dates[0], dates[-1]]) if dates else "",
    }
