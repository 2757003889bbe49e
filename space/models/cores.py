"""How many processor cores this process may use."""

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
# Processor time and the period in which it may be used, as control groups of version 2 and then 1 say it.
_QUOTAS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))


def usable_cores(groups: Path = CGROUPS) -> int:
    """As its affinity and the quota of its container allow; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in _QUOTAS:
        if all((groups / name).is_file() for name in names):
            share, period = " ".join((groups / name).read_text() for name in names).split()
            if share not in {"max", "-1"}:
                cores = min(cores, int(share) // int(period))
    return max(1, cores)
