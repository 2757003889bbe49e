"""`python -m benchmarks.report OUT`: makes the report of a results folder again, from its rows alone."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.report import print_summary, readme_table, write_report
from benchmarks.results import ROWS, read_rows
from jax_models.command_line import Parser
from jax_models.errors import UsageError, run_cli

DESCRIPTION = """\
Makes table.md, table.csv, figures/*.png and report.html from the rows of a results folder.
Nothing is trained, and nothing but OUT/runs.jsonl is read.
"""
EPILOG = """\
examples:
  python -m benchmarks.report results/mine            tables, figures and report.html, in results/mine
  python -m benchmarks.report results/mine --readme   only prints the table that the README shows
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the report, or prints the README's table.

    Raises:
        UsageError: a wrong option, or a folder without rows.
        OSError: the report cannot be written.
    """
    parser = Parser(prog="python -m benchmarks.report", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("out", metavar="OUT", type=Path, help="a folder that `python -m benchmarks.compare` wrote")
    parser.add_argument("--readme", action="store_true", help="print the compact Markdown table and write nothing")
    options = parser.parse_args(arguments)
    rows = read_rows(options.out)
    if not rows:
        raise UsageError(
            f"no finished cell in {options.out / ROWS}: give a folder that `python -m benchmarks.compare --out` wrote"
        )
    if options.readme:
        print(readme_table(rows), end="")
        return
    write_report(rows, options.out)
    console = Console()
    print_summary(rows, console)
    console.print(f"\n  Report: {options.out / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    run_cli(main)
