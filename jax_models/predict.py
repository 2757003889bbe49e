"""`python -m jax_models.predict`: shows pictures to trained networks and prints what they say."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jax_models.command_line import Parser, positive
from jax_models.compilation import use_compilation_cache
from jax_models.data import DATASETS, list_datasets
from jax_models.errors import UsageError, run_cli
from jax_models.pretrained import PretrainedModel, from_pretrained, list_zoo
from jax_models.pretrained.hub import zoo_in_help
from jax_models.pretrained.pictures import read_picture
from jax_models.registry import MODELS

DESCRIPTION = """\
Shows pictures to trained networks and prints, for each picture, a table of the classes that each network finds
likeliest, with their probabilities.
"""
EPILOG = f"""\
NAME is `all`, the seven families of the zoo on --dataset, or the name of one of these families; or what from_pretrained
takes: a name of the zoo, a folder that save_pretrained wrote, OWNER/NAME on the hub, or imagenet/NAME.

A digit or garment should be alone on plain ground, without a frame; of a photo the middle square is taken.

the zoo:
{zoo_in_help()}

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
        table = Table(title=Text(str(path)), title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("network")
        table.add_column("says")
        table.add_column("%", justify="right")
        if options.top > 1:
            table.add_column("or")
        for network, probabilities in answers:
            table.add_row(_title(network), *_best(network, probabilities[number], top=options.top))
        console.print(table)
    known = ", ".join(dict.fromkeys(_subject(network) for network, _ in answers))
    console.print(
        f"  The classes are those of {known}: one of them is named, whatever the picture shows.", markup=False
    )


def _networks(options: argparse.Namespace) -> list[PretrainedModel]:
    name, dataset = options.model, options.dataset or "mnist"
    if options.dataset and name != ALL and name not in MODELS:
        raise UsageError(f"--dataset is for families and {ALL}; {name} was trained on what it was trained on")
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
    first, *others = np.argsort(-probabilities, kind="stable")[:top]
    said = [network.classes[first], f"{100 * probabilities[first]:.1f}"]
    return said + (
        [", ".join(f"{network.classes[place]} {100 * probabilities[place]:.1f}" for place in others)] if top > 1 else []
    )


def _subject(network: PretrainedModel) -> str:
    dataset = network.about.get("dataset", "")
    return DATASETS[dataset].title if dataset in DATASETS else network.name


def _title(network: PretrainedModel) -> str:
    title = MODELS[network.family].title
    return title if network.name in list_zoo() else f"{title} ({network.name})"


def _parser() -> Parser:
    parser = Parser(prog="python -m jax_models.predict", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("images", nargs="+", type=Path, metavar="IMAGE", help="picture files: PNG, JPEG, WebP, ...")
    add("--model", default=ALL, metavar="NAME", help="which networks (default: all)")
    add("--dataset", choices=list_datasets(), help="what they were trained on (default: mnist)")
    add("--top", type=positive, default=3, metavar="N", help="classes shown for each network (default: 3)")
    return parser


if __name__ == "__main__":
    run_cli(main)
