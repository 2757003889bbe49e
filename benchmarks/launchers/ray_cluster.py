"""A Ray cluster, joined or started here, as `benchmarks.launchers.Cluster`."""

import logging
import os
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import ray  # pyright: ignore[reportMissingImports]

from benchmarks.cells import Event
from benchmarks.launchers.ray_run import Run
from benchmarks.launchers.share import Resources, Share, platform_of, share_of
from benchmarks.results import Row
from jax_models.errors import RunError, UsageError
from jax_models.recipes import TrainConfig

KINDS = ("GPU", "TPU", "CPU")


def connect(address: str | None, *, tell: Callable[[str], object]) -> "RayCluster":
    """See `benchmarks.launchers.connect`."""
    wanted = address or os.environ.get("RAY_ADDRESS")
    if wanted and "://" in wanted:
        raise UsageError(
            f"{wanted} is the address of a Ray client server: run this on a machine of the cluster instead, "
            "with --ray-address HOST:PORT as in `ray start --address`"
        )
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        hint = "is it up, of this version of Ray and Python, and is RAY_AUTH_MODE=token set if it wants a token?"
        raise RunError(f"cannot join a Ray cluster at {wanted or 'this machine'}: {reason} ({hint})") from error
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    counts = {"machine": len(nodes)} | {name: sum(int(node.get(name, 0)) for node in nodes) for name in KINDS}
    parts = [f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count]
    tell(f"Ray cluster at {ray.get_runtime_context().gcs_address}: {', '.join(parts)}")
    return RayCluster(nodes, tell=tell)


class RayCluster:
    """A Ray cluster that this process has joined."""

    def __init__(self, nodes: Sequence[Resources], *, tell: Callable[[str], object]) -> None:
        """`nodes` are what its machines offer; `tell` shows the user a line."""
        self._nodes, self._tell = nodes, tell

    @property
    def platform(self) -> str:
        """What the machines train on; "cpu" if the user has chosen it, as on one machine, by JAX_PLATFORMS=cpu."""
        return "cpu" if os.environ.get("JAX_PLATFORMS") == "cpu" else platform_of(self._nodes)

    def share(self, *, jobs: int | None, small_cells: bool) -> Share:
        """What each cell gets, see `share_of`."""
        return share_of(self._nodes, platform=self.platform, jobs=jobs, small_cells=small_cells)

    def run_cells(
        self,
        todo: Sequence[TrainConfig],
        *,
        share: Share,
        out: Path,
        data_dir: Path | None,
        keep: Callable[[Row], None],
        stop: threading.Event,
    ) -> Generator[tuple[TrainConfig, Event]]:
        """Runs cells and tells what happens; the events are those of `benchmarks.cells.run_cells`. Main thread only."""
        request = {"platform": self.platform, "cores": share.cores, "data_dir": data_dir and data_dir.absolute()}
        run = Run(todo, share=share, request=request, out=out, keep=keep, stop=stop, tell=self._tell)
        return run.events()
