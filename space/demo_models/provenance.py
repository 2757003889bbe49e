"""Where a figure comes from: the commit of the code that wrote it, and the machine."""

import os
import platform
import subprocess
from pathlib import Path


def provenance() -> dict[str, str | None]:
    """The `commit` and the `device`, for metrics.json. Ask before the work, during which the checkout may change."""
    return {"commit": commit(), "device": device()}


def commit() -> str | None:
    """The commit of this code, with "-dirty" if code differs from it; None outside a git checkout of this project."""
    here = Path(__file__).resolve()
    try:
        _git(here.parent, "ls-files", "--error-unmatch", here.name)  # another project's checkout may hold our install
        head = _git(here.parent, "rev-parse", "HEAD")
        changed = _git(here.parent, "status", "--porcelain", "--", ":/*.py")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}-dirty" if changed else head


def device() -> str:
    """The processor and how many of its cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores} cores"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
