"""Which files of a hub repository a model needs, and whether a folder has them all."""

import json
import re
from pathlib import Path

from space.models.catalog import Kind

_WEIGHTS = re.compile(r"(model|diffusion_pytorch_model)(-\d{5}-of-\d{5})?\.safetensors")
_INDEX = re.compile(r"(model|diffusion_pytorch_model)\.safetensors\.index\.json")
_HALF = re.compile(r"(model|diffusion_pytorch_model)\.fp16\.safetensors")
_SETTINGS = re.compile(
    r"(config|generation_config|scheduler_config|preprocessor_config|tokenizer|tokenizer_config|special_tokens_map"
    r"|added_tokens|vocab)\.json|(merges|vocab)\.txt|(spiece|tokenizer)\.model|chat_template\.jinja"
)
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
_ENTRY = {"config.json", "model_index.json"}  # without it a folder is no model


def wanted(kind: Kind, names: tuple[str, ...], *, half: bool) -> list[str]:
    """Those of a repository's files that the model needs, in the order in which to fetch them.

    The entry file comes last, so that what was broken off does not look complete. A pipeline's parts come from their
    folders, never from the single checkpoint beside them.

    Args:
        half: take weights of two bytes a number where the repository has them.
    """
    folders: dict[str, set[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        folders.setdefault(folder, set()).add(file)
    if kind != "diffusion":
        return _ordered(_needed(folders.get("", set()), half=half))
    parts = {folder: files for folder, files in folders.items() if folder and "/" not in folder}
    kept = [f"{folder}/{file}" for folder, files in parts.items() for file in _needed(files, half=half)]
    return [*_ordered(kept), *(["model_index.json"] if "model_index.json" in names else [])]


def complete(folder: Path, kind: Kind) -> bool:
    """Whether a folder holds all that the model needs."""
    if kind != "diffusion":
        return (folder / "config.json").exists() and _has_weights(folder) and _has_tokenizer(folder)
    index = folder / "model_index.json"
    if not index.exists():
        return False
    parts = json.loads(index.read_text(encoding="utf-8")).items()
    return all(_has_part(folder / name) for name, value in parts if isinstance(value, list) and value[0])


def variant_of(folder: Path) -> str | None:
    """What diffusers calls the weights of two bytes a number, if those are the ones in a pipeline's folder."""
    return "fp16" if any(_HALF.fullmatch(path.name) for path in folder.glob("*/*.safetensors")) else None


def _needed(files: set[str], *, half: bool) -> list[str]:
    small = [file for file in files if _HALF.fullmatch(file)]
    weights = [file for file in files if _WEIGHTS.fullmatch(file) or _INDEX.fullmatch(file)]
    return [*(small if half and small else weights), *(file for file in files if _SETTINGS.fullmatch(file))]


def _ordered(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: (name.rpartition("/")[2] in _ENTRY, name))


def _has_part(folder: Path) -> bool:
    if (folder / "tokenizer_config.json").exists():
        return _has_tokenizer(folder)
    if (folder / "config.json").exists():
        return _has_weights(folder)
    return any(folder.glob("*.json"))  # a scheduler, an image processor


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).exists() for name in _TOKENIZERS)


def _has_weights(folder: Path) -> bool:
    files = {path.name for path in folder.glob("*") if path.exists()}
    for index in filter(_INDEX.fullmatch, files):
        shards = json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values()
        return files.issuperset(shards)
    return any(_WEIGHTS.fullmatch(file) or _HALF.fullmatch(file) for file in files)
