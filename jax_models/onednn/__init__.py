"""Convolutions by oneDNN, the library behind PyTorch's, called from XLA's programs: for x86-64 CPUs under Linux.

It is there if the package `onednn-cpu-gomp` is installed (the extra `fast`). XLA calls it through its foreign function
interface, whose C structures `xla.py` reads with ctypes: nothing has to be compiled. Images are NHWC, kernels HWIO;
each direction of each geometry is a call target of its own.

One convolution runs at a time, also where XLA calls several at once: each uses all threads, or, if small, XLA's alone,
and all share a scratchpad.
"""

import functools
import os
import platform
import sys
from collections.abc import Callable
from typing import Any, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jax_models.onednn import library, xla
from jax_models.onednn.library import PACKAGE, Direction, Geometry, OneDnnError

__all__ = ["PACKAGE", "SWITCH", "Geometry", "available", "conv", "has_fast_bfloat16", "supports"]

SWITCH = "JAX_MODELS_ONEDNN"  # an environment variable; 0 leaves convolutions to XLA
MOST_CORES = 32  # OpenMP makes a team of so many threads for each of XLA's, which are as many


@functools.cache
def available() -> bool:
    """Whether the library is installed, loads and is wanted, and there is one device: calls are not split over more."""
    if os.environ.get(SWITCH) == "0" or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return False
    fits = jax.default_backend() == "cpu" and jax.device_count() == 1 and len(os.sched_getaffinity(0)) <= MOST_CORES
    return fits and library.load() is not None


@functools.cache
def supports(geometry: Geometry) -> bool:
    """Whether oneDNN has fast code for all three directions of this geometry on this processor."""
    if geometry.dtype not in library.DTYPES or 0 in (*geometry.images, *geometry.features):
        return False
    try:
        made = [library.convolution(direction, geometry) for direction in get_args(Direction)]
    except OneDnnError:
        return False
    return not any("ref" in convolution.implementation for convolution in made)


@functools.cache
def has_fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16, which takes about half the time of float32."""
    if not available():
        return False
    usual = Geometry((8, 16, 16, 64), (3, 3, 64, 64), (1, 1), ((1, 1), (1, 1)), "bfloat16")
    if not supports(usual):
        return False
    implementation = library.convolution("forward", usual).implementation
    return "avx512_core_bf16" in implementation or "amx" in implementation  # elsewhere it is emulated


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def conv(geometry: Geometry, images: Float[Array, "b h w i"], kernel: Float[Array, "kh kw part o"]):
    """Cross-correlates images with a kernel: float (b, y, x, o) of their type."""
    return _call("forward", geometry, geometry.features, images, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _backward_data(geometry, grads, kernel):
    return _call("backward_data", geometry, geometry.images, grads, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _backward_weights(geometry, images, grads):
    return _call("backward_weights", geometry, geometry.kernel, images, grads)


def _keep(function: Any) -> Callable[..., tuple[Array, tuple[Array, Array]]]:
    return lambda geometry, first, second: (function(geometry, first, second), (first, second))


# Each of the three is linear in both of its arrays, and its gradients are the other two.
conv.defvjp(
    _keep(conv),
    lambda geometry, kept, up: (_backward_data(geometry, up, kept[1]), _backward_weights(geometry, kept[0], up)),
)
_backward_data.defvjp(
    _keep(_backward_data),
    lambda geometry, kept, up: (conv(geometry, up, kept[1]), _backward_weights(geometry, up, kept[0])),
)
_backward_weights.defvjp(
    _keep(_backward_weights),
    lambda geometry, kept, up: (_backward_data(geometry, kept[1], up), conv(geometry, kept[0], up)),
)


def _call(direction: Direction, geometry: Geometry, shape: tuple[int, ...], *arrays: Array) -> Array:
    target = f"jax_models_onednn_{direction}_{geometry.target}"
    xla.register(target, library.convolution(direction, geometry))
    result = jax.ShapeDtypeStruct(shape, jnp.dtype(geometry.dtype))
    return jax.ffi.ffi_call(target, result, vmap_method="sequential")(*arrays)
