"""Derived results of a sweep: what is measured on stored weights and test images, kept in `OUT/derived`.

A line of `OUT/derived/NAME.jsonl` holds what was found for one cell, and the sha256 of the weights that it was found
with: it counts as long as the cell's row has those weights.
"""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from benchmarks.results import Row, append_line

FOLDER = "derived"


def add_derived(out: Path, name: str, row: Row, result: Mapping[str, Any]) -> None:
    """Keeps a result of a row's weights.

    Raises:
        RunError: it could not be written.
    """
    (out / FOLDER).mkdir(exist_ok=True)
    line = {"cell": row["cell"], "weights": row["weights"]["sha256"], "result": dict(result)}
    append_line(out / FOLDER / f"{name}.jsonl", line)


def read_derived(out: Path | None, name: str, row: Row) -> dict[str, Any] | None:
    """The latest result of that name for a row's weights; None if there is none. Broken lines are passed over."""
    path = (out or Path()) / FOLDER / f"{name}.jsonl"
    if out is None or "weights" not in row or not path.exists():
        return None
    found = None
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if (line.get("cell"), line.get("weights")) == (row["cell"], row["weights"]["sha256"]):
            found = line.get("result")
    return found


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
