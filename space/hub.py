"""The Hugging Face hub: which of its models are on this machine already."""

from pathlib import Path

from huggingface_hub import constants

from space.catalog import ModelSpec


def cached_folder(spec: ModelSpec) -> Path | None:
    """The folder of a hub model in the local cache, or None."""
    if spec.repo is None:
        return None
    cache = Path(constants.HF_HUB_CACHE) / f"models--{spec.repo.replace('/', '--')}"
    main = cache / "refs" / "main"
    if not main.is_file():
        return None
    folder = cache / "snapshots" / main.read_text()
    return folder if folder.is_dir() else None
