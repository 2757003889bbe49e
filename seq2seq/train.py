"""`python -m seq2seq.train`: trains a model on sequences of integers, and shows what it learnt and where it looks."""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jax_models.command_line import Parser, not_negative, positive
from jax_models.errors import run_cli
from jax_models.output import locked, prepare_folder, write_text
from jax_models.training.loop import EpochRecord
from seq2seq import plots
from seq2seq.attention import ATTENTIONS
from seq2seq.configuration import TrainConfig
from seq2seq.decoding import align
from seq2seq.learning import FitResult, train
from seq2seq.scoring import Score, score
from seq2seq.storage import TrainedModel, save_model
from seq2seq.tasks import TASKS, TEST, held_out_sources, with_targets

TEST_SIZE = 10_000
MOST_CORES = 8  # more share a batch of 256 too thinly
EXAMPLE_LENGTHS = (4, 7, 10)  # of the sequences that are shown; longer ones do not fit a line or a figure

DESCRIPTION = """\
Trains an LSTM encoder-decoder with attention to reverse, copy or sort sequences of integers, which it draws on the fly.
Then it writes 10,000 sequences that it has never seen, token by token from its own output, and every error counts.
"""
EPILOG = f"""\
tasks:       {" ".join(TASKS)}
attention:   {" ".join(ATTENTIONS)}   (none: the decoder knows the source by its first state alone)

what lands in OUT:
  metrics.json               exact match, token accuracy, errors, times, configuration, history
  model.json, weights.npz    the model: from seq2seq import load_model, decode
  checkpoints/               the last two epochs; a stopped run goes on from there: type the same command again
  figures/                   loss and accuracy, attention, exact match by length

examples:
  python -m seq2seq.train                                       reverses 1 to 20 integers of 0 to 99
  python -m seq2seq.train --attention none --out out/blind      the same without attention
  python -m seq2seq.train --task sort --seed 3
  python -m seq2seq.train --max-length 8 --vocabulary-size 10 --steps 300       a quick look
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, a folder that cannot be written, or checkpoints there of another run.
        RunError: the training diverged, or something could not be written.
    """
    started = time.perf_counter()
    options = _parser().parse_args(arguments)
    config = _config(options)
    share_the_cores()
    out = options.out or Path("out") / config.run.replace("/", "-")
    prepare_folder(out)
    console = Console()
    with locked(out):
        fitted = _train_visibly(config, checkpoint_dir=out / "checkpoints", console=console)
        save_model(fitted.trained, out)
        judged = score(fitted.trained.model, test_examples(config))
        examples = choose_examples(fitted.trained, judged)
        draw(fitted, judged, examples=examples, folder=out / "figures")
        metrics = describe(fitted, judged, wall_seconds=time.perf_counter() - started)
        write_text(out / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False) + "\n")
    _show(fitted, judged, examples=examples, console=console)
    console.print(f"Written: {out}", highlight=False, soft_wrap=True)


def share_the_cores() -> None:
    """Makes every core of a CPU a device of its own, which takes its share of each batch.

    A step of an LSTM is too small for XLA to spread over cores: on two of them, two devices take 91 ms for a step and
    one takes 114. On accelerators, and where the number of devices is set already, nothing changes.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):  # JAX runs already: it keeps the devices that it has
            jax.config.update("jax_num_cpu_devices", min(cores, MOST_CORES))


Example = tuple[list[Any], list[Any], np.ndarray]
"""A source, what the model wrote, and a row of attention weights over the source for each symbol written."""


def test_examples(config: TrainConfig) -> Any:
    """The held-out sequences that the model is judged on: `TEST_SIZE` or a few more, the same for every seed."""
    return with_targets(config.task, held_out_sources(TEST, TEST_SIZE, **config.ranges))


def choose_examples(trained: TrainedModel, judged: Score) -> list[Example]:
    """The first test sequence of some readable lengths, with what the model wrote and where it looked."""
    lengths = (judged.source != 0).sum(1)
    wanted = [length for length in EXAMPLE_LENGTHS if (lengths == length).any()] or [int(lengths.max())]
    sources = [trained.vocabulary.decode(judged.source[np.argmax(lengths == length)]) for length in wanted]
    return [(source, *align(trained, source)) for source in sources]


def draw(fitted: FitResult, judged: Score, *, examples: Sequence[Example], folder: Path) -> None:
    """Writes the figures of a run."""
    folder.mkdir(exist_ok=True)
    config = fitted.trained.config
    name = f"{config.task}, attention {config.attention}, seed {config.seed}"
    (folder / "curves.png").write_bytes(plots.draw_curves(fitted.history, title=f"Learning to {name}"))
    (folder / "lengths.png").write_bytes(plots.draw_lengths(judged.by_length(), title=f"Unseen sequences: {name}"))
    if config.attention != "none":
        words = [([*map(str, source)], [*map(str, output)], weights) for source, output, weights in examples]
        (folder / "attention.png").write_bytes(plots.draw_attention(words, title=f"Where it looks: {name}"))


def describe(fitted: FitResult, judged: Score, *, wall_seconds: float) -> dict[str, Any]:
    """What `metrics.json` holds: fractions, seconds, losses in nats per token."""
    config = fitted.trained.config
    packages = ("jax", "flax", "optax", "numpy")
    return {
        "run": config.run,
        "exact_match": judged.exact_match,
        "token_accuracy": judged.token_accuracy,
        "loss": judged.loss,
        "errors": judged.errors,
        "test_size": len(judged.exact),
        "exact_match_by_length": {str(length): value for length, value in judged.by_length().items()},
        "train_seconds": fitted.train_seconds,
        "compile_seconds": fitted.compile_seconds,
        "wall_seconds": wall_seconds,
        "params": fitted.num_params,
        "config": dataclasses.asdict(config),
        "history": [dataclasses.asdict(record) for record in fitted.history],
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
        "device": {"kind": jax.local_devices()[0].device_kind, "count": jax.local_device_count()},
    }


def _train_visibly(config: TrainConfig, *, checkpoint_dir: Path, console: Console) -> FitResult:
    """`train` with a bar over all steps and one line per epoch."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bars = Progress(TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal)
    name = f"learning to {config.task}"
    with bars:
        task = bars.add_task(f"{name}: compiling", total=None)

        def on_step(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, description=name)

        def on_epoch(record: EpochRecord) -> None:
            console.print(
                f"epoch {record.epoch:2}: loss {record.train_loss:.4f}, tokens {100 * record.train_accuracy:6.2f} %, "
                f"validation: whole sequences {100 * record.validation_accuracy:6.2f} %, {record.seconds:.1f} s",
                highlight=False,
                soft_wrap=True,
            )

        return train(config, on_epoch=on_epoch, on_step=on_step, checkpoint_dir=checkpoint_dir)


def _show(fitted: FitResult, judged: Score, *, examples: Sequence[Example], console: Console) -> None:
    for source, output, weights in examples:
        console.print(f"\n  source {_line(source)}\n  output {_line(output)}", highlight=False, soft_wrap=True)
        if fitted.trained.config.attention != "none" and len(output):
            places = [f"{int(row.argmax()) + 1}" for row in weights]
            console.print(
                f"  looks at {' '.join(places)} of {len(source)}", highlight=False, style="dim", soft_wrap=True
            )
    errors = "no error" if judged.errors == 0 else f"{judged.errors:,} with an error"
    console.print(
        f"\n{len(judged.exact):,} unseen sequences: {errors}; exact match {100 * judged.exact_match:.2f} %, "
        f"tokens {100 * judged.token_accuracy:.2f} %; {fitted.num_params:,} parameters, "
        f"{fitted.train_seconds:.0f} s of training",
        highlight=False,
        soft_wrap=True,
    )


def _line(symbols: Sequence[Any]) -> str:
    return " ".join(f"{symbol!s:>2}" for symbol in symbols)


def _config(options: argparse.Namespace) -> TrainConfig:
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    given = {name: value for name, value in vars(options).items() if name in names and value is not None}
    if options.teacher_forcing:
        given["teacher_forcing"] = tuple(options.teacher_forcing)
    config = TrainConfig(**given)
    if options.learning_rate is None:
        return config
    recipe = dataclasses.replace(config.recipe, peak_learning_rate=options.learning_rate)
    return dataclasses.replace(config, recipe=recipe)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return rate


def _parser() -> Parser:
    usual = TrainConfig()
    parser = Parser(prog="python -m seq2seq.train", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--task", metavar="NAME", help=f"one of the tasks below (default: {usual.task})")
    add("--attention", metavar="NAME", help=f"one of the mechanisms below (default: {usual.attention})")
    add("--seed", type=not_negative, metavar="N", help="initial weights and training data (default: 0)")
    add("--steps", type=positive, metavar="N", help=f"training steps (default: {usual.steps:,})")
    add("--batch-size", type=positive, metavar="N", help=f"sequences per step (default: {usual.batch_size})")
    add("--hidden-size", type=positive, metavar="N", help=f"of the LSTMs (default: {usual.hidden_size})")
    add("--learning-rate", type=_rate, metavar="X", help=f"peak (default: {usual.recipe.peak_learning_rate})")
    add("--min-length", type=positive, metavar="N", help=f"shortest sequences (default: {usual.min_length})")
    add("--max-length", type=positive, metavar="N", help=f"longest sequences (default: {usual.max_length})")
    add("--vocabulary-size", type=positive, metavar="N", help=f"integers (default: {usual.vocabulary_size})")
    add(
        "--teacher-forcing",
        type=float,
        nargs=2,
        metavar=("FROM", "TO"),
        help="how often the decoder reads the true token, at the first step and the last (default: 1 1)",
    )
    add(
        "--one-direction",
        dest="bidirectional",
        action="store_false",
        default=None,
        help="an encoder that reads from left to right only",
    )
    add("--out", type=Path, metavar="DIR", help="folder for what it writes (default: out/RUN)")
    return parser


if __name__ == "__main__":
    run_cli(main)
