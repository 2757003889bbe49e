"""How a Ray cluster is dealt out to cells: a GPU each, else a TPU chip each, else processor cores.

What a cell gets, and so what its times mean, is what it gets on one machine (see `benchmarks.shares`).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.shares import MEMORY_OF_A_CELL
from jax_models.errors import RunError

Resources = Mapping[str, float]
"""What a machine of the cluster offers, by Ray's names: "CPU", "GPU", "TPU" (chips), "memory" (bytes)."""

ACCELERATORS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gpu": ("GPU", {"num_gpus": 1}),
    "tpu": ("TPU", {"resources": {"TPU": 1}}),
}
"""Ray's name of a platform's devices, and how Ray is asked for one."""


@dataclasses.dataclass(frozen=True)
class Share:
    """What each cell gets.

    Attributes:
        options: the request for it, as Ray's options of an actor.
        cores: processor cores that a cell is held to; 0 holds it to none.
        places: cells for which there is room at the same time.
        limit: cells that may be at work at the same time; None for all that there comes to be room for.
    """

    options: Mapping[str, Any]
    cores: int
    places: int
    limit: int | None = None


def platform_of(nodes: Sequence[Resources]) -> str:
    """What these machines train on: "gpu" if any has one, else "tpu", else "cpu"."""
    return next(
        (platform for platform, (name, _) in ACCELERATORS.items() if any(name in node for node in nodes)), "cpu"
    )


def share_of(nodes: Sequence[Resources], *, platform: str, jobs: int | None, small_cells: bool) -> Share:
    """One accelerator a cell where there are some, with the processor cores that are there for each of them.

    On processors a cell gets one core, so that times compare, or a whole machine if cells are not small. With `jobs`
    all cores are dealt out to that many cells. No machine is too small for a cell: the smallest sets the most.

    Raises:
        RunError: no machine has a processor or an accelerator to give.
    """
    name, request = ACCELERATORS.get(platform, ("CPU", {}))
    nodes = [node for node in nodes if node.get(name, 0) >= 1]
    if not nodes:
        raise RunError(f"no machine of the Ray cluster has a {name} to train on; `ray status` shows what they have")
    if request:
        cores, memory = 0, 0
        cpus = min(int(node.get("CPU", 0) // node[name]) for node in nodes)
        places = sum(int(node[name]) for node in nodes)
    else:
        smallest, total = (int(of(node["CPU"] for node in nodes)) for of in (min, sum))
        cores = min(smallest, max(1, total // jobs)) if jobs else 1 if small_cells else smallest
        cpus = cores
        memory = int(min(node["memory"] for node in nodes)) if small_cells and not jobs else 0
        memory = min(memory, MEMORY_OF_A_CELL)
        places = sum(_room(node, cpus=cpus, memory=memory) for node in nodes)
    options = {"num_cpus": cpus, "memory": memory, **request}
    return Share(options, cores=cores, places=min(places, jobs or places), limit=jobs)


def _room(node: Resources, *, cpus: int, memory: int) -> int:
    """How many cells fit on a machine at the same time."""
    fits = [node["CPU"] // cpus] + ([node["memory"] // memory] if memory else [])
    return int(min(fits))
