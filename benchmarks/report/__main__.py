"""`python -m benchmarks.report OUT`: makes a report again from its folder, merges folders, compares two versions."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import probe_options
from benchmarks.probing import probe
from benchmarks.report import print_summary, readme_table, summarise, write_report
from benchmarks.report.merging import merge
from benchmarks.report.versions import compare_versions, print_versions, versions_csv
from benchmarks.results import ROWS, Row, read_rows
from jax_models.command_line import Parser
from jax_models.errors import UsageError, run_cli
from jax_models.output import locked, prepare_folder, write_text

DESCRIPTION = """\
Makes table.md, table.csv, pairs.csv, figures/*.png and report.html from a results folder, and from nothing else: its
rows, its predictions and its derived results. Nothing is trained. Flags measure more on the stored weights first.

With two folders, tells what is better or worse in the second, cell by cell: the regression test between two versions.
With --merge, brings the runs of several folders together in a new one.
"""
EPILOG = """\
examples:
  python -m benchmarks.report results/mine                      tables, figures and report.html, in results/mine
  python -m benchmarks.report results/mine --in-depth           robustness, attacks, galleries first: minutes
  python -m benchmarks.report results/mine --readme             only prints the table that the README shows
  python -m benchmarks.report results/old results/new           prints what changed, writes results/new/versions.csv
  python -m benchmarks.report results/a results/b --merge results/all    seeds and cells of both, in one report
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the report, merges folders, compares two, or prints the README's table.

    Raises:
        UsageError: a wrong option, a folder without rows, or folders that do not go together.
        OSError: the report cannot be written.
    """
    parser = Parser(prog="python -m benchmarks.report", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("out", metavar="OUT", nargs="+", type=Path, help="a folder that `python -m benchmarks.compare` wrote")
    add("--readme", action="store_true", help="print the compact Markdown table and write nothing")
    add("--merge", metavar="DIR", type=Path, help="copy the runs of all folders into DIR, a new one, and report there")
    add("--mix-presets", action="store_true", help="allow --merge to put runs of different presets into one folder")
    add("--data-dir", type=Path, metavar="DIR", help="TFDS data directory, for what needs test images")
    probe_options.add_options(parser)
    options = parser.parse_args(arguments)
    probes = probe_options.chosen(options)
    console = Console()
    folders = {out: rows_of(out) for out in options.out}
    if options.merge:
        prepare_folder(options.merge)
        with locked(options.merge):
            merge(folders, options.merge, mix_presets=options.mix_presets)
        _probe(options.merge, probes, options, console)
        _report(options.merge, console)
    elif probes and (len(options.out) > 1 or options.readme):
        raise UsageError(f"--{probes[0]} measures on the weights of one folder: give OUT alone, without --readme")
    elif len(options.out) == 1:
        (out,) = options.out
        if options.readme:
            print(readme_table(summarise(folders[out], out)), end="")
        else:
            _probe(out, probes, options, console)
            _report(out, console)
    elif len(options.out) == 2:
        before, after = options.out
        changes = compare_versions(summarise(folders[before], before), summarise(folders[after], after))
        print_versions(changes, console)
        write_text(after / "versions.csv", versions_csv(changes))
        console.print(f"\n  Written: {after / 'versions.csv'}", soft_wrap=True)
    else:
        raise UsageError("two folders are compared; give --merge DIR to bring more together")


def rows_of(out: Path) -> list[Row]:
    """The rows of a folder, finished or not.

    Raises:
        UsageError: there are none.
    """
    rows = read_rows(out)
    if not rows:
        raise UsageError(
            f"no finished cell in {out / ROWS}: give a folder that `python -m benchmarks.compare --out` wrote"
        )
    return rows


def _probe(out: Path, names: Sequence[str], options: argparse.Namespace, console: Console) -> None:
    if names:
        with locked(out):
            summary = summarise(read_rows(out), out)
            probe(summary, out, names, data_dir=options.data_dir, console=console, again=options.again)


def _report(out: Path, console: Console) -> None:
    summary = summarise(read_rows(out), out)
    write_report(summary, out)
    print_summary(summary, console)
    console.print(f"\n  Report: {out / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    run_cli(main)
