"""What a tracker is told of a run, under the same names in each: trackers group curves by what is before the slash."""

import json

from benchmarks.cells import Event, identity
from benchmarks.results import Row
from jax_models.recipes import TrainConfig

CURVES = {  # fields of an `EpochRecord`
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "validation_loss": "validation/loss",
    "validation_accuracy": "validation/accuracy",
    "learning_rate": "epoch/learning_rate",
    "seconds": "epoch/seconds",
}
COSTS = (
    *("num_params", "flops", "train_seconds", "compile_seconds", "wall_seconds"),
    *("step_ms", "images_per_second", "peak_memory_bytes"),
)


def group(config: TrainConfig) -> str:
    """The seeds of one family on one data set belong together."""
    return f"{config.model}/{config.dataset}/{config.preset}"


def settings(config: TrainConfig) -> dict[str, str | int | float | bool]:
    """Everything that defines a run, flat, because TensorBoard's table of hyper-parameters has no nested ones."""
    fields = identity(config)
    fields |= fields.pop("recipe")
    return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in fields.items()}


def curves(epoch: Event) -> dict[str, float]:
    """The points that an epoch adds."""
    return {name: epoch[field] for field, name in CURVES.items()}


def summary(row: Row) -> dict[str, str | int | float]:
    """What a row says in single values: how the run ended and, as far as it is known, its test scores and its costs."""
    scores = {f"test/{name}": score for name, score in row.get("test", {}).items()}
    costs = {f"cost/{name}": row[name] for name in COSTS if row.get(name) is not None}
    error = {"error": row["error"]} if row.get("error") else {}
    return {"status": row["status"], **error, **scores, **costs}
