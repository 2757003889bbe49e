"""The files of a run beside its row: predictions, trained weights and, until it is finished, checkpoints.

A row names its files by path and sha256, so that a reader can tell whether a file is the one that was measured.
"""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flax import nnx

from benchmarks.predictions import Predictions, to_bytes
from jax_models.classification import new_model
from jax_models.data import DATASETS
from jax_models.errors import RunError
from jax_models.output import write_bytes
from jax_models.recipes import TrainConfig
from jax_models.weight_files import arrays_of, filled, load_weights, weights_bytes

PREDICTIONS, WEIGHTS, CHECKPOINTS = "predictions", "weights", "checkpoints"


def file_name(cell: str) -> str:
    """A cell's name as that of a file."""
    return cell.replace("/", "-")


def checkpoint_folder(out: Path, cell: str, *, code: str) -> Path:
    """Where a run that is not finished keeps its last epochs: those of one version of the code are not another's."""
    return out / CHECKPOINTS / f"{file_name(cell)}@{code}"


def drop_checkpoints(out: Path, cells: Iterable[str]) -> None:
    """Removes the checkpoints of cells that are finished: their weights are kept."""
    for cell in cells:
        for folder in (out / CHECKPOINTS).glob(f"{file_name(cell)}@*"):
            shutil.rmtree(folder, ignore_errors=True)


def save_predictions(out: Path, config: TrainConfig, splits: Mapping[str, Predictions]) -> dict[str, str]:
    """Writes the predictions of a run; returns what its row says of the file.

    Raises:
        RunError: the file cannot be written.
    """
    return _save(out, Path(PREDICTIONS) / f"{file_name(config.cell)}.npz", to_bytes(splits))


def save_weights(out: Path, config: TrainConfig, model: nnx.Module, *, scores: Mapping[str, Any]) -> dict[str, str]:
    """Writes the trained weights, as float32, with the run's configuration and `scores`; returns the row's entry.

    Raises:
        RunError: the file cannot be written.
    """
    description = {"kind": "vision", **config.to_fields(), **scores}
    data = weights_bytes(arrays_of(model), description)
    return _save(out, Path(WEIGHTS) / f"{file_name(config.cell)}.safetensors", data)


def load_classifier(out: Path, row: Mapping[str, Any]) -> nnx.Module:
    """The trained network of a row, in evaluation mode.

    Raises:
        RunError: its weights are not in the folder, or are damaged.
    """
    if "weights" not in row:
        raise RunError(f"{row['cell']} has kept no weights: it is of an earlier version of this project")
    config = TrainConfig.from_fields(row)
    arrays, _ = load_weights(checked_path(out, row["weights"]))
    return filled(lambda: new_model(config, DATASETS[config.dataset], rngs=nnx.Rngs(0)), arrays)


def checked_path(out: Path, entry: Mapping[str, str]) -> Path:
    """The file that a row's entry names.

    Raises:
        RunError: it is not there, or is not the one that the row was measured with.
    """
    path = out / entry["path"]
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error
    if digest != entry["sha256"]:
        raise RunError(f"{path} is damaged or of another run: its sha256 is not the row's")
    return path


def _save(out: Path, name: Path, data: bytes) -> dict[str, str]:
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out / name, data)
    return {"path": name.as_posix(), "sha256": hashlib.sha256(data).hexdigest()}
