"""`python -m benchmarks.report OUT`: makes the report of a results folder again, from its rows alone."""

import argparse
from pathlib import Path

from rich.console import Console

from benchmarks.report import print_summary, readme_table, write_report
from benchmarks.results import ROWS, read_rows
from jax_models.errors import UsageError, run_cli

EPILOG = """\
examples:
  python -m benchmarks.report results/mine            tables, figures and report.html, in results/mine
  python -m benchmarks.report results/mine --readme   only prints the table that the README shows
"""


def main() -> None:
    """Reads the arguments and writes the report, or prints the README's table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description="Makes table.md, table.csv, figures/*.png and report.html from the rows of a results folder.\n"
        "Nothing is trained, and nothing but OUT/runs.jsonl is read.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="a folder that `python -m benchmarks.compare` wrote")
    parser.add_argument("--readme", action="store_true", help="print the compact Markdown table and write nothing")
    arguments = parser.parse_args()
    rows = read_rows(arguments.out)
    if not rows:
        raise UsageError(
            f"no finished cell in {arguments.out / ROWS}: give a folder that `python -m benchmarks.compare --out` wrote"
        )
    if arguments.readme:
        print(readme_table(rows), end="")
        return
    write_report(rows, arguments.out)
    console = Console()
    print_summary(rows, console)
    console.print(f"\n  Report: {arguments.out / 'report.html'}", soft_wrap=True)


if __name__ == "__main__":
    run_cli(main)
