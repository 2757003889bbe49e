"""`python -m benchmarks.repeat OUT ROW`: trains the cell of a row again and tells whether the numbers are the same."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import cells, provenance
from benchmarks.progress import SweepProgress, title
from benchmarks.results import Row, read_rows, repeatable
from benchmarks.shares import Cores, available_cores
from jax_models.checks import did_you_mean
from jax_models.command_line import Parser
from jax_models.errors import RunError, UsageError, run_cli
from jax_models.recipes import TrainConfig, resolve_config

DESCRIPTION = """\
Trains one cell of a results folder again, as its row says, and compares every number but times, memory and dates:
scores, history, confusion matrix, and the sha256 of predictions and weights. On the same machine, with the same commit
and versions, they are the same to the last bit.
"""
EPILOG = """\
ROW is a cell's name, or the beginning of one, as they stand in OUT/runs.jsonl, or the number of its row, from 1.

examples:
  python -m benchmarks.repeat benchmarks/results/quick lenet5/mnist/quick/s0
  python -m benchmarks.repeat results/quick 1

exit codes: 0 the same numbers, 1 other numbers or the run failed, 2 wrong usage
"""
ORIGIN = ("versions", "device", "commit", "data_hashes")
"""What may explain other numbers; differences here are told, and do not fail by themselves."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code.

    Raises:
        UsageError: there is no such row, or this version of the code trains that cell otherwise.
        RunError: the repetition failed.
    """
    parser = Parser(prog="python -m benchmarks.repeat", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("out", metavar="OUT", type=Path, help="a folder that `python -m benchmarks.compare` wrote")
    parser.add_argument("row", metavar="ROW", help="a cell's name, the beginning of one, or a row's number")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="TFDS data directory, as for benchmarks.compare")
    options = parser.parse_args(arguments)
    row = find_row(read_rows(options.out), options.row)
    config = config_of(row)
    console = Console()
    again = repeat(config, row, data_dir=options.data_dir, console=console)
    origins = [name for name in ORIGIN if row.get(name) != again.get(name)]
    for name in origins:
        console.print(f"{name} differ: {_told(row.get(name), again.get(name))}", style="yellow", highlight=False)
    changed = differences(row, again)
    for name in changed:
        console.print(f"{name}: {_short(row.get(name))} in the row, {_short(again.get(name))} now", highlight=False)
    same = f"{title(config)}: the same numbers, test {100 * again['test']['accuracy']:.2f} %"
    other = f"{title(config)}: {len(changed)} fields differ"
    console.print(f"[red]✗[/] {other}" if changed else f"[green]✓[/] {same}", highlight=False)
    return 1 if changed else 0


def find_row(rows: Sequence[Row], name: str) -> Row:
    """The finished row of that number, or of the one cell whose name begins so.

    Raises:
        UsageError: there is none, or more than one cell.
    """
    finished = [row for row in rows if row["status"] == "ok"]
    if name.isdecimal():
        if not 1 <= int(name) <= len(rows) or rows[int(name) - 1]["status"] != "ok":
            raise UsageError(f"row {name} is not a finished one; rows are 1 to {len(rows)}")
        return rows[int(name) - 1]
    found = {row["cell"]: row for row in finished if f"{row['cell']}/".startswith(f"{name.rstrip('/')}/")}
    if not found:
        hint = did_you_mean(name, (row["cell"] for row in finished), cutoff=0.3)
        raise UsageError(f"no finished row is called {name!r}{hint}; names are like resnet18/cifar10/quick/s0")
    if len(found) > 1:
        raise UsageError(f"{name!r} is the beginning of {len(found)} cells: {', '.join(found)}")
    return next(iter(found.values()))


def config_of(row: Row) -> TrainConfig:
    """The configuration of a row.

    Raises:
        UsageError: this version of the code trains that cell by another recipe.
    """
    lengths = {name: row[name] for name in ("preset", "seed", "epochs", "batch_size")}
    config = resolve_config(row["model"], row["dataset"], **lengths)
    if config.cell != row["cell"]:
        raise UsageError(
            f"the recipe of {row['cell']} is not that of this version, which would train {config.cell}; "
            f"check out its commit first: git checkout {row.get('commit') or 'COMMIT'}"
        )
    return config


def repeat(config: TrainConfig, row: Row, *, data_dir: Path | None, console: Console) -> Row:
    """Trains the cell on as many cores as the row had; returns the new row. Nothing of it is kept.

    Raises:
        RunError: it failed.
    """
    environment = cells.cell_environment(provenance.default_platform())

    def start(config: TrainConfig, cores: Cores) -> cells.CellProcess:
        return cells.CellProcess(config, out=Path(folder), data_dir=data_dir, environment=environment, cores=cores)

    rows: list[Row] = []
    cores = available_cores()[: (row.get("device") or {}).get("cores")] or None
    with (
        tempfile.TemporaryDirectory() as folder,
        SweepProgress([config], finished=[row], jobs=1, console=console) as bar,
    ):
        for one, event in cells.run_cells([config], start, shares=[cores], keep=rows.append):
            bar.update(one, event)
    if rows[0]["status"] != "ok":
        raise RunError(f"{title(config)} failed: {rows[0]['error']}")
    return rows[0]


def differences(row: Row, again: Row) -> list[str]:
    """The fields, but those that tell where a row comes from, that a repetition gave otherwise."""
    before, after = (json.loads(json.dumps(repeatable(one))) for one in (row, again))  # a file has no tuples
    fields = [name for name in before | after if name not in ORIGIN]
    return [name for name in fields if before.get(name) != after.get(name)]


def _told(before: Any, now: Any) -> str:
    """What differs between two values, of dictionaries only the entries that do."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [key for key in before | now if before.get(key) != now.get(key)]
        return ", ".join(f"{key} {before.get(key)} in the row, {now.get(key)} now" for key in keys)
    return f"{before} in the row, {now} now"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


if __name__ == "__main__":
    run_cli(main)
