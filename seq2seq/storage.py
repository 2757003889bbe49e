"""A trained model on the disk: weights, vocabulary and configuration in one folder; loads without its training."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jax_models.errors import RunError, UsageError
from jax_models.output import replacing
from seq2seq.configuration import TrainConfig
from seq2seq.model import Seq2Seq
from seq2seq.subwords import MissingPackage, Subwords
from seq2seq.vocabulary import Characters, Symbols, Vocabulary

DESCRIPTION, WEIGHTS = "model.json", "weights.npz"
FORMAT = 2


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A model, the vocabulary that it reads and writes, and how it was trained."""

    model: Seq2Seq
    vocabulary: Vocabulary
    config: TrainConfig


def save_model(trained: TrainedModel, folder: Path) -> None:
    """Writes `model.json` and `weights.npz` into the folder; a kill in between leaves whole files only."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights: dict[str, Any] = {path: np.asarray(array) for path, array in _arrays(trained.model).items()}
    with replacing(folder / WEIGHTS) as file:
        np.savez(file, **weights)
    description = {
        "format": FORMAT,
        "config": dataclasses.asdict(trained.config),
        "vocabulary": _describe(trained.vocabulary),
    }
    with replacing(folder / DESCRIPTION) as file:
        file.write((json.dumps(description, indent=1) + "\n").encode())


def load_model(folder: str | Path, *, task: str | None = None) -> TrainedModel:
    """The model that a training left in this folder, its OUT.

    Raises:
        UsageError: there is no model, or it is one of another task than `task`.
        RunError: its files are damaged.
    """
    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        hint = f"train one: python -m seq2seq.train --out {folder}"
        raise UsageError(f"{folder} holds no finished model ({DESCRIPTION} is missing); {hint}")
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']}, not {FORMAT}")
        config = TrainConfig.from_fields(description["config"])
        vocabulary = _vocabulary(description["vocabulary"])
        with np.load(folder / WEIGHTS) as file:
            weights = {path: file[path] for path in file.files}
        model = _fill(config, vocabulary.num_tokens, weights)
    except MissingPackage:
        raise
    except Exception as error:  # by kind of damage EOFError, KeyError, tokenizers' own and others
        raise RunError(f"the model in {folder} is damaged ({error}); train it again") from error
    if task is not None and config.task != task:
        raise UsageError(f"the model in {folder} is of the task {config.task}, not {task}; name another folder")
    return TrainedModel(model, vocabulary, config)


def _describe(vocabulary: Vocabulary) -> dict[str, Any]:
    if isinstance(vocabulary, Subwords):
        return {"kind": "subwords", "tokenizer": json.loads(vocabulary.description)}
    assert isinstance(vocabulary, Symbols)
    kind = "characters" if isinstance(vocabulary, Characters) else "symbols"
    return {"kind": kind, "symbols": list(vocabulary.symbols)}


def _vocabulary(description: dict[str, Any]) -> Vocabulary:
    if description["kind"] == "subwords":
        return Subwords(json.dumps(description["tokenizer"]))
    kinds = {"characters": Characters, "symbols": Symbols}
    return kinds[description["kind"]](tuple(description["symbols"]))


def _fill(config: TrainConfig, num_tokens: int, weights: dict[str, np.ndarray]) -> Seq2Seq:
    model = nnx.eval_shape(lambda: config.new_model(num_tokens, rngs=nnx.Rngs(0)))
    model.eval()
    shapes = {path: array.shape for path, array in _arrays(model).items()}
    if shapes != {path: array.shape for path, array in weights.items()}:
        raise ValueError("the weights do not fit the configuration")
    graph, variables = nnx.split(model)
    leaves = [jnp.asarray(weights[_name(path)]) for path, _ in jax.tree_util.tree_leaves_with_path(variables)]
    return nnx.merge(graph, jax.tree.unflatten(jax.tree.structure(variables), leaves))


def _arrays(model: Seq2Seq) -> dict[str, Any]:
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.state(model))}


def _name(path: Any) -> str:
    """For example "decoder.kernel"."""
    names = [str(getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", "")))) for entry in path]
    return ".".join(name for name in names if name != "value")
