"""Runs `benchmarks.speedrun` on the tiny data: the same command line, the same child process."""

import sys
from pathlib import Path

import dataset as tiny

from benchmarks.speedrun import __main__ as speedrun
from jax_models.errors import run_cli

if __name__ == "__main__":
    speedrun.load_dataset = tiny.load
    speedrun.COMMAND = (sys.executable, str(Path(__file__).with_name("speedrun_process.py")))
    run_cli(speedrun.main)
