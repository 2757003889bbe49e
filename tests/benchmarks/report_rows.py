"""Rows for the tests of the report, with realistic numbers: the same arguments give the same rows."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.predictions import Predictions, to_bytes
from jax_models.data.catalog import DATASETS
from jax_models.registry import MODELS

TEST_IMAGES = 10_000
ACCURACY = {  # percent, by model: MNIST, FashionMNIST, CIFAR-10
    "lenet5": (98.91, 88.9, 63.1),
    "alexnet": (99.2, 90.8, 73.4),
    "vgg16": (99.41, 92.4, 80.9),
    "resnet18": (99.52, 93.05, 84.6),
    "googlenet": (99.47, 92.6, 82.2),
    "xception": (99.38, 92.1, 81.4),
    "se_resnet18": (99.49, 93.11, 84.2),
}
PARAMS = dict(zip(ACCURACY, (62_006, 501_322, 927_000, 1_120_000, 421_000, 610_000, 1_150_000), strict=True))
TRAIN_SECONDS = dict(zip(ACCURACY, (9, 31, 62, 92, 88, 104, 97), strict=True))
DATASET_NAMES = ("mnist", "fashion_mnist", "cifar10")
PROVENANCE = {
    "versions": {
        "python": "3.11.2",
        "jax": "0.10.2",
        "jaxlib": "0.10.2",
        "flax": "0.12.8",
        "optax": "0.2.8",
        "numpy": "2.4.1",
        "scikit-learn": "1.8.0",
        "tensorflow-datasets": "4.9.10",
    },
    "device": {"platform": "cpu", "kind": "cpu", "count": 1, "cpu": "Intel(R) Xeon(R) CPU @ 2.20GHz", "cores": 2},
    "commit": "0f3c9a1d2b7e",
    "started": "2026-03-01T10:00:00+00:00",
}


def make_row(model: str, dataset: str, *, preset: str = "quick", seed: int = 0, epochs: int | None = None) -> dict:
    """A finished row."""
    column = DATASET_NAMES.index(dataset)
    epochs = epochs or (3, 5, 8)[column]
    rng = np.random.default_rng([seed, column, list(ACCURACY).index(model), epochs, len(preset)])
    accuracy = ACCURACY[model][column] / 100
    if seed:
        accuracy += rng.normal(0, 0.005 * (1 - accuracy) ** 0.5)
    accuracy = round(TEST_IMAGES * accuracy) / TEST_IMAGES
    confusion = make_confusion(rng, accuracy)
    seconds = TRAIN_SECONDS[model] * (1, 1.7, 2.6)[column]
    return {
        "schema": 1,
        "status": "ok",
        "error": None,
        "cell": f"{model}/{dataset}/{preset}/s{seed}/e{epochs}/b128/1a2b3c4d",
        "model": model,
        "dataset": dataset,
        "preset": preset,
        "seed": seed,
        "epochs": epochs,
        "batch_size": 128,
        "architecture": {"channels": [8, 16]},
        "recipe": make_recipe(model, dataset),
        "recipe_hash": "1a2b3c4d",
        **make_costs(model, dataset, epochs=epochs, seconds=seconds),
        "train_seconds": round(seconds * float(rng.uniform(0.97, 1.03)), 2),
        **make_scores(confusion, dataset),
        "history": make_history(rng, accuracy, epochs=epochs, seconds=seconds),
        **PROVENANCE,
        "data_hashes": dict(DATASETS[dataset].files),
        "finished": f"2026-03-01T10:{10 * column + list(ACCURACY).index(model):02d}:00+00:00",
    }


def make_recipe(model: str, dataset: str) -> dict[str, Any]:
    """A recipe that depends on model and data set, so that a report has differences to show."""
    column = DATASET_NAMES.index(dataset)
    return {
        "optimizer": "adamw" if model == "xception" else "sgd",
        "peak_learning_rate": 0.004 if model == "xception" else 0.2,
        "weight_decay": 0.0005,
        "momentum": 0.9,
        "warmup": 0.2,
        "label_smoothing": 0.1,
        "ema_decay": 0.0,
        "crop_padding": (0, 2, 4)[column],
        "flip": column > 0,
    }


def make_costs(model: str, dataset: str, *, epochs: int, seconds: float) -> dict[str, float]:
    """What a cell of that many seconds of training costs; a first layer for colours has more parameters."""
    in_colour = dataset == "cifar10"
    return {
        "num_params": PARAMS[model] - (0 if in_colour else 432),
        "flops": int(PARAMS[model] * (13.6 if in_colour else 13.2)),
        "compile_seconds": 4.2 + TRAIN_SECONDS[model] / 9,
        "wall_seconds": seconds + 19.0,
        "step_ms": round(seconds / epochs / 0.45, 2),
        "images_per_second": round(54_000 * epochs / seconds, 1),
        "peak_memory_bytes": 900_000_000 + 350 * PARAMS[model],
    }


def make_scores(confusion: np.ndarray, dataset: str) -> dict[str, Any]:
    """The scores that follow from a confusion matrix; those of the validation split are equal."""
    accuracy = int(np.trace(confusion)) / TEST_IMAGES
    recall = np.diag(confusion) / confusion.sum(1)
    precision = np.diag(confusion) / confusion.sum(0)
    scores = {"accuracy": accuracy, "precision": float(precision.mean()), "recall": float(recall.mean())}
    scores["f1"] = float(2 * precision.mean() * recall.mean() / (precision.mean() + recall.mean()))
    scores["loss"] = round(3.1 * (1 - accuracy) + 0.012, 4)
    per_class = [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(r), "support": 1000}
        for label, p, r in zip(DATASETS[dataset].classes, precision, recall, strict=True)
    ]
    return {"validation": scores, "test": scores, "per_class": per_class, "confusion_matrix": confusion.tolist()}


def make_confusion(rng: np.random.Generator, accuracy: float) -> np.ndarray:
    """10 x 10 counts, 1,000 true images per class, whose accuracy is exactly `accuracy` (a multiple of 1/10,000)."""
    confusion = np.full((10, 10), 0)
    errors = round(TEST_IMAGES * (1 - accuracy))
    weight = rng.gamma(0.35, 1.0, (10, 10)) + 0.02
    weight[3, 5] = weight[5, 3] = weight[0, 6] = weight[6, 0] = 5
    np.fill_diagonal(weight, 0)
    for true, predicted in zip(
        *np.unravel_index(rng.choice(100, errors, p=weight.ravel() / weight.sum()), (10, 10)), strict=True
    ):
        confusion[true, predicted] += 1
    confusion[np.diag_indices(10)] = 1000 - confusion.sum(1)
    return confusion


def make_history(rng: np.random.Generator, accuracy: float, *, epochs: int, seconds: float) -> list[dict]:
    """Curves that rise to `accuracy`; training lags behind validation, as it does under augmentation."""
    error = 1 - accuracy
    history = []
    for epoch in range(1, epochs + 1):
        left = (epochs - epoch) / epochs
        now = min(0.85, error * (1 + 4 * left**2) * float(rng.uniform(0.95, 1.15)) if left else error)
        entry = {"epoch": epoch, "train_loss": 3.4 * now + 0.05, "train_accuracy": 1 - (0.7 + 0.6 * left) * now}
        entry |= {"validation_loss": 3.1 * now + 0.012, "validation_accuracy": 1 - now}
        history.append(entry | {"learning_rate": 0.2 * left, "seconds": seconds / epochs})
    return history


def make_failure(model: str, dataset: str, *, seed: int = 0, status: str = "failed", error: str = "disk full") -> dict:
    """A row of a cell that did not finish: what identifies it, and why."""
    row = make_row(model, dataset, seed=seed)
    kept = ("schema", "cell", "model", "dataset", "preset", "seed", "epochs", "batch_size")
    settings = ("architecture", "recipe", "recipe_hash")
    return {name: row[name] for name in (*kept, *settings)} | {"status": status, "error": error}


def make_rows(*, seeds: int = 1, preset: str = "quick") -> list[dict]:
    """All 21 cells with some seeds each."""
    return [
        make_row(model, dataset, preset=preset, seed=seed)
        for dataset in DATASET_NAMES
        for model in MODELS
        for seed in range(seeds)
    ]


def make_folder(out: Path, rows: list[dict]) -> list[dict]:
    """A results folder with these rows and predictions that agree with them; returns the rows as they lie there."""
    (out / "predictions").mkdir(parents=True)
    kept = []
    for row in rows:
        if row["status"] == "ok":
            data = to_bytes({split: make_predictions(row) for split in ("validation", "test")})
            path = f"predictions/{row['cell'].replace('/', '-')}.npz"
            (out / path).write_bytes(data)
            row = row | {"predictions": {"path": path, "sha256": hashlib.sha256(data).hexdigest()}}
        kept.append(row)
    (out / "runs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    return kept


def make_predictions(row: dict) -> Predictions:
    """10,000 images whose predictions give the row's confusion matrix; hard images are hard for all families."""
    confusion = np.array(row["confusion_matrix"])
    labels = np.repeat(np.arange(10), confusion.sum(1))
    hardness = np.random.default_rng(DATASET_NAMES.index(row["dataset"])).normal(size=len(labels))
    rng = np.random.default_rng([row["seed"], list(ACCURACY).index(row["model"])])
    margins = rng.normal(2.0, 0.7, len(labels)) - hardness
    predicted = labels.copy()
    for label in range(10):
        order = np.flatnonzero(labels == label)[np.argsort(margins[labels == label])]  # the least sure are wrong
        wrong = np.repeat(np.arange(10), confusion[label] * (np.arange(10) != label))
        predicted[order[: len(wrong)]] = rng.permutation(wrong)
    logits = rng.normal(0, 0.3, (len(labels), 10))
    logits[np.arange(len(labels)), predicted] += 3 + np.abs(margins)
    odds = np.exp(logits)
    return Predictions(odds / odds.sum(1, keepdims=True), labels)
