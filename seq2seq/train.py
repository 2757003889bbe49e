"""`python -m seq2seq.train`: trains a model on sequences or texts, and shows what it learnt and where it looks."""

import argparse
import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jax_models.command_line import Parser, not_negative, positive
from jax_models.errors import UsageError, run_cli
from jax_models.output import locked, prepare_folder
from jax_models.training.loop import EpochRecord
from seq2seq.attention import ATTENTIONS
from seq2seq.configuration import TASKS, TrainConfig, resolve_config
from seq2seq.data import make_data
from seq2seq.decoding import USUAL_BEAM, decode
from seq2seq.learning import FitResult, train
from seq2seq.machine import share_the_cores
from seq2seq.pairs import Texts, read_texts
from seq2seq.reporting import choose_examples, describe, show, write_run
from seq2seq.scoring import Score, score
from seq2seq.storage import TrainedModel, save_model
from seq2seq.tasks import INTEGER_TASKS
from seq2seq.text_scores import TextScore, sacrebleu_metrics

DESCRIPTION = """\
Trains an LSTM encoder-decoder with attention: to reverse, copy or sort sequences of integers, to write dates as ISO
8601 has them, or to turn your own texts into others. Integers and dates it draws on the fly; then it writes 10,000 that
it has never seen, symbol by symbol from its own output, and every error counts. Texts are scored by BLEU and chrF.
"""
EPILOG = f"""\
tasks:       {" ".join(TASKS)}
attention:   {" ".join(ATTENTIONS)}   (none: the decoder knows the source by its first state alone)

pairs are texts and what they shall become, such as sentences and translations: one file with a tab in every line, or
two files whose lines belong together, UTF-8, plain or .gz. The last pairs of the training file (one in ten, at most
1,000) decide when to stop; the validation file is read once, at the end. They need:  pip install -e '.[text]'

what lands in OUT:
  metrics.json               exact match, token accuracy, errors (or BLEU and chrF), times, configuration, history
  model.json, weights.npz    the model: python -m seq2seq.translate, or: from seq2seq import load_model, decode
  checkpoints/               the last two epochs and, for pairs, the best; a stopped run goes on: type the command again
  figures/                   loss and accuracy, attention, exact match by length
  outputs.txt                for pairs: what it made of the validation file

examples:
  python -m seq2seq.train                                       reverses 1 to 20 integers of 0 to 99
  python -m seq2seq.train --attention none --out out/blind      the same without attention
  python -m seq2seq.train --task dates
  python -m seq2seq.train --task pairs --train-file train.de train.en --valid-file val.de val.en
  python -m seq2seq.train --max-length 8 --vocabulary-size 10 --steps 300       a quick look
"""

# Options that only some tasks have a use for.
ONLY_FOR = {
    "min_length": tuple(INTEGER_TASKS),
    "vocabulary_size": (*INTEGER_TASKS, "pairs"),
    "steps": (*INTEGER_TASKS, "dates"),
    "epochs": ("pairs",),
    "beam_size": ("pairs",),
    "train_file": ("pairs",),
    "valid_file": ("pairs",),
}
RECIPE_OPTIONS = {"learning_rate": "peak_learning_rate", "dropout": "dropout"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, texts that cannot be used, a folder that cannot be written, or checkpoints there of
            another run.
        RunError: the training diverged, or something could not be written.
    """
    started = time.perf_counter()
    options = _parser().parse_args(arguments)
    config = _config(options)
    texts, unseen = (read_texts(files) if files else None for files in (options.train_file, options.valid_file))
    if config.task == "pairs":
        if texts is None or unseen is None:
            raise UsageError("pairs need --train-file and --valid-file, each one file with tabs or two aligned files")
        sacrebleu_metrics()
    share_the_cores()
    out = options.out or Path("out") / config.run.replace("/", "-")
    prepare_folder(out)
    console = Console()
    with locked(out):
        fitted = _train_visibly(config, texts=texts, checkpoint_dir=out / "checkpoints", console=console)
        save_model(fitted.trained, out)
        judged = judge(fitted.trained, unseen, beam_size=options.beam_size or USUAL_BEAM)
        examples = choose_examples(fitted.trained, judged)
        metrics = describe(fitted, judged, wall_seconds=time.perf_counter() - started)
        text = json.dumps(metrics, indent=1, allow_nan=False) + "\n"
        write_run(fitted, judged, examples=examples, out=out, metrics=text)
    show(fitted, judged, examples=examples, console=console)
    console.print(f"Written: {out}", highlight=False, soft_wrap=True)


def judge(trained: TrainedModel, unseen: Texts | None, *, beam_size: int = USUAL_BEAM) -> Score | TextScore:
    """The model's outputs for what it has not seen: held-out examples by greedy search, or texts by beam search.

    What of a text goes beyond the model's longest is cut off, and the reference stays whole.
    """
    if unseen is None:
        test = make_data(trained.config).test
        assert test is not None
        return score(trained.model, test)
    outputs = decode(trained, unseen.sources, beam_size=beam_size, cut=True)
    return TextScore(unseen.sources, unseen.targets, tuple(outputs), beam_size)


def _train_visibly(config: TrainConfig, *, texts: Texts | None, checkpoint_dir: Path, console: Console) -> FitResult:
    """`train` with a bar over all steps and one line per epoch."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bars = Progress(TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal)
    validated = "tokens" if config.task == "pairs" else "whole sequences"
    with bars:
        task = bars.add_task(f"{config.task}: compiling", total=None)

        def on_step(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, description=f"learning {config.task}")

        def on_epoch(record: EpochRecord) -> None:
            console.print(
                f"epoch {record.epoch:2}: loss {record.train_loss:.4f}, tokens {100 * record.train_accuracy:6.2f} %; "
                f"validation: loss {record.validation_loss:.4f}, "
                f"{validated} {100 * record.validation_accuracy:6.2f} %; {record.seconds:.1f} s",
                highlight=False,
                soft_wrap=True,
            )

        return train(config, texts=texts, on_epoch=on_epoch, on_step=on_step, checkpoint_dir=checkpoint_dir)


def _config(options: argparse.Namespace) -> TrainConfig:
    given = {name: value for name, value in vars(options).items() if value is not None}
    task = given.pop("task", "reverse")
    for name, tasks in ONLY_FOR.items():
        if name in given and task in TASKS and task not in tasks:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is for the tasks {', '.join(tasks)}; {task} has no use for it")
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    changes = {name: value for name, value in given.items() if name in fields}
    recipe = {key: given[name] for name, key in RECIPE_OPTIONS.items() if name in given}
    if "teacher_forcing" in changes:
        changes["teacher_forcing"] = tuple(changes["teacher_forcing"])
    return resolve_config(task, recipe=recipe, **changes)


def _parser() -> Parser:
    parser = Parser(prog="python -m seq2seq.train", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--task", metavar="NAME", help="one of the tasks below (default: reverse)")
    add("--attention", metavar="NAME", help="one of the mechanisms below (default: additive)")
    add("--seed", type=not_negative, metavar="N", help="initial weights and training data (default: 0)")
    for name, what in (
        ("steps", "training steps"),
        ("epochs", "passes over the pairs, at most"),
        ("batch_size", "examples per step"),
        ("hidden_size", "of the LSTMs"),
        ("embedding_size", "of a symbol's vector"),
        ("attention_size", "of the attention's inner layer"),
        ("min_length", "shortest sequences"),
        ("max_length", "longest sequences, in symbols"),
        ("vocabulary_size", "how many integers, or subwords"),
    ):
        add(f"--{name.replace('_', '-')}", type=positive, metavar="N", help=f"{what} ({_usual(name)})")
    add("--learning-rate", type=_positive_number, metavar="X", help="peak of the schedule")
    add("--dropout", type=_share, metavar="X", help="share of features dropped between layers")
    add(
        "--teacher-forcing",
        type=float,
        nargs=2,
        metavar=("FIRST", "LAST"),
        help="probability that the decoder reads the true token, at the first step and the last (default: 1 1)",
    )
    add(
        "--one-direction",
        dest="bidirectional",
        action="store_false",
        default=None,
        help="an encoder that reads from left to right only",
    )
    add("--train-file", type=Path, nargs="+", metavar="FILE", help="pairs to learn from: one file with tabs, or two")
    add("--valid-file", type=Path, nargs="+", metavar="FILE", help="pairs to be judged by, likewise")
    add("--beam-size", type=positive, metavar="N", help=f"of the search for the judged texts (default: {USUAL_BEAM})")
    add("--out", type=Path, metavar="DIR", help="folder for what it writes (default: out/RUN)")
    return parser


def _usual(name: str) -> str:
    """Each task's default, for example "integers 20, dates 40, pairs 50"."""
    tasks = {"integers": "reverse", "dates": "dates", "pairs": "pairs"}
    values = {
        kind: getattr(resolve_config(task), name) for kind, task in tasks.items() if task in ONLY_FOR.get(name, TASKS)
    }
    return ", ".join(f"{kind} {value}" for kind, value in values.items())


def _number(allowed: str, is_allowed: Callable[[float], bool]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            if is_allowed(number := float(text)):
                return number
        raise argparse.ArgumentTypeError(f"{text!r} is not {allowed}")

    return parse


_positive_number = _number("a positive number", lambda number: 0 < number < float("inf"))
_share = _number("a number from 0 to less than 1", lambda number: 0 <= number < 1)


if __name__ == "__main__":
    run_cli(main)
