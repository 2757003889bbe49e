"""Which devices a batch is split over, and how arrays come to them and back: in one process or in several."""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, Sharding

from jax_models.errors import UsageError


def data_mesh(batch_size: int) -> Mesh:
    """The devices along one axis named "data": those of all processes, or of the only one as many as share evenly.

    Raises:
        UsageError: there are several processes, none of which may idle, and the batch does not split over them.
    """
    if jax.process_count() > 1:
        if batch_size % jax.device_count():
            raise UsageError(
                f"batch size {batch_size} does not split evenly over {jax.device_count()} devices in "
                f"{jax.process_count()} processes; choose a multiple of {jax.device_count()}"
            )
        return Mesh(np.array(jax.devices()), ("data",))
    devices = jax.local_devices()
    while batch_size % len(devices):
        devices.pop()
    return Mesh(np.array(devices), ("data",))


def place(tree: Any, sharding: Sharding) -> Any:
    """The arrays of `tree` on the sharding's devices; every process holds all of each array and fills its own devices.

    `jax.device_put` can do so, too, but each time sends the arrays to all processes to compare them.
    """
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda array: jax.make_array_from_callback(array.shape, sharding, array.__getitem__), tree)


def fetch(arrays: list[jax.Array]) -> list[np.ndarray]:
    """The arrays as NumPy's, whole in every process; where parts lie with other processes, all must call this."""
    if all(array.is_fully_addressable for array in arrays):
        return jax.device_get(arrays)
    return multihost_utils.process_allgather(arrays, tiled=True)


def of_first_process(tree: Any) -> Any:
    """The first process's arrays in all of them, so that copies are equal bit for bit on processors of any kind."""
    return multihost_utils.broadcast_one_to_all(tree) if jax.process_count() > 1 else tree
