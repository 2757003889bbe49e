"""What a sweep needs of a cluster. Ray itself is an optional package, imported when it is asked for."""

import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from benchmarks.cells import Event
from benchmarks.launchers.share import Share
from benchmarks.results import Row
from jax_models.errors import UsageError
from jax_models.recipes import TrainConfig

LAUNCHERS = ("local", "ray")


@runtime_checkable
class Cluster(Protocol):
    """Machines that train cells. Their rows and files all come back to one folder here."""

    @property
    def platform(self) -> str:
        """What the machines train on: "cpu", "gpu" or "tpu"."""
        ...

    def share(self, *, jobs: int | None, small_cells: bool) -> Share:
        """What each cell gets of the cluster."""
        ...

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
        """Runs cells and tells what happens, as `benchmarks.cells.run_cells` does on this machine."""
        ...


def connect(address: str | None, *, tell: Callable[[str], object]) -> Cluster:
    """Joins the Ray cluster at an address, or the one that is found, or starts Ray on this machine.

    Args:
        address: HOST:PORT of the cluster's head; None for `RAY_ADDRESS`, else a cluster that this machine is part of,
            else Ray starts here.
        tell: shows the user a line, now and whenever a worker is lost.

    Raises:
        UsageError: Ray is not installed, or the address is not one of a cluster's head.
        RunError: nothing answers there, or it has nothing to train on.
    """
    try:
        from benchmarks.launchers import ray_cluster
    except ImportError as error:
        raise UsageError(f"--launcher ray needs the package ray: pip install -e '.[ray]' ({error})") from error
    return ray_cluster.connect(address, tell=tell)
