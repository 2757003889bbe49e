"""The recipes: how, and for how long, each family trains. The tables say it all; the code below only reads them."""

from typing import Any

from jax_models.data import DATASETS
from jax_models.errors import UsageError
from jax_models.registry import MODELS
from jax_models.training.config import Recipe, TrainConfig

# preset -> data set -> epochs and batch size
LENGTHS: dict[str, dict[str, tuple[int, int]]] = {
    "quick": {"mnist": (3, 128), "fashion_mnist": (5, 128), "cifar10": (8, 128)},
    "full": {"mnist": (30, 512), "fashion_mnist": (60, 512), "cifar10": (200, 512)},
}

# preset -> what every family shares
SHARED: dict[str, dict[str, Any]] = {
    "quick": {"optimizer": "sgd", "peak_learning_rate": 0.2, "weight_decay": 5e-4, "warmup": 0.2},
    "full": {"optimizer": "sgd", "peak_learning_rate": 0.4, "weight_decay": 5e-4, "warmup": 0.1},
}

# preset -> family -> what it needs otherwise, and why
EXCEPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "quick": {},
    "full": {},
}


def resolve_config(
    model: str,
    dataset: str,
    *,
    preset: str = "quick",
    seed: int = 0,
    epochs: int | None = None,
    batch_size: int | None = None,
) -> TrainConfig:
    """The configuration of one run, with the recipe's epochs and batch size unless others are given.

    Raises:
        UsageError: an unknown name, or a number that is not positive (a seed may be zero).
    """
    _choose("model", model, MODELS)
    _choose("data set", dataset, DATASETS)
    _choose("preset", preset, LENGTHS)
    usual_epochs, usual_batch_size = LENGTHS[preset][dataset]
    spec = DATASETS[dataset]
    settings = SHARED[preset] | EXCEPTIONS[preset].get(model, {})
    config = TrainConfig(
        model=model,
        dataset=dataset,
        preset=preset,
        seed=seed,
        epochs=usual_epochs if epochs is None else epochs,
        batch_size=usual_batch_size if batch_size is None else batch_size,
        recipe=Recipe(**settings, crop_padding=spec.crop_padding, flip=spec.flip),
    )
    for name, smallest in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
        if (value := getattr(config, name)) < smallest:
            raise UsageError(f"{name.replace('_', ' ')} is {value}; it must be at least {smallest}")
    return config


def _choose(kind: str, name: str, allowed: Any) -> None:
    if name not in allowed:
        raise UsageError(f"unknown {kind} {name!r}; choose from: {' '.join(allowed)}")
