"""What the command lines of the two adapters share."""

import argparse
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from jax_models.command_line import Parser, not_negative, positive
from space.demo_models.training import Plan, Progress


@dataclass(frozen=True, kw_only=True)
class AdapterPlan(Plan):
    """The same of an adapter, with the `rank` of its matrices."""

    rank: int
    warmup: float = 0.06
    cooldown: float = 0.94


def add_plan_options(parser: Parser, plan: AdapterPlan, *, out: Path) -> None:
    """--data, --out and the parts of a plan that a user may want to change."""
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder with the source files")
    add("--out", type=Path, default=out, metavar="DIR", help=f"folder for what it writes (default: {out})")
    add("--steps", type=positive, metavar="N", help=f"batches to learn from (default: {plan.steps})")
    add("--batch-size", type=positive, metavar="N", help=f"examples per step (default: {plan.batch_size})")
    add("--rank", type=positive, metavar="N", help=f"of the adapter's matrices (default: {plan.rank})")
    add("--learning-rate", type=_rate, metavar="X", help=f"highest (default: {plan.learning_rate})")
    add(
        "--seed",
        type=not_negative,
        metavar="N",
        help=f"of the head's first weights and of every draw (default: {plan.seed})",
    )


def plan_of(options: argparse.Namespace, plan: AdapterPlan) -> AdapterPlan:
    """The plan with the options that were given."""
    names = {field.name for field in dataclasses.fields(plan)}
    given = {name: value for name, value in vars(options).items() if name in names and value is not None}
    return dataclasses.replace(plan, **given)


def show_progress(progress: Progress) -> None:
    """One line for every checkpoint."""
    say(f"{time.strftime('%H:%M:%S')}  step {progress.step} of {progress.steps}: loss {progress.loss:.4f}")


def say(text: str) -> None:
    """Prints a line as it is."""
    Console().print(text, highlight=False, soft_wrap=True, markup=False)


def _rate(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return number
