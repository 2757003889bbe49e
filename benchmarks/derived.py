"""Derived results of a sweep: what is measured on stored weights and test images, kept in `OUT/derived`.

A line of `OUT/derived/NAME.jsonl` holds what was found for one cell, the sha256 of the weights that it was found with
(it counts as long as the cell's row has those weights), and the device, versions and commit of the measurement.
"""

import base64
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from benchmarks import provenance
from benchmarks.results import Row, append_line
from jax_models.errors import RunError

FOLDER = "derived"


def add_derived(out: Path, name: str, row: Row, result: Mapping[str, Any]) -> None:
    """Keeps a result of a row's weights.

    Raises:
        RunError: the row has kept no weights, or the result could not be written.
    """
    if "weights" not in row:
        raise RunError(f"{row['cell']} has kept no weights: it is of an earlier version of this project")
    (out / FOLDER).mkdir(exist_ok=True)
    origin = {"device": provenance.device(), "versions": provenance.versions(), "commit": provenance.commit()}
    line = {"cell": row["cell"], "weights": row["weights"]["sha256"], "result": dict(result), **origin}
    append_line(out / FOLDER / f"{name}.jsonl", line)


def read_derived(out: Path | None, name: str, row: Row) -> dict[str, Any] | None:
    """The latest result of that name for a row's weights; None if there is none. Broken lines are passed over."""
    line = derived_line(out, name, row)
    return None if line is None else line["result"]


def derived_line(out: Path | None, name: str, row: Row) -> dict[str, Any] | None:
    """The same with its device, versions and commit."""
    found = None
    for line in _lines(out, name):
        if "weights" in row and (line.get("cell"), line.get("weights")) == (row["cell"], row["weights"]["sha256"]):
            found = line
    return found


def copy_derived(source: Path, target: Path, row: Row) -> None:
    """Copies a row's results from one folder to another.

    Raises:
        RunError: one could not be written.
    """
    for path in sorted((source / FOLDER).glob("*.jsonl")):
        if (line := derived_line(source, path.stem, row)) is not None:
            (target / FOLDER).mkdir(exist_ok=True)
            append_line(target / FOLDER / path.name, line)


def _lines(out: Path | None, name: str) -> Iterator[dict[str, Any]]:
    path = (out or Path()) / FOLDER / f"{name}.jsonl"
    if out is not None and path.exists():
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and "result" in line:
                yield line


def image_text(pixels: UInt8[np.ndarray, "h w c"]) -> str:
    """An image of one or three channels as text: PNG in base64."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def image_of(text: str) -> UInt8[np.ndarray, "h w c"]:
    """The image in such a text."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
