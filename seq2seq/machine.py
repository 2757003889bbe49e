"""The machine that a command runs on: how it is put to use, and what of it belongs into a report."""

import contextlib
import importlib.metadata
import os
import platform
from typing import Any

import jax

MOST_CORES = 8  # more share a batch too thinly
PACKAGES = ("jax", "flax", "optax", "numpy")


def share_the_cores() -> None:
    """Makes every core of a CPU a device of its own, which takes its share of each batch.

    A step of an LSTM is too small for XLA to spread over cores: on two of them, two devices take 15 ms a step of the
    default reversal and one takes 26. On accelerators, and where the number of devices is set already, nothing changes.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # JAX runs already: it keeps the devices that it has
            jax.config.update("jax_num_cpu_devices", min(cores, MOST_CORES))


def surroundings() -> dict[str, Any]:
    """What a run's numbers depend on besides its configuration: versions and devices."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "versions": {"python": platform.python_version()} | versions,
        "device": {"kind": jax.local_devices()[0].device_kind, "count": jax.local_device_count()},
    }
