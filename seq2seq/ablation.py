"""`python -m seq2seq.ablation`: what attention is good for, and how far beyond its training each kind reaches."""

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jax_models.checks import check_choice
from jax_models.command_line import Parser, positive
from jax_models.compilation import use_compilation_cache
from jax_models.errors import RunError, UsageError, run_cli
from jax_models.output import locked, prepare_folder, write_bytes, write_text
from seq2seq import plots
from seq2seq.attention import ATTENTIONS
from seq2seq.configuration import TrainConfig, resolve_config
from seq2seq.learning import train
from seq2seq.lengths import errors_by_length, sources_of_length
from seq2seq.machine import share_the_cores, surroundings
from seq2seq.reach import Reach, Run, markdown_table, percent, rich_table, summarise
from seq2seq.storage import load_model, save_model
from seq2seq.tasks import INTEGER_TASKS

LONGER = (*range(21, 31), 35, 40, 50, 60, 70, 80, 90, 100, 200, 500)
PER_LENGTH = 500
RUN = "run.json"
RECIPE = {"dropout": 0.0}  # attention is compared, not regularisation

DESCRIPTION = """\
Trains the encoder-decoder without attention and with each kind of it, and lets every model write sequences that it has
never seen, up to 25 times as long as those of its training. One number counts: the share of outputs without an error.
"""
EPILOG = f"""\
attention:   {" ".join(ATTENTIONS)}
tasks:       {" ".join(INTEGER_TASKS)}

what lands in OUT:
  ablation.png     exact match by length: the mean over seeds, and a band from the worst to the best
  table.md         the same for some lengths, with parameters and training time
  ablation.json    errors and n of each attention, seed and length; seconds, parameters, configuration, versions, device
  runs/            the models (from seq2seq import load_model) with their checkpoints

Every length of the training is judged, and longer ones. Outputs are decoded greedily, each from the model's own tokens,
and the end mark must be right, too. All models get the same sequences, which training never draws; except those of
length 1, which are so few that all of them are for training.

A finished model is not trained again: stop the command when you like and type it again to go on.

examples:
  python -m seq2seq.ablation                                     12 models; a quarter of an hour on two CPU cores
  python -m seq2seq.ablation --seeds 5                           five seeds: trains those that are missing
  python -m seq2seq.ablation --task copy --out out/ablation-copy
  python -m seq2seq.ablation --seeds 1 --max-length 8 --vocabulary-size 10 --steps 400 --lengths 9 10 12 16 32
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, or a folder that cannot be written.
        RunError: a training diverged, a file of an earlier run is damaged, or something could not be written.
    """
    options = _parser().parse_args(arguments)
    wanted = plan(options)
    share_the_cores()
    use_compilation_cache()
    prepare_folder(options.out)
    console = Console()
    with locked(options.out):
        runs = sweep(wanted, longer=options.lengths, per_length=options.per_length, out=options.out, console=console)
        reaches = summarise(runs)
        write_report(reaches, runs, out=options.out)
    console.print(rich_table(reaches, runs))
    console.print(f"Written: {options.out}", highlight=False, soft_wrap=True)


def plan(options: argparse.Namespace) -> list[TrainConfig]:
    """What to train, in order: every attention with one seed before the next seed.

    Raises:
        UsageError: an unknown task, or a number out of its range.
    """
    check_choice("task", options.task, INTEGER_TASKS)
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    given = {name: value for name, value in vars(options).items() if name in names and value is not None}
    seeds = range(options.seeds)
    usual = resolve_config(**given, recipe=RECIPE)
    for length in lengths_of(usual, options.lengths):
        if not len(sources_of_length(length, options.per_length, num_symbols=usual.vocabulary_size)):
            raise UsageError(
                f"of {usual.vocabulary_size} symbols no sequence of length {length} is held out; "
                "raise the vocabulary size"
            )
    return [dataclasses.replace(usual, attention=attention, seed=seed) for seed in seeds for attention in ATTENTIONS]


def sweep(
    wanted: Sequence[TrainConfig], *, longer: Sequence[int], per_length: int, out: Path, console: Console
) -> list[Run]:
    """Trains and judges what is not finished yet, one model after the other."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    total, runs = sum(config.steps for config in wanted), []
    with Progress(TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task("", total=total)
        for number, config in enumerate(wanted):
            start = number * config.steps

            def on_step(done: int, calls: int, start: int = start, steps: int = config.steps) -> None:
                bars.update(bar, completed=start + steps * done // calls)

            bars.update(bar, completed=start, description=f"{config.attention}, seed {config.seed}")
            folder = out / "runs" / config.run.replace("/", "-")
            run = run_once(config, longer=longer, per_length=per_length, folder=folder, on_step=on_step)
            console.print(in_a_line(run), highlight=False, soft_wrap=True)
            runs.append(run)
        bars.update(bar, completed=total)
    return runs


def run_once(
    config: TrainConfig,
    *,
    longer: Sequence[int],
    per_length: int,
    folder: Path,
    on_step: Callable[[int, int], None] | None = None,
) -> Run:
    """The run that the folder holds; what it lacks of training and of judged lengths is made up for and kept there."""
    run = read_run(folder)
    if run is None:
        fitted = train(config, checkpoint_dir=folder / "checkpoints", on_step=on_step)
        save_model(fitted.trained, folder)
        run = Run(
            config=config,
            num_params=fitted.num_params,
            train_seconds=fitted.train_seconds,
            compile_seconds=fitted.compile_seconds,
            surroundings=surroundings(),
            per_length=per_length,
            errors={},
        )
        write_run(run, folder)
    lengths = lengths_of(config, longer)
    if (run.per_length, list(run.errors)) != (per_length, lengths):
        errors = dict(errors_by_length(load_model(folder), lengths, per_length=per_length))
        run = dataclasses.replace(run, per_length=per_length, errors=errors)
        write_run(run, folder)
    return run


def lengths_of(config: TrainConfig, longer: Sequence[int]) -> list[int]:
    """The lengths to judge: those of the training, and longer ones."""
    return sorted({*range(config.min_length, config.max_length + 1), *longer})


def read_run(folder: Path) -> Run | None:
    """The run that the folder holds, if its training is finished.

    Raises:
        RunError: the file is damaged.
    """
    if not (folder / RUN).exists():
        return None
    try:
        fields = json.loads((folder / RUN).read_text())
        errors = {int(length): (wrong, judged) for length, (wrong, judged) in fields.pop("errors").items()}
        return Run(**fields | {"config": TrainConfig.from_fields(fields["config"]), "errors": errors})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / RUN} is damaged ({error}); move {folder} away and type the command again") from error


def write_run(run: Run, folder: Path) -> None:
    """Raises: RunError, if it cannot be written."""
    write_text(folder / RUN, json.dumps(dataclasses.asdict(run), indent=1) + "\n")


def write_report(reaches: Sequence[Reach], runs: Sequence[Run], *, out: Path) -> None:
    """Figure, table and numbers.

    Raises:
        RunError: one cannot be written.
    """
    numbers = {
        "reaches": [dataclasses.asdict(reach) for reach in reaches],
        "runs": [dataclasses.asdict(run) for run in runs],
    }
    write_text(out / "ablation.json", json.dumps(numbers, indent=1) + "\n")
    write_text(out / "table.md", markdown_table(reaches, runs))
    config = runs[0].config
    curves = {reach.attention: {n: spread.in_percent() for n, spread in reach.by_length.items()} for reach in reaches}
    title = f"Can it {config.task} sequences longer than all it was trained on?"
    figure = plots.draw_reach(curves, trained=(config.min_length, config.max_length), title=title)
    write_bytes(out / "ablation.png", figure)


def in_a_line(run: Run) -> str:
    """For example "location, seed 0: exact match 100 % at length 20, 100 % at 500; 35 s of training"."""
    shares = run.exact_match()
    at = ", ".join(f"{percent(shares[length])} % at {length}" for length in (run.config.max_length, max(shares)))
    return f"{run.config.attention}, seed {run.config.seed}: exact match {at}; {run.train_seconds:.0f} s of training"


def _parser() -> Parser:
    usual = TrainConfig()
    parser = Parser(prog="python -m seq2seq.ablation", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--task", default=usual.task, metavar="NAME", help=f"one of the tasks below (default: {usual.task})")
    add("--seeds", type=positive, default=3, metavar="N", help="models of each kind: seeds 0 to N-1 (default: 3)")
    add("--steps", type=positive, metavar="N", help=f"training steps (default: {usual.steps:,})")
    add("--batch-size", type=positive, metavar="N", help=f"sequences per step (default: {usual.batch_size})")
    add("--hidden-size", type=positive, metavar="N", help=f"of the LSTMs (default: {usual.hidden_size})")
    add(
        "--max-length",
        type=positive,
        metavar="N",
        help=f"longest sequences of the training (default: {usual.max_length})",
    )
    add("--vocabulary-size", type=positive, metavar="N", help=f"integers (default: {usual.vocabulary_size})")
    add(
        "--lengths",
        type=positive,
        nargs="+",
        default=LONGER,
        metavar="N",
        help="longer ones to judge (default: 21 to 500)",
    )
    add("--per-length", type=positive, default=PER_LENGTH, metavar="N", help=f"sequences (default: {PER_LENGTH})")
    add(
        "--out",
        type=Path,
        default=Path("out/ablation"),
        metavar="DIR",
        help="folder for all of it (default: out/ablation)",
    )
    return parser


if __name__ == "__main__":
    run_cli(main)
