"""Runs `benchmarks.compare` on the tiny data: the same command line, the same child processes."""

import sys
from pathlib import Path

import dataset as tiny

from benchmarks import cells, compare
from jax_models.errors import run_cli

if __name__ == "__main__":
    tiny.publish()
    compare.load_dataset = tiny.load
    cells.COMMAND = (sys.executable, str(Path(__file__).with_name("cell.py")))
    run_cli(compare.main)
