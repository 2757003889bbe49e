"""What a trained network says of every image of a split, kept in one byte per image and class.

A byte counts steps of 1/16 nat by which a class is less likely than the predicted one; the predicted class alone has 0.
So what depends on predictions alone (accuracy, McNemar's test) is exact, and probabilities are right to about 3 %,
without bias, down to 1/8,000,000: enough for losses, calibration and ROC curves.
"""

import dataclasses
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from jax_models.errors import RunError

STEPS_PER_NAT = 16
FARTHEST = 255
SPLITS = ("validation", "test")


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Class probabilities of all images of a split, in the split's order, and the true classes."""

    probabilities: Float[np.ndarray, "n k"]
    labels: Int[np.ndarray, " n"]

    @property
    def correct(self) -> Bool[np.ndarray, " n"]:
        """Which images are classified rightly."""
        return self.probabilities.argmax(-1) == self.labels


def encode(probabilities: Float[np.ndarray, "n k"]) -> UInt8[np.ndarray, "n k"]:
    """Probabilities as bytes."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny))
    best = logs.argmax(-1, keepdims=True)
    steps = np.rint(STEPS_PER_NAT * (np.take_along_axis(logs, best, -1) - logs))
    codes = np.clip(steps, 1, FARTHEST).astype(np.uint8)
    np.put_along_axis(codes, best, 0, -1)
    return codes


def decode(codes: UInt8[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Bytes as probabilities; each image's sum to 1."""
    odds = np.exp(codes.astype(np.float64) / -STEPS_PER_NAT)
    return odds / odds.sum(-1, keepdims=True)


def to_bytes(splits: Mapping[str, Predictions]) -> bytes:
    """A compressed NPZ file with the codes and labels of the `SPLITS`; equal predictions give equal bytes."""
    arrays = {}
    for name in SPLITS:
        arrays[name] = encode(splits[name].probabilities)
        arrays[f"{name}_labels"] = splits[name].labels.astype(np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def load_predictions(path: Path) -> dict[str, Predictions]:
    """The predictions of a run by split.

    Raises:
        RunError: the file is not there, or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {
                name: Predictions(decode(arrays[name]), arrays[f"{name}_labels"].astype(np.int64)) for name in SPLITS
            }
    except FileNotFoundError as error:
        raise RunError(f"{path} is not there: the predictions were lost or not copied with their row") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        again = "take it from a copy, or take its row out of runs.jsonl and run the sweep again"
        raise RunError(f"{path} is damaged ({error}); {again}") from error
