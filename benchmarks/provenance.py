"""Where a row comes from: the machine, the versions and the commit, so that a reader can repeat it."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from jax_models import onednn
from jax_models.errors import RunError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn", "tensorflow-datasets")


@functools.cache
def default_platform() -> str:
    """The platform JAX will use ("cpu", "gpu", "tpu"), asked in a process of its own: this one leaves the device free.

    Raises:
        RunError: JAX does not start.
    """
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return "cpu"
    command = [sys.executable, "-c", "import jax; print(jax.default_backend())"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunError(f"JAX does not start: {reason} (JAX_PLATFORMS=cpu chooses the CPU)")
    return done.stdout.split()[-1]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on; oneDNN's where it computes convolutions."""
    packages = (*PACKAGES, onednn.PACKAGE) if onednn.available() else PACKAGES
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def device() -> dict[str, Any]:
    """The local devices and the host's processor: platform, kind, count, cpu, cores (that this process may use)."""
    devices = jax.local_devices()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "platform": devices[0].platform,
        "kind": devices[0].device_kind,
        "count": len(devices),
        "cpu": _processor(),
        "cores": cores,
    }


def commit() -> str | None:
    """The commit of this code, with "-dirty" if code differs from it; None outside a git checkout of this project."""
    here = Path(__file__).resolve()
    try:
        _git(here.parent, "ls-files", "--error-unmatch", here.name)  # another project's checkout may hold our install
        head = _git(here.parent, "rev-parse", "HEAD")
        changed = _git(here.parent, "status", "--porcelain", "--", ":/*.py", ":/pyproject.toml")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}-dirty" if changed else head


def code() -> str:
    """A short name of this code: its commit, and of changes since then a hash; "unknown" outside its git checkout."""
    head = commit()
    if head is None:
        return "unknown"
    if not head.endswith("-dirty"):
        return head[:12]
    changes = _git(Path(__file__).resolve().parent, "diff", "HEAD", "--", ":/*.py", ":/pyproject.toml")
    return f"{head[:12]}-{hashlib.sha256(changes.encode()).hexdigest()[:8]}"


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
