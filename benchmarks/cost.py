"""What a model costs: arithmetic per image, counted from its traced program, and the memory that a process reached."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from jax_models import lowering
from jax_models.training.state import take_apart


def forward_flops(model: nnx.Module, shape: tuple[int, int, int]) -> int:
    """Floating-point operations of one image's forward pass: two for each multiply-add of convolutions and matmuls.

    Counted on the plain convolutions, whatever form of them runs; normalisation, activations and pooling are left out,
    as in the papers; enlarging images for a network made for ImageNet counts, as matrix products. Nothing is computed:
    the model is only traced.

    Args:
        model: maps images (1, *shape) to logits; may be abstract, as `nnx.eval_shape` gives it. Set to evaluation mode.
        shape: height, width and channels of an image.
    """
    network, params, batch_stats = take_apart(model)
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    with lowering.plain():
        # A new function object each time: JAX must not find its trace in another lowering.
        traced = jax.make_jaxpr(lambda *arguments: network.predict(*arguments))(params, batch_stats, images)
    return 2 * multiply_adds(traced.jaxpr)


def multiply_adds(jaxpr: Jaxpr) -> int:
    """Multiply-adds of all convolutions and matrix products in a program, those in inner programs included."""
    return sum(_equation_multiply_adds(equation) for equation in jaxpr.eqns)


def _equation_multiply_adds(equation: JaxprEqn) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "conv_general_dilated":
        kernel = _shape(equation.invars[1])  # its input channels are already those of one group
        outputs_per_kernel = kernel[params["dimension_numbers"].rhs_spec[0]]
        return math.prod(_shape(equation.outvars[0])) * math.prod(kernel) // outputs_per_kernel
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        lengths = (_shape(equation.invars[0])[axis] for axis in contracted)
        return math.prod(_shape(equation.outvars[0])) * math.prod(lengths)
    inner = [multiply_adds(jaxpr) for jaxpr in _inner_jaxprs(params)]
    if name == "cond":
        return max(inner)
    return params.get("length", 1) * sum(inner) if name == "scan" else sum(inner)


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _inner_jaxprs(value: Any) -> Iterator[Jaxpr]:
    """The programs that an equation holds, wherever its parameters keep them."""
    if isinstance(value, ClosedJaxpr):
        yield value.jaxpr
    elif isinstance(value, Jaxpr):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _inner_jaxprs(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _inner_jaxprs(item)


def peak_memory_bytes() -> int:
    """The most memory that this process has held: on the local accelerators if JAX uses them, else on the host."""
    statistics = [device.memory_stats() or {} for device in jax.local_devices()]
    on_devices = sum(one.get("peak_bytes_in_use", 0) for one in statistics)
    return on_devices or _peak_host_bytes()


def _peak_host_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would also count what the parent held when it started this process
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
