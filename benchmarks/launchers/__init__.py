"""Where the cells of a sweep run when it is not this machine alone: a Ray cluster."""

from benchmarks.launchers.cluster import LAUNCHERS, Cluster, connect

__all__ = ["LAUNCHERS", "Cluster", "connect"]
