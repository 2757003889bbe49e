"""How the machine is dealt out to cells that run side by side: which cores each gets, and how many have room in memory.

On the CPU one core a cell is the fastest way through a sweep: most of XLA's CPU convolutions use one thread, and so
does its compiler. Cells are held to their cores where the system can do that (Linux).
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

Cores = Sequence[int] | None
"""Processor cores by number; None leaves the choice to the system."""

MEMORY_OF_A_CELL = 3 * 2**30  # the largest quick cell takes 2.9 GB

# Files of a control group, version 2 and then 1: limit, use, and how its statistics call pages that can be given back.
CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
# Processor time and the period in which it may be used, likewise of version 2 and then 1.
CGROUP_QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))


def default_shares(platform: str, *, small_cells: bool) -> list[Cores]:
    """What each of the cells side by side gets: one core on the CPU, as memory allows; all there is on an accelerator.

    A cell never gets a second core, not even the last one of a sweep: all times in a table are those of one core. Only
    cells that are not small, of more memory than `MEMORY_OF_A_CELL`, run one by one on all cores.
    """
    if platform != "cpu" or not small_cells:
        return [None]
    cells = max(1, min(free_memory() // MEMORY_OF_A_CELL, processor_quota()))
    cores = _cores()
    return [[core] for core in cores[:cells]] if cores else [None] * min(os.cpu_count() or 1, cells)


def equal_shares(jobs: int) -> list[Cores]:
    """The processor cores that this process may use, dealt out to `jobs` cells, the same number to each.

    With more cells than cores each may use all of them.
    """
    cores = _cores()
    each = len(cores) // jobs
    return [cores[share * each : (share + 1) * each] or cores or None for share in range(jobs)]


def free_memory(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that new processes can have: what the machine has left, or less where a container's limit leaves less."""
    free = psutil.virtual_memory().available
    for limit, used, statistics, reclaimable in CGROUP_FILES:
        try:
            counts = dict(line.split() for line in (cgroup / statistics).read_text().splitlines())
            taken = int((cgroup / used).read_text()) - int(counts[reclaimable])
            free = min(free, int((cgroup / limit).read_text()) - taken)
        except (OSError, ValueError, KeyError):  # not this version, or "max": no limit
            continue
    return max(free, 0)


def processor_quota(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processors a container's limit allows, at least 1; a large number where there is no limit."""
    for files in CGROUP_QUOTAS:
        try:
            quota, period = " ".join((cgroup / file).read_text() for file in files).split()
            if int(quota) > 0:
                return max(1, int(quota) // int(period))
        except (OSError, ValueError):  # not this version, or "max": no limit
            continue
    return sys.maxsize


def _cores() -> list[int]:
    """The processor cores that this process may use; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
