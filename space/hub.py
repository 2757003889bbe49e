"""The Hugging Face hub: which of its models are on this machine already."""

from pathlib import Path

from space.catalog import ModelSpec


def cached_folder(spec: ModelSpec) -> Path | None:
    """The folder of a hub model in the local cache, or None."""
    return None
