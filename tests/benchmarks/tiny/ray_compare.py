"""Runs `benchmarks.compare` on the tiny data over a Ray cluster."""

from ray_worker import TinyCellWorker

from benchmarks import compare
from benchmarks.launchers import ray_run
from jax_models.errors import run_cli

if __name__ == "__main__":
    ray_run.CellWorker = TinyCellWorker
    run_cli(compare.main)
