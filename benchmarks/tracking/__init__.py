"""Shows a sweep in an experiment tracker while it runs: trackio, TensorBoard or Weights & Biases, if one is chosen."""

from benchmarks.tracking.tracker import TRACKERS, Tracker, open_tracker

__all__ = ["TRACKERS", "Tracker", "open_tracker"]
