"""A worker of a Ray cluster whose cells have the tiny data."""

import sys
from pathlib import Path

from benchmarks import cells
from benchmarks.launchers.worker import CellWorker


class TinyCellWorker(CellWorker):
    """Takes `CellWorker`'s place."""

    def __init__(self) -> None:
        super().__init__()
        cells.COMMAND = (sys.executable, str(Path(__file__).with_name("cell.py")))
