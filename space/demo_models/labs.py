"""`python -m space.demo_models.labs`: trains the small networks that the two labs show, and exports their weights."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from rich.console import Console

import seq2seq
from jax_models import evaluate, fit, load_dataset, resolve_config
from jax_models.classification import new_model
from jax_models.command_line import Parser
from jax_models.data.dataset import Dataset
from jax_models.errors import run_cli
from jax_models.output import locked, prepare_folder
from jax_models.recipes import TrainConfig
from jax_models.registry import MODELS
from jax_models.weight_files import arrays_of, filled, save_weights
from seq2seq.data import make_data
from seq2seq.scoring import score
from seq2seq.vocabulary import Symbols
from space.demo_models import provenance
from space.demo_models.lab_cards import write_cards
from space.folders import WEIGHTS

DESCRIPTION = """\
Trains what is missing of the vision lab's networks and of the attention lab's model, by the usual recipes, the quick
preset and seed 0, and writes each as one safetensors file with its scores in the metadata, and a model card.
"""
EPILOG = """\
A run that was stopped goes on where it was: type the same command again. About 20 minutes of one idle core. The vision
networks are shipped in float16; their scores are those of the rounded weights, on all 10,000 test images.
"""

# The seven families vote on digits; the other two data sets get the networks that are smallest.
NETWORKS = (
    *((model, "mnist") for model in MODELS),
    *((model, dataset) for dataset in ("fashion_mnist", "cifar10") for model in ("lenet5", "googlenet")),
)
ATTENTION = "reverse-additive"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, a folder that cannot be written.
        RunError: the data cannot be had, or a training diverged.
    """
    parser = Parser(prog="python -m space.demo_models.labs", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--data-dir", type=Path, metavar="DIR", help="TFDS data (default: TFDS_DATA_DIR or ~/tensorflow_datasets)")
    add("--out", type=Path, default=Path("out/labs"), metavar="DIR", help="checkpoints of the runs (default: out/labs)")
    add("--weights", type=Path, default=WEIGHTS, metavar="DIR", help="where the files go (default: space/weights)")
    options = parser.parse_args(arguments)
    commit = provenance.commit()
    prepare_folder(options.out)
    prepare_folder(options.weights)
    with locked(options.out):
        reverser = options.weights / "attention" / f"{ATTENTION}.safetensors"
        if not reverser.is_file():
            train_reverser(seq2seq.resolve_config("reverse"), out=options.out / ATTENTION, file=reverser, commit=commit)
        for model, name in NETWORKS:
            file = options.weights / "vision" / f"{model}-{name}.safetensors"
            if not file.is_file():
                dataset = load_dataset(name, data_dir=options.data_dir)
                config, out = resolve_config(model, name), options.out / file.stem
                train_network(config, dataset, out=out, file=file, commit=commit)
    write_cards(options.weights)


def train_network(config: TrainConfig, dataset: Dataset, *, out: Path, file: Path, commit: str | None) -> None:
    """Trains one CNN, rounds it to float16, judges what is left on the test split, and writes it."""
    started = time.monotonic()
    fitted = fit(config, dataset, on_epoch=_tell(config.cell), checkpoint_dir=out)
    arrays = {name: array.astype(np.float16) for name, array in arrays_of(fitted.model).items()}
    rounded = filled(lambda: new_model(config, dataset.spec, rngs=nnx.Rngs(0)), arrays)
    test = evaluate(rounded, dataset.test, dataset.spec)
    description = {
        "kind": "vision",
        **dataclasses.asdict(config),
        "test": test.metrics,
        "test_size": len(dataset.test.labels),
        "num_params": fitted.num_params,
        "wall_seconds": round(time.monotonic() - started),
        "commit": commit,
    }
    save_weights(file, arrays, description)
    Console().print(
        f"{file.name}: {100 * test.metrics['accuracy']:.2f} % on the test split", highlight=False, soft_wrap=True
    )


def train_reverser(config: seq2seq.TrainConfig, *, out: Path, file: Path, commit: str | None) -> None:
    """Trains the model that reverses integers, judges it on sequences that it has never seen, and writes it."""
    started = time.monotonic()
    fitted = seq2seq.train(config, on_epoch=_tell(config.run), checkpoint_dir=out)
    vocabulary, test = fitted.trained.vocabulary, make_data(config).test
    assert isinstance(vocabulary, Symbols)
    assert test is not None
    judged = score(fitted.trained.model, test)
    description = {
        "kind": "attention",
        "config": dataclasses.asdict(config),
        "symbols": list(vocabulary.symbols),
        "test": {name: judged.metrics[name] for name in ("exact_match", "token_accuracy", "errors")},
        "test_size": len(judged.exact),
        "num_params": fitted.num_params,
        "wall_seconds": round(time.monotonic() - started),
        "commit": commit,
    }
    save_weights(file, arrays_of(fitted.trained.model), description)
    Console().print(f"{file.name}: {judged.summary}", highlight=False, soft_wrap=True)


def _tell(name: str) -> Any:
    def tell(record: Any) -> None:
        Console().print(
            f"{name}: epoch {record.epoch}, validation accuracy {100 * record.validation_accuracy:.2f} %, "
            f"{record.seconds:.0f} s",
            highlight=False,
            soft_wrap=True,
        )

    return tell


if __name__ == "__main__":
    run_cli(main)
