"""Flax NNX weights as safetensors: one file a model, its arrays by name, and what it is in the file's metadata.

An array's name is its path in the module, for example "stages.0.conv.kernel".
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from jax_models.errors import RunError
from jax_models.output import write_bytes

KEY = "description"  # in the metadata, which holds texts only
Module = TypeVar("Module", bound=nnx.Module)


def tuples(value: Any) -> Any:
    """A value out of a description in JSON, with tuples for its lists."""
    if isinstance(value, dict):
        return {name: tuples(entry) for name, entry in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value


def arrays_of(model: nnx.Module) -> dict[str, np.ndarray]:
    """All arrays of a module by name: parameters and batch statistics."""
    return {name: np.asarray(leaf) for name, leaf in named_leaves(model).items()}


def named_leaves(model: nnx.Module) -> dict[str, Any]:
    """The same as they are: arrays of JAX, or the shapes of a module made by `nnx.eval_shape`."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.state(model))}


def filled(new: Callable[[], Module], arrays: dict[str, np.ndarray]) -> Module:
    """The module that `new` makes, in evaluation mode, with these arrays in float32 for its own; nothing is drawn.

    Raises:
        ValueError: names or shapes are not those of the module.
    """
    model = nnx.eval_shape(new)
    model.eval()
    graph, variables = nnx.split(model)
    wanted = {name: leaf.shape for name, leaf in named_leaves(model).items()}
    if wanted != {name: array.shape for name, array in arrays.items()}:
        raise ValueError("the weights do not fit the model")
    leaves = [jnp.asarray(arrays[name], jnp.float32) for name in wanted]
    return nnx.merge(graph, jax.tree.unflatten(jax.tree.structure(variables), leaves))


def save_weights(path: Path, arrays: dict[str, np.ndarray], description: Any) -> None:
    """Writes one file, its description as JSON; a kill leaves the file that was there.

    Raises:
        RunError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, weights_bytes(arrays, description))


def weights_bytes(arrays: dict[str, np.ndarray], description: Any) -> bytes:
    """The content of such a file; equal arrays and descriptions give equal bytes."""
    tensors = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    return save(tensors, metadata={KEY: json.dumps(description, sort_keys=True)})


def load_weights(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file and its description.

    Raises:
        RunError: the file is damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            description = json.loads((file.metadata() or {})[KEY])
            return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise RunError(f"{path.name} is damaged ({error}); get it again") from error


def _name(path: Any) -> str:
    names = [str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", "")))) for entry in path]
    return ".".join(name for name in names if name != "value")
