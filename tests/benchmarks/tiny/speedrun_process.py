"""Runs `benchmarks.speedrun.run_process` on the tiny data."""

import dataset as tiny

from benchmarks.speedrun import run_process

if __name__ == "__main__":
    run_process.load_dataset = tiny.load
    run_process.main()
