"""`python -m jax_models.predict`: shows pictures to trained networks and prints what they say."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table

from jax_models.command_line import Parser, positive
from jax_models.compilation import use_compilation_cache
from jax_models.data import list_datasets
from jax_models.errors import UsageError, run_cli
from jax_models.pretrained import PretrainedModel, from_pretrained, list_zoo
from jax_models.pretrained.pictures import read_picture
from jax_models.registry import MODELS

DESCRIPTION = """\
Shows pictures to trained networks and prints, for each picture, a table of the classes that each network finds
likeliest, with their probabilities.
"""
EPILOG = f"""\
NAME is `all`, the seven families of the zoo on --dataset; or one network, as from_pretrained takes it: a family's name,
a name of the zoo, a folder that save_pretrained wrote, OWNER/NAME on the hub, or imagenet/NAME.

the zoo:
  {"  ".join(list_zoo())}

examples:
  python -m jax_models.predict digit.png
  python -m jax_models.predict shirt.jpg coat.jpg --dataset fashion_mnist --top 1
  python -m jax_models.predict dog.jpg --model imagenet/resnet50
"""
ALL = "all"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, a network that is not there, a file that is no picture, or an empty picture.
        RunError: weights are damaged or cannot be fetched.
    """
    options = _parser().parse_args(arguments)
    pictures = {path: read_picture(path) for path in options.images}  # before the networks are compiled
    use_compilation_cache()
    networks = _networks(options)
    console = Console()
    answers = [(network, network.classify(_in_form(network, pictures))) for network in networks]
    for number, path in enumerate(pictures):
        table = Table(title=str(path), title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("network")
        for place in range(options.top):
            table.add_column("says" if place == 0 else "or", no_wrap=True)
            table.add_column("%", justify="right")
        for network, probabilities in answers:
            table.add_row(_title(network), *_best(network, probabilities[number], top=options.top))
        console.print(table)


def _networks(options: argparse.Namespace) -> list[PretrainedModel]:
    name, dataset = options.model, options.dataset
    if name == ALL:
        of_dataset = [f"{dataset}/{model}-quick" for model in MODELS]
        return [from_pretrained(name) for name in of_dataset if name in list_zoo()]
    return [from_pretrained(f"{dataset}/{name}-quick" if name in MODELS else name)]


def _in_form(network: PretrainedModel, pictures: dict[Path, Image.Image]) -> list[Image.Image]:
    """The pictures, each checked by itself, so that an error names the one that it is about."""
    for path, picture in pictures.items():
        try:
            network.preprocessing.picture(picture)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
    return list(pictures.values())


def _best(network: PretrainedModel, probabilities: np.ndarray, *, top: int) -> list[str]:
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [text for place in order for text in (network.classes[place], f"{100 * probabilities[place]:.1f}")]


def _title(network: PretrainedModel) -> str:
    title = MODELS[network.family].title
    return title if network.name.partition("/")[0] in list_datasets() else f"{title} ({network.name})"


def _parser() -> Parser:
    parser = Parser(prog="python -m jax_models.predict", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="picture files: PNG, JPEG, WebP, ...")
    add("--model", default=ALL, metavar="NAME", help="which networks (default: all)")
    add("--dataset", default="mnist", choices=list_datasets(), help="what they were trained on (default: mnist)")
    add("--top", type=positive, default=3, metavar="N", help="classes shown for each network (default: 3)")
    return parser


if __name__ == "__main__":
    run_cli(main)
