"""Which devices a batch is split over."""

import jax
import numpy as np
from jax.sharding import Mesh


def data_mesh(batch_size: int) -> Mesh:
    """The local devices, or as many of them as share the batch out evenly, along one axis named "data"."""
    devices = jax.local_devices()
    while batch_size % len(devices):
        devices.pop()
    return Mesh(np.array(devices), ("data",))
