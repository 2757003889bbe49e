"""The tables: CSV for machines, Markdown for GitHub and the README."""

import csv
import io
from collections.abc import Callable, Sequence

from tabulate import tabulate

from benchmarks.report import depth, pairs, wording
from benchmarks.report.gains import HEADINGS, TITLE, gain_lines, gain_note, gains
from benchmarks.report.groups import COSTS, METRICS, Group, dataset_title, model_title
from benchmarks.report.notes import notes
from benchmarks.report.summary import Summary, Sweep

COLUMNS: tuple[tuple[str, Callable[[Group], str]], ...] = (
    ("precision", lambda group: wording.percent(group.estimate("precision"), spread=False)),
    ("recall", lambda group: wording.percent(group.estimate("recall"), spread=False)),
    ("F1", lambda group: wording.percent(group.estimate("f1"), spread=False)),
    ("loss", lambda group: f"{group.estimate('loss').mean:.4f}"),
    ("epochs", lambda group: str(group.epochs)),
    ("params", lambda group: wording.quantity(group.cost("num_params"))),
    ("MFLOPs", lambda group: wording.megaflops(group.cost("flops"))),
    ("train", lambda group: wording.duration(group.cost("train_seconds"))),
    ("compile", lambda group: wording.duration(group.cost("compile_seconds"))),
    ("ms/step", lambda group: wording.quantity(group.cost("step_ms"))),
    ("images/s", lambda group: wording.whole(group.cost("images_per_second"))),
    ("memory", lambda group: wording.memory(group.cost("peak_memory_bytes"))),
)
"""Columns of the detailed tables after model, accuracy, std and n: heading and what stands in a cell."""


def csv_table(summary: Summary) -> str:
    """A line per model, data set and setting: mean, std (empty for one seed) and n of metrics, the accuracy's 95 %
    interval, mean of costs."""
    columns = ["preset", "dataset", "model", "batch_size", "recipe_hash"]
    columns += [f"{metric}_{what}" for metric in METRICS for what in ("mean", "std", "n")]
    columns += ["accuracy_low", "accuracy_high", *COSTS]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for sweep in summary.sweeps:
        for group in (*sweep.groups, *sweep.superseded):
            line: list = [group.preset, group.dataset, group.model, group.batch_size, group.recipe_hash]
            for metric in METRICS:
                estimate = group.estimate(metric)
                line += [repr(estimate.mean), "" if estimate.std is None else repr(estimate.std), estimate.n]
            writer.writerow([*line, *map(repr, group.interval), *(_plain(group.cost(cost)) for cost in COSTS)])
    return text.getvalue()


def _plain(value: float) -> str:
    if value != value:
        return ""
    return str(int(value)) if value == int(value) else repr(value)


def markdown_table(summary: Summary) -> str:
    """The whole of table.md: findings, the grid of accuracies, one detailed table per data set, failed cells."""
    parts = [f"# {wording.headline(summary)}", *(f"> {note}" for note in notes(summary))]
    for sweep in summary.sweeps:
        parts += [f"## Preset {sweep.preset}", _findings(sweep), _grid(sweep), _grid_caption(sweep)]
        if line := wording.ranks_line(sweep):
            parts.append(line)
        for dataset in sweep.datasets:
            parts += [f"### {dataset_title(dataset)}", _details(sweep, dataset), *_pairs(sweep, dataset)]
            parts += [text for table in depth.tables(sweep, dataset) for text in _depth(table)]
        parts.append(wording.method_note(sweep))
        if sweep.comparisons:
            parts.append(pairs.NOTE)
    if found := gains(summary):
        parts += [f"## {TITLE}", _pipe_table(gain_lines(found), list(HEADINGS)), gain_note(found)]
    if summary.failed:
        headings = ["model", "data set", "preset", "seed", "status", "error"]
        lines = [[_cell(value) for value in failed_cell(row)] for row in summary.failed]
        parts += ["## Failed cells", tabulate(lines, headings, tablefmt="pipe", disable_numparse=True)]
    return "\n\n".join(parts) + "\n"


def _pairs(sweep: Sweep, dataset: str) -> list[str]:
    if dataset not in sweep.comparisons:
        return []
    return [pairs.count_line(sweep, dataset), _pipe_table(pairs.pair_lines(sweep, dataset), list(pairs.HEADINGS))]


def _depth(table: depth.Table) -> tuple[str, str]:
    lines = [[group.title, *cells] for group, cells in table.lines]
    return f"**{table.title}.** {table.caption}", _pipe_table(lines, ["model", *table.headings])


def failed_cell(row: dict) -> tuple[str, str, str, str, str, str]:
    """Model, data set, preset, seed, status and error of a row that is not ok."""
    title, dataset = model_title(str(row.get("model"))), dataset_title(str(row.get("dataset")))
    error = " ".join(str(row.get("error") or "no message").split())
    return title, dataset, str(row.get("preset")), str(row.get("seed")), row["status"], error


def readme_table(summary: Summary) -> str:
    """The README's table in Markdown: accuracy in percent per model and data set, parameters, MFLOPs, training time.

    Below it stand what makes it quotable (n, device, commit) and the best of each data set. Presets get a table each.
    """
    parts = [f"> {note}" for note in notes(summary)]
    for sweep in summary.sweeps:
        if len(summary.sweeps) > 1:
            parts.append(f"**Preset {sweep.preset}**")
        parts += [_grid(sweep), f"{_grid_caption(sweep)} {_machine(sweep)}", _findings(sweep)]
    return "\n\n".join(parts) + "\n"


def _findings(sweep: Sweep) -> str:
    return "\n".join(
        f"- **{wording.best_line(sweep, dataset)}** {wording.caution_line(sweep, dataset)}"
        for dataset in sweep.datasets
    )


def accuracy_cell(sweep: Sweep, group: Group | None) -> str:
    """A cell of the grid: mean accuracy in percent, the spread unless the sweep has one seed, n where it differs.

    "≈" marks families that are not distinguished from the best.
    """
    if group is None:
        return wording.DASH
    text = wording.percent(group.estimate("accuracy"), spread=sweep.seeds != (1,))
    mark = "≈ " if sweep.is_close(group) else ""
    return f"{mark}{text} (n={group.n})" if len(sweep.seeds) > 1 else mark + text


def _grid(sweep: Sweep) -> str:
    lines = []
    for model in sweep.models:
        groups = [sweep.get(model, dataset) for dataset in sweep.datasets]
        cells = [
            f"**{accuracy_cell(sweep, g)}**" if g and sweep.is_best(g) else accuracy_cell(sweep, g) for g in groups
        ]
        lines.append([model_title(model), *cells, *grid_costs(sweep, model)])
    headings = ["model", *map(dataset_title, sweep.datasets), "params", "MFLOPs", "train time"]
    return _pipe_table(lines, headings)


def grid_costs(sweep: Sweep, model: str) -> tuple[str, str, str]:
    """Parameters, MFLOPs and training time of one model over the data sets of a sweep."""
    params = wording.quantity(wording.largest_cost(sweep, model, cost="num_params"))
    return (
        params,
        wording.megaflops(wording.largest_cost(sweep, model, cost="flops")),
        wording.total_train_seconds(sweep, model),
    )


def _grid_caption(sweep: Sweep) -> str:
    n = "n = 1 (one seed: no spread is known)" if sweep.seeds == (1,) else f"mean ± std of {wording.seeds(sweep.seeds)}"
    return (
        f"Test accuracy in percent, {n}, preset {sweep.preset}; best per data set in bold, ≈ not distinguished from "
        f"it. {cost_note(sweep)}"
    )


def cost_note(sweep: Sweep) -> str:
    """What the cost columns of the grid mean."""
    several = len(sweep.datasets) > 1
    most, together = (", the most over the data sets", " on all data sets together") if several else ("", "")
    return (
        f"Parameters and forward MFLOPs per image (2 per multiply-add){most}; training time of one seed{together}, "
        "without compiling."
    )


def _machine(sweep: Sweep) -> str:
    return f"Measured on {wording.provenance([row for group in sweep.groups for row in group.rows])}."


def _details(sweep: Sweep, dataset: str) -> str:
    lines = []
    for group in sweep.ranked(dataset):
        accuracy = group.estimate("accuracy")
        mean = wording.percent(accuracy, spread=False)
        mean = f"**{mean}**" if sweep.is_best(group) else mean
        costs = [cell(group) for _, cell in COLUMNS]
        lines.append(
            [group.title, mean, wording.interval(group), wording.std(accuracy, scale=100), str(group.n), *costs]
        )
    headings = ["model", "accuracy", "95 % interval", "std", "n", *(heading for heading, _ in COLUMNS)]
    return _pipe_table(lines, headings)


def _pipe_table(lines: Sequence[Sequence[str]], headings: list[str]) -> str:
    """A Markdown table of numbers, with names in its first column."""
    align = ("left", *["right"] * (len(headings) - 1))
    return tabulate(lines, headings, tablefmt="pipe", disable_numparse=True, colalign=align)


def _cell(text: str) -> str:
    """Text that cannot end a Markdown table's cell or become markup."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
