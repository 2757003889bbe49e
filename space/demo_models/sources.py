"""Source files of the recipes: named, with the checksum of the version that the figures were made from."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from jax_models.errors import UsageError


@dataclass(frozen=True)
class SourceFile:
    """A file that a user brings: its name, the sha256 of its content, and where it comes from."""

    name: str
    sha256: str
    origin: str


def read_source_bytes(folder: Path, source: SourceFile) -> bytes:
    """The content of a source file.

    Raises:
        UsageError: it is not in the folder, or it is another version.
    """
    path = folder / source.name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}; --data needs the folder with {source.name}: {source.origin}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise UsageError(
            f"{path} has sha256 {found}, expected {source.sha256}; take {source.name} from: {source.origin}"
        )
    return content


def read_source(folder: Path, source: SourceFile) -> str:
    """The same as text in UTF-8.

    Raises:
        UsageError: it is not in the folder, or it is another version.
    """
    return read_source_bytes(folder, source).decode()
