"""Small trained models as the project's commands leave them, for the tests of the two labs."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

import seq2seq
from jax_models import create_model, fit, resolve_config
from jax_models.data import DATASETS, Dataset
from jax_models.weight_files import filled, named_leaves, save_weights
from seq2seq.vocabulary import Symbols


def network_file(folder: Path, *, model: str = "lenet5", dataset: str = "mnist", score: float = 0.5) -> Path:
    """A CNN with random weights as it is shipped."""
    spec, config = DATASETS[dataset], resolve_config(model, dataset)
    shapes = nnx.eval_shape(lambda: create_model(model, num_classes=10, in_channels=spec.shape[-1], preset="quick"))
    arrays = {name: array.astype(np.float16) for name, array in random_arrays(shapes).items()}
    about = {"kind": "vision", **config.to_fields(), "test": {"accuracy": score}}
    path = folder / f"{model}-{dataset}.safetensors"
    save_weights(path, arrays, about)
    return path


def random_arrays(shapes: nnx.Module) -> dict[str, np.ndarray]:
    """Small positive numbers for every array of a module of shapes; drawn by NumPy, which compiles nothing."""
    rng = np.random.default_rng(1)
    return {
        name: rng.uniform(0.01, 0.1, array.shape).astype(np.float32) for name, array in named_leaves(shapes).items()
    }


def few_images() -> Dataset:
    """Forty random pictures in the place of MNIST."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 28, 28, 1)).astype(np.uint8), np.arange(40, dtype=np.int32) % 4
    return Dataset(
        DATASETS["mnist"], source="drawn", official_train=(images, labels), open_test=lambda: (images, labels)
    )


def network_run(folder: Path) -> nnx.Module:
    """Trains LeNet-5 for two steps as `python -m jax_models` does, checkpoints and all; gives the trained model."""
    config = resolve_config("lenet5", "mnist", epochs=1, batch_size=18)
    fitted = fit(config, few_images(), checkpoint_dir=folder / "checkpoints")
    result: dict[str, Any] = {"cell": config.cell, **config.to_fields(), "test": {"accuracy": 0.25}}
    (folder / "result.json").write_text(json.dumps(result))
    return fitted.model


def reader_config(**changes: Any) -> seq2seq.TrainConfig:
    """Of an encoder-decoder that is quick to compile."""
    settings = {"max_length": 8, "vocabulary_size": 10, "hidden_size": 8, "embedding_size": 4, "attention_size": 4}
    return seq2seq.resolve_config("reverse", **settings | changes)


def reader_file(folder: Path) -> Path:
    """An encoder-decoder with random weights as it is shipped."""
    config, vocabulary = reader_config(), Symbols(tuple(range(10)))
    shapes = nnx.eval_shape(lambda: config.new_model(vocabulary.num_tokens, rngs=nnx.Rngs(1)))
    about = {
        "kind": "attention",
        "config": dataclasses.asdict(config),
        "symbols": list(vocabulary.symbols),
        "test": {"exact_match": 0.75},
    }
    path = folder / "reverse-additive.safetensors"
    save_weights(path, random_arrays(shapes), about)
    return path


def reader_run(folder: Path, **changes: Any) -> seq2seq.TrainedModel:
    """An encoder-decoder with random weights in the folder of a finished run."""
    config, vocabulary = reader_config(**changes), Symbols(tuple(range(10)))

    def new() -> Any:
        return config.new_model(vocabulary.num_tokens, rngs=nnx.Rngs(1))

    model = filled(new, random_arrays(nnx.eval_shape(new)))
    trained = seq2seq.TrainedModel(model, vocabulary, config)
    seq2seq.save_model(trained, folder)
    (folder / "metrics.json").write_text(json.dumps({"exact_match": 0.125}))
    return trained
