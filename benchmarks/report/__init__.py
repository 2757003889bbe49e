"""Tables, figures and one page from the rows of a results folder, and from nothing else."""

from benchmarks.report.tables import readme_table
from benchmarks.report.terminal import print_summary
from benchmarks.report.write import write_report

__all__ = ["print_summary", "readme_table", "write_report"]
