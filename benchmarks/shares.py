"""How the machine is dealt out to cells that run side by side: which cores each gets, and how many have room in memory.

On the CPU one core a cell is the fastest way through a sweep: most of XLA's CPU convolutions use one thread, and so
does its compiler. Cells are held to their cores where the system can do that (Linux).
"""

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import psutil

Cores = Sequence[int] | None
"""Processor cores by number; None leaves the choice to the system."""

MEMORY_OF_A_CELL = 3 * 2**30  # the largest quick cell takes 2.9 GB

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

# Files of a control group, version 2 and then 1: limit, use, and how its statistics call pages that can be given back.
CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"),
)
# Processor time and the period in which it may be used, likewise of version 2 and then 1.
CGROUP_QUOTAS = (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us"))


def default_shares(platform: str, *, small_cells: bool) -> list[Cores]:
    """What each of the cells side by side gets: one core on the CPU, as memory allows; all there is on an accelerator.

    A cell never gets a second core, not even the last one of a sweep: all times in a table are those of one core. Only
    cells that are not small, of more memory than `MEMORY_OF_A_CELL`, run one by one on all cores.
    """
    if platform != "cpu" or not small_cells:
        return [None]
    cells = max(1, min(free_memory() // MEMORY_OF_A_CELL, processor_quota()))
    cores = available_cores()
    return [[core] for core in cores[:cells]] if cores else [None] * min(os.cpu_count() or 1, cells)


def equal_shares(jobs: int) -> list[Cores]:
    """The processor cores that this process may use, dealt out to `jobs` cells, the same number to each.

    With more cells than cores each may use all of them.
    """
    cores = available_cores()
    each = len(cores) // jobs
    return [cores[share * each : (share + 1) * each] or cores or None for share in range(jobs)]


def free_memory(root: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Bytes that new processes can have: what the machine has left, or less where a container's limit leaves less."""
    free = psutil.virtual_memory().available
    for group, files in itertools.product(_groups("memory", root, membership), CGROUP_FILES):
        limit, used, statistics, reclaimable = files
        try:
            counts = dict(line.split() for line in (group / statistics).read_text().splitlines())
            taken = int((group / used).read_text()) - int(counts[reclaimable])
            free = min(free, int((group / limit).read_text()) - taken)
        except (OSError, ValueError, KeyError):  # not this version, or "max": no limit
            continue
    return max(free, 0)


def processor_quota(root: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """How many processors a container's limit allows, at least 1; a large number where there is no limit."""
    allowed = sys.maxsize
    for group, files in itertools.product(_groups("cpu", root, membership), CGROUP_QUOTAS):
        try:
            quota, period = " ".join((group / file).read_text() for file in files).split()
            if int(quota) > 0:  # version 1 writes -1 for no limit
                allowed = min(allowed, max(1, int(quota) // int(period)))
        except (OSError, ValueError):  # not this version, or "max": no limit
            continue
    return allowed


def _groups(controller: str, root: Path, membership: Path) -> Iterator[Path]:
    """The folders of this process's control group and of those above it, whose limits hold too, in version 2 and 1.

    In a container the group is mostly mounted as the root while `membership` names its path on the host: folders that
    are not there set no limit.
    """
    paths = {root: "/", root / controller: "/"}
    for line in membership.read_text().splitlines() if membership.exists() else []:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            paths[root] = path
        elif controller in controllers.split(","):
            paths[root / controller] = path
    for mount, path in paths.items():
        own = PurePosixPath(path.lstrip("/"))
        yield from (mount / group for group in (own, *own.parents))


def available_cores() -> list[int]:
    """The processor cores that this process may use; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
