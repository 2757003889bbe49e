"""`python -m benchmarks.speedrun`: CIFAR-10 to 94 % test accuracy as fast as possible, on a CPU."""

import argparse
import dataclasses
import json
import math
import shutil
import signal
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import scipy.stats
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import provenance, results
from benchmarks.cells import cell_environment
from benchmarks.children import messages
from benchmarks.speedrun import DATASET
from benchmarks.speedrun.training import SpeedRecipe
from jax_models import onednn
from jax_models.command_line import Parser, positive
from jax_models.data import load_dataset
from jax_models.errors import run_cli
from jax_models.output import locked, prepare_folder, write_text
from jax_models.training.config import fingerprint

Row = dict[str, Any]

TARGET = 0.94
NAMED_PACKAGES = ("jax", "jaxlib", onednn.PACKAGE)
COMMAND = (sys.executable, "-m", "benchmarks.speedrun.run_process")
RULES = (
    "All 50,000 training images and nothing else: no other data, no pretrained weights.",
    "Recipe and epochs are fixed before a run; test images are opened once, after training, and choose nothing.",
    "The clock: the first layer's filters, compiling (in full for each seed, shown apart), and every step with its "
    "augmentation. Starting Python, reading the data and judging are outside.",
    "Every seed that was asked for counts, and their mean is the result.",
)
COLUMNS = ("seed", "accuracy", "without views", "training", "of it compiling", "judging")

DESCRIPTION = """\
Trains a small ResNet to 94 % test accuracy on CIFAR-10 as fast as a CPU can: a frozen whitening layer, small
images first, Muon, flips that alternate, label smoothing, and a mean over six views of each test image (after
airbench, arXiv 2404.00498, whose clock counts the views and leaves compiling out; this one shows both apart).
"""
EPILOG = (
    "rules:\n"
    + "\n".join(f"  {rule}" for rule in RULES)
    + """

what lands in OUT:
  runs.jsonl            a line per seed with all its measurements
  table.md              the table
  checkpoints/          the last two epochs of a seed at work

A run that was stopped goes on from its last epoch: type the same command again.

examples:
  python -m benchmarks.speedrun                    three seeds
  python -m benchmarks.speedrun --hold-out         judged on 5,000 training images kept out of it: to try recipes
"""
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, or a folder that cannot be written.
        RunError: a run failed.
    """
    options = _parser().parse_args(arguments)
    usual = SpeedRecipe()
    epochs = usual.epochs if options.epochs is None else options.epochs
    batch_size = usual.batch_size if options.batch_size is None else options.batch_size
    recipe = dataclasses.replace(
        usual, epochs=epochs, batch_size=batch_size, small_epochs=round(usual.small_epochs * epochs / usual.epochs)
    )
    prepare_folder(options.out)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be told to end is like Ctrl-C: end in order
    console = Console()
    with locked(options.out):
        results.mend_rows(options.out)
        for rule in RULES:
            console.print(f"· {rule}", style="dim", highlight=False)
        load_dataset(DATASET, data_dir=options.data_dir)  # fetched and checked here, where progress can be seen
        cells = [cell_name(recipe, seed, options=options) for seed in range(options.seeds)]
        for seed, cell in enumerate(cells):
            if cell not in results.finished_cells(results.read_rows(options.out)):
                row = _run(recipe, seed, cell=cell, options=options, console=console)
                results.append_row(options.out, row)
                shutil.rmtree(_checkpoints(options.out, cell), ignore_errors=True)
        rows = [row for row in results.read_rows(options.out) if row["cell"] in cells]
        console.print(_rich_table(rows))
        for line in findings(rows):
            console.print(line, highlight=False)
        write_text(options.out / "table.md", markdown(rows))


def cell_name(recipe: SpeedRecipe, seed: int, *, options: argparse.Namespace) -> str:
    """By which a run is known."""
    asked = [options.dtype] if options.dtype else []
    kept = ["hold-out"] if options.hold_out else []
    return "/".join(["speedrun", DATASET, fingerprint(dataclasses.asdict(recipe)), *asked, *kept, f"seed{seed}"])


def _checkpoints(out: Path, cell: str) -> Path:
    return out / "checkpoints" / cell.replace("/", "-")


def _run(recipe: SpeedRecipe, seed: int, *, cell: str, options: argparse.Namespace, console: Console) -> Row:
    request = {
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "hold_out": options.hold_out,
        "dtype": options.dtype,
        "data_dir": str(options.data_dir) if options.data_dir else None,
        "checkpoints": str(_checkpoints(options.out, cell)),
    }
    environment = cell_environment(provenance.default_platform())
    answers = messages(COMMAND, request, what=f"seed {seed}", environment=environment)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn()
    fields: Row = {}
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task(f"seed {seed}", total=None, note="compiling")
        for message in answers:
            match message["event"]:
                case "step":
                    progress.update(bar, completed=message["done"], total=message["total"])
                case "epoch":
                    note = f"epoch {message['epoch']}/{recipe.epochs}, train {100 * message['train_accuracy']:.1f} %"
                    progress.update(bar, note=note)
                    if not console.is_terminal:
                        console.print(f"seed {seed}: {note}", highlight=False)
                case "judging":
                    progress.update(bar, note="six views of each image")
                case "row":
                    fields = message["row"]
    identity = {"cell": cell, "status": "ok", "model": "speed_resnet", "dataset": DATASET, "preset": "speedrun"}
    return identity | {"seed": seed, "hold_out": options.hold_out, "recipe": request["recipe"]} | fields


def seconds(row: Row) -> float:
    """The time that counts."""
    return row["train_seconds"] + row["compile_seconds"]


def findings(rows: Sequence[Row]) -> list[str]:
    """What the rows say together: accuracy, time, and whether the target was reached."""
    accuracies = [100 * row["accuracy"] for row in rows]
    plain = statistics.mean(100 * row["plain_accuracy"] for row in rows)
    mean, count = statistics.mean(accuracies), len(rows)
    spread = ""
    if count > 1:
        deviation = statistics.stdev(accuracies)
        half = scipy.stats.t.ppf(0.975, count - 1) * deviation / math.sqrt(count)
        spread = f" ± {deviation:.2f} (standard deviation; 95 % interval {mean - half:.2f} to {mean + half:.2f})"
    judged = "held-out" if rows[0]["hold_out"] else "test"
    flops = rows[0]["train_flops"]
    pace = statistics.mean(flops / row["train_seconds"] for row in rows) / 1e9
    minutes = statistics.mean(map(seconds, rows)) / 60
    reached = "reached" if mean >= 100 * TARGET else "missed"
    lines = [
        f"Mean {judged} accuracy {mean:.2f} %{spread}, n = {count}; without views {plain:.2f} %.",
        f"Mean time {minutes:.1f} min; {flops / 1e15:.2f} PFLOP at {pace:.0f} GFLOP/s.",
    ]
    if judged == "test":
        lines.append(f"The target, {100 * TARGET:.0f} % in the mean, is {reached}.")
    resumed = [str(row["seed"]) for row in rows if row["resumed_epochs"]]
    if resumed:
        lines.append(f"Stopped and resumed, compiling counted once: seed {', '.join(resumed)}.")
    return lines


def markdown(rows: Sequence[Row]) -> str:
    """Table, findings, rules, and where the numbers come from."""
    row = rows[-1]
    device, versions = row["device"], row["versions"]
    origin = (
        f"Commit {(row['commit'] or 'unknown')[:7]}, {device['cpu']}, {device['cores']} cores, "
        f"{', '.join(f'{name} {versions[name]}' for name in NAMED_PACKAGES if name in versions)}; "
        f"{row['dtype']}, {row['num_params']:,} parameters; "
        f"recipe {json.dumps(row['recipe'])}."
    )
    return "\n".join(
        [
            f"| {' | '.join(COLUMNS)} |",
            "|" + "--:|" * len(COLUMNS),
            *(f"| {' | '.join(_cells(row))} |" for row in rows),
            "",
            *findings(rows),
            "",
            *(f"- {rule}" for rule in RULES),
            "",
            origin,
            "",
        ]
    )


def _cells(row: Row) -> list[str]:
    return [
        str(row["seed"]),
        f"{100 * row['accuracy']:.2f} %",
        f"{100 * row['plain_accuracy']:.2f} %",
        f"{seconds(row) / 60:.1f} min",
        f"{row['compile_seconds']:.1f} s",
        f"{row['judge_seconds']:.0f} s",
    ]


def _rich_table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _parser() -> Parser:
    parser = Parser(prog="python -m benchmarks.speedrun", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--seeds", type=positive, default=3, metavar="N", help="seeds 0 to N-1; adds those that are missing (3)")
    add("--epochs", type=positive, metavar="N", help="passes over the images (default: the recipe's)")
    add("--batch-size", type=positive, metavar="N", help="images per step (default: the recipe's)")
    add("--dtype", choices=("float32", "bfloat16"), help="of products (default: bfloat16 where the device has it)")
    add("--hold-out", action="store_true", help="keep 5,000 training images out, judge on them, leave the test alone")
    add("--out", type=Path, default=Path("results/speedrun"), metavar="DIR", help="folder (default: results/speedrun)")
    add("--data-dir", type=Path, metavar="DIR", help="TFDS data directory (default: TFDS_DATA_DIR or its usual one)")
    return parser


if __name__ == "__main__":
    run_cli(main)
