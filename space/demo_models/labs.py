"""`python -m space.demo_models.labs`: trains the attention lab's model and exports its weights."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import seq2seq
from jax_models.command_line import Parser
from jax_models.errors import run_cli
from jax_models.output import locked, prepare_folder
from jax_models.weight_files import arrays_of, save_weights
from seq2seq.data import make_data
from seq2seq.scoring import score
from seq2seq.vocabulary import Symbols
from space.demo_models import provenance
from space.demo_models.lab_cards import write_card
from space.folders import WEIGHTS

DESCRIPTION = """\
Trains the attention lab's model by the usual recipe and seed 0, if it is missing, and writes it as one safetensors file
with its scores in the metadata, and a model card. The vision lab shows the zoo (python -m benchmarks.zoo).
"""
EPILOG = """\
A run that was stopped goes on where it was: type the same command again.
"""

ATTENTION = "reverse-additive"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, a folder that cannot be written.
        RunError: the training diverged.
    """
    parser = Parser(prog="python -m space.demo_models.labs", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
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
    write_card(options.weights / "attention")


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
