"""The table a sweep ends with, in the terminal."""

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from benchmarks.report import wording
from benchmarks.report.gains import HEADINGS, TITLE, gain_lines, gain_note, gains
from benchmarks.report.groups import dataset_title, model_title
from benchmarks.report.notes import notes
from benchmarks.report.summary import Summary, Sweep
from benchmarks.report.tables import accuracy_cell, failed_cell, grid_costs
from benchmarks.report.versions import STYLES, Change


def print_summary(summary: Summary, console: Console) -> None:
    """Prints the grid of accuracies, the best model of each data set, and what must be said about the rows."""
    for sweep in summary.sweeps:
        console.print()
        title = f"Test accuracy in percent, preset {sweep.preset}, {wording.seeds(sweep.seeds)}"
        console.print(_indented(Text(title, style="bold")))
        console.print(_indented(_rich_grid(sweep), columns=1))
        for dataset in sweep.datasets:
            console.print(_indented(_rich_finding(sweep, dataset)))
        if line := wording.ranks_line(sweep):
            console.print(_indented(Text(line, style="dim")))
    if found := gains(summary):
        console.print()
        console.print(_indented(Text(TITLE, style="bold")))
        console.print(_indented(_rich_gains(found), columns=1))
        console.print(_indented(Text(gain_note(found), style="dim")))
    for note in notes(summary):
        console.print(_indented(Text(f"! {note}", style="yellow")))
    for row in summary.failed:
        title, dataset, preset, seed, status, error = failed_cell(row)
        cell = f"{title} on {dataset}, {preset}, seed {seed}"
        console.print(_indented(f"[red]✗[/] {escape(cell)}: {escape(status)}. {escape(error)}"))


def _indented(content: RenderableType, *, columns: int = 2) -> Padding:
    return Padding(content, (0, 0, 0, columns), expand=False)


def _rich_grid(sweep: Sweep) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("Model", no_wrap=True)
    for dataset in sweep.datasets:
        table.add_column(dataset_title(dataset), justify="right", no_wrap=True)
    costs = ("Params", "Train time") if len(sweep.seeds) == 1 else ()  # beside n there is no room for them
    for heading in costs:
        table.add_column(heading, justify="right", style="dim", no_wrap=True)
    for model in sweep.models:
        cells = []
        for dataset in sweep.datasets:
            group = sweep.get(model, dataset)
            best = group is not None and sweep.is_best(group)
            text = accuracy_cell(sweep, group).replace(" ± ", "±")
            cells.append(Text(f"★ {text}" if best else text, style="bold green" if best else ""))
        params, _, seconds = grid_costs(sweep, model)
        table.add_row(model_title(model), *cells, *((params, seconds) if costs else ()))
    return table


def _rich_gains(found: list[Change]) -> Table:
    """Without intervals and times, for which a terminal has no room."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    shown = [heading for heading in HEADINGS if heading not in ("95 % interval", "time / scratch")]
    for heading in shown:
        justify = "left" if heading in (HEADINGS[0], HEADINGS[-1]) else "right"
        table.add_column(heading[0].upper() + heading[1:], justify=justify, no_wrap=True)
    for one, line in zip(found, gain_lines(found), strict=True):
        cells: dict[str, str] = dict(zip(HEADINGS, line, strict=True))
        table.add_row(*(cells[heading].replace(" ± ", "±") for heading in shown), style=STYLES[one.verdict])
    return table


def _rich_finding(sweep: Sweep, dataset: str) -> Text:
    best, caution = wording.best_line(sweep, dataset), wording.caution_line(sweep, dataset)
    return Text.assemble(("★ ", "green"), (best, "bold"), " ", (caution, "dim"))
