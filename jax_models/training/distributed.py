"""Several processes that train one model together (`jax.distributed`): how one joins the others, and how all stop."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from jax_models.errors import RunError, UsageError

OPTIONS = "--coordinator HOST:PORT --num-processes N --process-id I"


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where the others are. With no field given JAX asks the environment: Cloud TPU, Slurm, Open MPI, Kubernetes.

    Attributes:
        coordinator: address of process 0, "host:port"; the port is free there.
        num_processes: on all hosts together.
        process_id: of this process, from 0.

    Raises:
        UsageError: only some fields are given, or one cannot be.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None

    def __post_init__(self) -> None:
        if not self.named:
            return
        if self.coordinator is None or self.num_processes is None or self.process_id is None:
            raise UsageError(f"a cluster is named by all of {OPTIONS}, or looked for if none is given")
        host, _, port = self.coordinator.rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) < 2**16):
            raise UsageError(f"coordinator {self.coordinator!r} is not HOST:PORT, for example 10.0.0.1:9876")
        if not 0 <= self.process_id < self.num_processes:
            raise UsageError(f"process id {self.process_id} is not one of 0 to {self.num_processes - 1}")

    @property
    def named(self) -> bool:
        """Whether the fields say it, and not the environment."""
        return (self.coordinator, self.num_processes, self.process_id) != (None, None, None)


def join(cluster: Cluster) -> None:
    """Waits for the other processes; from then on `jax.devices()` are those of all. Call it before JAX is used.

    If they do not come within five minutes, JAX ends this process with a message of its own, as it does within two
    minutes after one of them has died.

    Raises:
        UsageError: the environment names no cluster.
        RunError: the address cannot be had.
    """
    # It would catch SIGTERM for training loops that save then; ours has saved each epoch, and SIGTERM may end it.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            cluster.coordinator,
            cluster.num_processes,
            cluster.process_id,
            # Under Slurm and Open MPI JAX would give each process one device, even if told which process this is.
            cluster_detection_method="deactivate" if cluster.named else None,
        )
    except ValueError as error:
        raise UsageError(
            f"found no cluster (Cloud TPU, Slurm, Open MPI, Kubernetes): start the processes in one, or give {OPTIONS}"
        ) from error
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"cannot join the other processes: {reason}") from error


@contextlib.contextmanager
def together() -> Iterator[None]:
    """A part that all processes must get through: if one fails there, the others do not wait for it but fail, too.

    Raises:
        RunError: another process failed; that one raises its own error.
    """
    if jax.process_count() == 1:
        yield
        return
    try:
        yield
    except Exception:
        multihost_utils.process_allgather(np.bool_(False))
        raise
    succeeded = multihost_utils.process_allgather(np.bool_(True))
    if not succeeded.all():
        raise RunError(f"process {int(succeeded.argmin())} failed; its message says why")


def check_same(run: str) -> None:
    """Whether all processes were asked for the same run; else they would train on batches of different orders.

    Raises:
        UsageError: they were not; all processes raise it.
    """
    if jax.process_count() == 1:
        return
    digest = np.frombuffer(hashlib.sha256(run.encode()).digest(), np.uint8)
    if (multihost_utils.process_allgather(digest) != digest).any():
        raise UsageError(f"process {jax.process_index()} is to run {run}, another not; give all the same options")
