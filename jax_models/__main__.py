"""`python -m jax_models`: trains one model on one data set, epoch by epoch, and can be stopped at any time."""

import argparse
import contextlib
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from jax_models.classification import FitResult, fit
from jax_models.command_line import Parser, not_negative, positive
from jax_models.data import Dataset, list_datasets, load_dataset
from jax_models.errors import RunError, UsageError, run_cli
from jax_models.evaluation import Evaluation, evaluate
from jax_models.output import locked, prepare_folder, write_text
from jax_models.recipes import PRESETS, TrainConfig, resolve_config
from jax_models.registry import MODELS, list_models
from jax_models.training.distributed import OPTIONS, Cluster, join, together
from jax_models.training.loop import EpochRecord

DESCRIPTION = """\
Trains one of the seven CNN families on one data set. After every epoch it is judged on the validation split and saved;
the test split is opened once, at the end.
"""
EPILOG = f"""\
models:     {" ".join(list_models())}
data sets:  {" ".join(list_datasets())}

what lands in OUT:
  checkpoints/   the last two epochs; a stopped run goes on from there, on a CPU to the same weights bit for bit: type
                 the same command again
  result.json    configuration, history, and the scores on validation and test, with per-class scores and confusions

examples:
  python -m jax_models --model resnet18 --dataset cifar10
  python -m jax_models --model lenet5 --dataset mnist --epochs 1 --out out/try
  python -m jax_models --model vgg16 --dataset cifar10 --preset full --seed 3      the paper's width; wants a GPU
  srun python -m jax_models --model vgg16 --dataset cifar10 --distributed          one run on all devices of a cluster

All families on all data sets, side by side: python -m benchmarks.compare --help
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, a folder that cannot be written, checkpoints there of another run, no cluster.
        RunError: the data cannot be had, JAX does not start, the training diverged, or another process failed.
    """
    options = _parser().parse_args(arguments)
    config = _config(options)  # names and numbers are checked before the device is asked for
    cluster = Cluster(options.coordinator, options.num_processes, options.process_id)
    if options.distributed:
        join(cluster)
    elif cluster.named:
        raise UsageError(f"{OPTIONS} are for --distributed; add it, or leave them out")
    if not _on_cpu():
        config = _config(options, preset="full")
    out = options.out or Path("out") / config.cell.replace("/", "-")
    with contextlib.ExitStack() as held:
        with together():
            prepare_folder(out)
            if jax.process_index() == 0:
                held.enter_context(locked(out))
            dataset = load_dataset(config.dataset, data_dir=options.data_dir, progress=jax.process_index() == 0)
        _train(config, dataset, out=out)


def _config(options: argparse.Namespace, *, preset: str = "quick") -> TrainConfig:
    """The request as a configuration, of this preset unless the user has chosen another."""
    lengths = {name: getattr(options, name) for name in ("seed", "epochs", "batch_size")}
    return resolve_config(options.model, options.dataset, preset=options.preset or preset, **lengths)


def _on_cpu() -> bool:
    try:
        return jax.default_backend() == "cpu"
    except Exception as error:  # by platform a RuntimeError, an AssertionError without words, or others
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"JAX does not start: {reason} (JAX_PLATFORMS=cpu chooses the CPU)") from error


def _train(config: TrainConfig, dataset: Dataset, *, out: Path) -> None:
    """All processes compute all of it, the sums over the others' devices included; the first one tells and writes."""
    first = jax.process_index() == 0
    console = Console(quiet=not first)
    fitted = _fit_visibly(config, dataset, checkpoint_dir=out / "checkpoints", console=console)
    validation = evaluate(fitted.model, dataset.validation, dataset.spec)
    test = evaluate(fitted.model, dataset.test, dataset.spec)
    if not first:
        return
    result = describe(config, fitted, validation=validation, test=test)
    write_text(out / "result.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
    console.print(_table(config, dataset, {"validation": validation, "test": test}))
    console.print(f"{fitted.num_params:,} parameters, {fitted.train_seconds:.0f} s of training", highlight=False)
    console.print(f"Written: {out / 'result.json'}", highlight=False, soft_wrap=True)


def describe(config: TrainConfig, fitted: FitResult, *, validation: Evaluation, test: Evaluation) -> dict[str, Any]:
    """What `result.json` holds: fractions, seconds, losses in nats; null where a resumed run measured nothing."""
    costs = ("num_params", "train_seconds", "compile_seconds", "step_ms", "images_per_second")
    measured = {name: getattr(fitted, name) for name in costs}
    return {
        "cell": config.cell,
        **config.to_fields(),
        **{name: value if math.isfinite(value) else None for name, value in measured.items()},
        "validation": validation.metrics,
        "test": test.metrics,
        "per_class": test.per_class,
        "confusion_matrix": test.confusion_matrix,
        "history": [dataclasses.asdict(record) for record in fitted.history],
    }


def _fit_visibly(config: TrainConfig, dataset: Dataset, *, checkpoint_dir: Path, console: Console) -> FitResult:
    """`fit` with a bar over all steps and one line per epoch."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bars = Progress(TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal)
    with bars:
        name = f"{MODELS[config.model].title} on {dataset.spec.title}"
        task = bars.add_task(f"{name}: compiling", total=None)

        def on_step(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, description=name)

        def on_epoch(record: EpochRecord) -> None:
            console.print(
                f"epoch {record.epoch}/{config.epochs}: train loss {record.train_loss:.4f}, "
                f"validation loss {record.validation_loss:.4f}, accuracy {100 * record.validation_accuracy:.2f} %, "
                f"{record.seconds:.1f} s",
                highlight=False,
                soft_wrap=True,
            )

        return fit(config, dataset, on_epoch=on_epoch, on_step=on_step, checkpoint_dir=checkpoint_dir)


def _table(config: TrainConfig, dataset: Dataset, evaluations: dict[str, Evaluation]) -> Table:
    title = f"{MODELS[config.model].title} on {dataset.spec.title}, {config.preset}, seed {config.seed}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("split")
    names = list(next(iter(evaluations.values())).metrics)
    for name in names:
        table.add_column(name if name == "loss" else f"{name} %", justify="right")
    for split, evaluation in evaluations.items():
        scores = [evaluation.metrics[name] for name in names]
        table.add_row(
            split, *(f"{s:.4f}" if n == "loss" else f"{100 * s:.2f}" for n, s in zip(names, scores, strict=True))
        )
    return table


def _parser() -> Parser:
    parser = Parser(prog="python -m jax_models", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--model", required=True, metavar="NAME", help="one of the families below")
    add("--dataset", required=True, metavar="NAME", help="one of the data sets below")
    add(
        "--preset",
        choices=PRESETS,
        help="quick: a small version for a CPU; full: the paper's width (default by device)",
    )
    add(
        "--seed", type=not_negative, default=0, metavar="N", help="initial weights, order and augmentation (default: 0)"
    )
    add("--epochs", type=positive, metavar="N", help="passes over the training images (default: the recipe's)")
    add("--batch-size", type=positive, metavar="N", help="images per step, over all devices (default: the recipe's)")
    add("--out", type=Path, metavar="DIR", help="folder for checkpoints and result (default: out/CELL)")
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="TFDS data directory (default: TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
    add(
        "--distributed",
        action="store_true",
        help="one run over several processes: type the same command in each, with an --out that all of them share",
    )
    add("--coordinator", metavar="HOST:PORT", help="address of process 0 (default: as Slurm, Open MPI or the TPU says)")
    add("--num-processes", type=positive, metavar="N", help="how many there are (default: likewise)")
    add("--process-id", type=not_negative, metavar="I", help="which of them this is, from 0 (default: likewise)")
    return parser


if __name__ == "__main__":
    run_cli(main)
