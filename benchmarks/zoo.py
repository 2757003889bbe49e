"""`python -m benchmarks.zoo OUT`: makes the zoo that comes with the package out of a sweep's weights."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.report.groups import Group
from benchmarks.report.summary import summarise
from benchmarks.results import read_rows
from benchmarks.run_files import load_classifier
from jax_models.command_line import Parser
from jax_models.compilation import use_compilation_cache
from jax_models.data import DATASETS, Split, load_dataset
from jax_models.errors import UsageError, run_cli
from jax_models.evaluation import evaluate, wilson_interval
from jax_models.pretrained import Preprocessing, PretrainedModel
from jax_models.pretrained.model import digest_of
from jax_models.recipes import TrainConfig
from jax_models.weight_files import arrays_of

DESCRIPTION = """\
Takes the weights of the lowest seed of every family on every data set, rounds them to float16, judges what is left on
the whole test split, and writes a folder of each: weights, configuration with the scores, model card. They are what
from_pretrained("cifar10/resnet18-quick") loads.
"""
EPILOG = """\
examples:
  python -m benchmarks.compare --preset quick --seeds 5 --out results/quick
  python -m benchmarks.zoo results/quick
  python -m benchmarks.zoo results/quick --to jax_models/pretrained/zoo      the one that the package ships

The folder must hold the sweep's weights, which those in benchmarks/results do not.
"""
DTYPE = "float16"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, no finished cell there, networks that were made for ImageNet, or a folder that
            cannot be written.
        RunError: weights or predictions are missing or damaged, or the data cannot be had.
    """
    parser = Parser(prog="python -m benchmarks.zoo", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("out", metavar="OUT", type=Path, help="a folder that `python -m benchmarks.compare` wrote")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where the networks go (default: OUT/zoo)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="TFDS data directory, as for benchmarks.compare")
    options = parser.parse_args(arguments)
    rows = read_rows(options.out)
    if not rows:
        raise UsageError(f"no finished cell in {options.out}: give a folder that benchmarks.compare wrote")
    rows = [row for row in rows if "variant" not in row]
    if not rows:
        raise UsageError(f"{options.out} is of --init imagenet: a zoo holds the families' own networks")
    zoo = options.to or options.out / "zoo"
    use_compilation_cache()
    table = Table(box=box.SIMPLE_HEAD, title="Test accuracy in %", title_justify="left")
    table.add_column("network", no_wrap=True)
    for head in ("of the run", f"as {DTYPE}", "changed images"):
        table.add_column(head, justify="right")
    for sweep in summarise(rows, options.out).sweeps:
        for dataset in sweep.datasets:
            test = load_dataset(dataset, data_dir=options.data_dir).test
            for group in (group for group in sweep.groups if group.dataset == dataset):
                table.add_row(*_write(group, test, out=options.out, zoo=zoo))
    console = Console()
    console.print(table)
    console.print(f"Written: {zoo}", soft_wrap=True)


def _write(group: Group, test: Split, *, out: Path, zoo: Path) -> tuple[str, ...]:
    """Writes one network of the zoo; returns its line of the table."""
    row, spec = group.rows[0], DATASETS[group.dataset]
    config = TrainConfig.from_fields(row)
    exact = PretrainedModel(
        name=f"{group.dataset}/{group.model}-{group.preset}",
        family=group.model,
        architecture=config.architecture,
        model=load_classifier(out, row),
        classes=spec.classes,
        preprocessing=Preprocessing.of_dataset(spec),
    )
    before, after = (evaluate(network.model, test, spec) for network in (exact, exact.rounded(DTYPE)))
    rounded = exact.rounded(DTYPE)
    about = _about(group, after.metrics, n=len(test.labels)) | {"weights": digest_of(arrays_of(rounded.model))}
    network = dataclasses.replace(rounded, about=about)
    network.save_pretrained(zoo / exact.name, dtype=DTYPE)
    changed = (before.probabilities.argmax(-1) != after.probabilities.argmax(-1)).sum()
    return exact.name, *(f"{100 * one.metrics['accuracy']:.2f}" for one in (before, after)), str(changed)


def _about(group: Group, scores: dict[str, float], *, n: int) -> dict[str, Any]:
    row = group.rows[0]
    kept = ("cell", "seed", "epochs", "batch_size", "recipe", "commit", "versions", "device", "finished")
    return {
        "dataset": group.dataset,
        "preset": group.preset,
        "test": {"n": n, **scores, "interval": wilson_interval(scores["accuracy"], n)},
        "study": {"seeds": group.n, "mean": group.accuracy, "interval": group.interval},
        "run": {**{name: row[name] for name in kept}, "test": row["test"], "sha256": row["weights"]["sha256"]},
    }


if __name__ == "__main__":
    run_cli(main)
