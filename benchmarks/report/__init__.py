"""Tables, figures and one page from a results folder (rows, predictions, derived results), and from nothing else."""

from benchmarks.report.summary import summarise
from benchmarks.report.tables import readme_table
from benchmarks.report.terminal import print_summary
from benchmarks.report.write import write_report

__all__ = ["print_summary", "readme_table", "summarise", "write_report"]
