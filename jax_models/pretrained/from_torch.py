"""Weights of torchvision and timm as Flax variables: every entry of a state dict is used exactly once.

`torch_names` says which module of theirs is which of ours; all else follows from the kinds of the modules:

| theirs                                | ours                                                        |
|---------------------------------------|-------------------------------------------------------------|
| convolution, OIHW                     | kernel, HWIO                                                |
| linear, (out, in)                     | kernel, (in, out)                                           |
| linear after flattening, (out, c h w) | kernel, (h w c, out): images are NHWC                       |
| 1x1 convolution of single pixels      | kernel of a linear layer                                    |
| batch normalisation                   | weight, bias, running_mean, running_var: scale, bias, mean, var |

Left out are the batch counters, which nothing reads, and the heads that GoogLeNet has for its training alone.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from jax_models.errors import RunError, UsageError
from jax_models.pretrained.torch_names import NAMES
from jax_models.registry import IMAGENET, create_model, family_of
from jax_models.weight_files import filled, named_leaves

LEAVES = {"scale": "weight", "kernel": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
COUNTER = "num_batches_tracked"
AUXILIARY = {"googlenet": ("aux1.", "aux2.")}
FIRST = ("conv1.weight", "conv1.conv.weight", "layer0.conv1.weight", "features.0.weight")
LAST = ("fc.weight", "head.fc.weight", "last_linear.weight", "classifier.6.weight")
FLATTENED = {"alexnet": "classifier.1.weight", "vgg16": "classifier.0.weight"}  # those that read all places at once
MOST_NAMED = 20  # entries in an error


def from_torch(name: str, state_dict: Mapping[str, Any]) -> nnx.Module:
    """A network with the weights of the same one in PyTorch, in evaluation mode.

    Args:
        name: one of `list_models(pretrained="imagenet")`. Classes need not be 1000, nor the images' channels 3: the
            shapes in the state dict tell.
        state_dict: tensors or arrays by name, as torchvision (alexnet, vgg16_bn, resnet18, resnet50, googlenet) or
            timm (vgg16_bn, resnet18, resnet50, legacy_xception, legacy_seresnet18, seresnet50) name them.

    Raises:
        UsageError: there is no such network, or the state dict is not one of it: entries are missing, left over or of
            another shape; the message lists them.
    """
    family = family_of(name)
    num_classes, in_channels = _sizes(name, state_dict)

    def new() -> Any:
        return create_model(name, num_classes=num_classes, in_channels=in_channels, preset=IMAGENET)

    model = nnx.eval_shape(new)
    wanted = _wanted(family, model, state_dict)
    missing = [key for key in wanted.values() if key not in state_dict]
    used = {*wanted.values(), *_counters(wanted.values())}
    rest = [key for key in state_dict if key not in used and not key.startswith(AUXILIARY.get(family, ()))]
    if missing or rest:
        raise UsageError(f"not a state dict of {name}: {_listed(missing=missing, unused=rest)}")
    shapes = {ours: leaf.shape for ours, leaf in named_leaves(model).items()}
    channels = int(model.stages[-1].layers[-1].conv.kernel.shape[-1]) if family in FLATTENED else 0
    arrays = {}
    for ours, key in wanted.items():
        flattened = channels if key == FLATTENED.get(family) else 0
        arrays[ours] = _in_our_layout(_array(state_dict[key]), to=shapes[ours], flattened=flattened)
        if arrays[ours].shape != shapes[ours]:
            shape = tuple(state_dict[key].shape)
            raise UsageError(f"not a state dict of {name}: {key} has shape {shape}, which does not fit {shapes[ours]}")
    return filled(new, arrays)


def load_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of weights: safetensors, or a pickle of PyTorch, of which nothing but tensors is read.

    Raises:
        UsageError: PyTorch, which reads the second kind, is not installed.
        RunError: the file is not there, or is none of weights.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise RunError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path} is damaged ({error}); get it again") from error
    torch = _torch()
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return {name: _array(tensor) for name, tensor in content.items()}
    except Exception as error:  # by the damage a RuntimeError, an UnpicklingError, an EOFError, ...
        raise RunError(
            f"{path} is damaged or no state dict of PyTorch ({type(error).__name__}); get it again"
        ) from error


def torch_cache() -> Path:
    """Where PyTorch, torchvision and timm keep weights from the web: $TORCH_HOME/hub/checkpoints.

    Raises:
        UsageError: PyTorch is not installed.
    """
    return Path(_torch().hub.get_dir()) / "checkpoints"


def download(url: str, path: Path) -> None:
    """Fetches a file of PyTorch's, whose name ends in the first digits of its sha256.

    Raises:
        OSError: it cannot be had.
        RuntimeError: its sha256 begins otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _torch().hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2], progress=False)


def _torch() -> Any:
    try:
        import torch.hub
    except ImportError as error:
        raise UsageError("these weights are a file of PyTorch, which is not installed: pip install torch") from error
    return torch


def _wanted(family: str, model: Any, state_dict: Mapping[str, Any]) -> dict[str, str]:
    """The names of all arrays, ours to theirs."""
    modules = {ours: theirs for theirs, ours in NAMES[family](model, state_dict)}
    names = [(ours, *ours.rpartition(".")[::2]) for ours in named_leaves(model)]
    return {ours: f"{modules[module]}.{LEAVES[leaf]}" for ours, module, leaf in names}


def _sizes(name: str, state_dict: Mapping[str, Any]) -> tuple[int, int]:
    """Classes and channels of the images."""
    first, last = ([key for key in keys if key in state_dict] for keys in (FIRST, LAST))
    if not first or not last:
        what, keys = ("last", LAST) if first else ("first", FIRST)
        inside = [key for key, value in state_dict.items() if isinstance(value, Mapping)]
        hint = f"; is it the entry {inside[0]!r} of this one?" if inside else ""
        raise UsageError(f"not a state dict of {name}: its {what} layer has none of the names {', '.join(keys)}{hint}")
    return int(state_dict[last[0]].shape[0]), int(state_dict[first[0]].shape[1])


def _counters(names: Iterable[str]) -> list[str]:
    modules = [name.removesuffix(LEAVES["mean"]) for name in names if name.endswith(LEAVES["mean"])]
    return [f"{module}{COUNTER}" for module in modules]


def _in_our_layout(array: np.ndarray, *, to: tuple[int, ...], flattened: int) -> np.ndarray:
    """An array for ours of a shape; `flattened` is the number of channels of the places that it reads, or 0."""
    if flattened and array.ndim == 2 and array.shape[1] % flattened == 0:
        array = array.reshape(len(array), flattened, -1, 1)
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
        return array.reshape(-1, array.shape[-1]) if len(to) == 2 else array
    return array.T


def _listed(**kinds: list[str]) -> str:
    parts = []
    for kind, keys in kinds.items():
        more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
        parts += [f"{kind} {', '.join(keys[:MOST_NAMED])}{more}"] if keys else []
    return "; ".join(parts)


def _array(tensor: Any) -> np.ndarray:
    """Of a tensor or an array, in float32."""
    tensor = tensor.detach().cpu().float().numpy() if hasattr(tensor, "detach") else tensor
    return np.asarray(tensor, np.float32)
