"""Published weights on a small scale: a ResNet of two stages in the place of ImageNet's, and a cache of the hub."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from jax_models.pretrained import imagenet
from jax_models.pretrained.from_torch import LEAVES
from jax_models.pretrained.torch_names import NAMES
from jax_models.registry import MODELS
from jax_models.weight_files import arrays_of

NETWORK = "resnet18"
SMALL = {"channels": (8, 16), "repeats": (1, 1), "stem_stride": 2, "stem_pool": "all edges"}


def shrink(patch: Any) -> None:
    """Gives ImageNet's ResNet-18 two small stages; `patch` is pytest's monkeypatch, or `Forever`."""
    patch.setitem(MODELS[NETWORK].imagenet, NETWORK, SMALL)


def pin(patch: Any, digest: str) -> None:
    """Lets the published file be the one of this sha256."""
    published: Any = imagenet.WEIGHTS[NETWORK]
    file = dataclasses.replace(published.file, sha256=digest)
    patch.setitem(imagenet.WEIGHTS, NETWORK, dataclasses.replace(published, file=file))


class Forever:
    """Patches for a process of their own."""

    @staticmethod
    def setitem(mapping: Any, name: str, value: Any) -> None:
        mapping[name] = value


def put_into_cache(cache: Path, model: Any) -> str:
    """Writes a network as PyTorch has it where the hub's library would put the published file; returns its sha256."""
    names = {ours: theirs for theirs, ours in NAMES[NETWORK](model, {})}
    entries = {}
    for name, array in arrays_of(model).items():
        module, _, leaf = name.rpartition(".")
        theirs = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        entries[f"{names[module]}.{LEAVES[leaf]}"] = np.ascontiguousarray(theirs)
    published: Any = imagenet.WEIGHTS[NETWORK].file
    folder = cache / f"models--{published.repo.replace('/', '--')}" / "snapshots" / published.revision
    folder.mkdir(parents=True)
    data = save(entries)
    (folder / "model.safetensors").write_bytes(data)
    return hashlib.sha256(data).hexdigest()
