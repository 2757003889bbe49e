"""`python -m jax_models.transfer`: goes on from a trained network on other pictures, a folder of yours for example."""

import argparse
import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flax import nnx
from rich import box
from rich.console import Console
from rich.table import Table

from jax_models.adapted import with_new_head
from jax_models.classification import FitResult, fit
from jax_models.command_line import Parser, not_negative, positive
from jax_models.data import Dataset, list_datasets, load_dataset
from jax_models.data.folders import PREFIX, load_folder
from jax_models.errors import UsageError, run_cli
from jax_models.evaluation import Evaluation, evaluate, wilson_interval
from jax_models.output import locked, prepare_folder
from jax_models.pretrained import PretrainedModel, from_pretrained
from jax_models.pretrained.hub import zoo_in_help
from jax_models.pretrained.model import digest_of
from jax_models.pretrained.pictures import read_picture
from jax_models.recipes import Recipe, TrainConfig
from jax_models.registry import MODELS
from jax_models.weight_files import arrays_of

DESCRIPTION = """\
Trains a new last layer on a trained network (linear probe), then all of it (fine-tuning), and beside it the same
network from scratch for as many epochs, and tells what the trained weights are worth. The fine-tuned network is saved
for from_pretrained and python -m jax_models.predict.
"""
EPILOG = f"""\
folder:PATH is a folder with a sub-folder of pictures for each class, ten at least; a fifth of them is the test split.
Pictures are brought into the form that the network was trained on. The data sets serve, too:
  {" ".join(list_datasets())}

NAME is what from_pretrained takes: one of the zoo, a folder, OWNER/NAME on the hub, or imagenet/NAME.

the zoo:
{zoo_in_help()}

examples:
  python -m jax_models.transfer --dataset folder:pets --init cifar10/vgg16-quick
  python -m jax_models.transfer --dataset folder:pets --init imagenet/resnet18 --epochs 20
"""
# Chosen without a search: the usual rates for AdamW, a tenth of the head's for the whole network.
HEAD = Recipe(optimizer="adamw", peak_learning_rate=0.01, weight_decay=1e-4, warmup=0.1)
WHOLE = Recipe(optimizer="adamw", peak_learning_rate=0.001, weight_decay=1e-4, warmup=0.1)
EPOCHS = 20
STEPS, SMALLEST_BATCH, LARGEST_BATCH = 10, 8, 32  # as many steps an epoch, if the batch is then of such a size


@dataclasses.dataclass(frozen=True)
class Transfer:
    """The three results on the test split; `network` is the fine-tuned one."""

    probe: Evaluation
    tuned: Evaluation
    scratch: Evaluation
    network: PretrainedModel


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, a network that is not there, a folder that is no data set, a picture that is none.
        RunError: weights are damaged, the data cannot be had, or a training diverged.
    """
    options = _parser().parse_args(arguments)
    start = from_pretrained(options.init)
    dataset = _dataset(options, start)
    out = options.out or Path("out") / f"transfer-{dataset.spec.name}-{start.name.replace('/', '-')}"
    prepare_folder(out)
    console = Console()
    with locked(out):
        result = transfer(start, dataset, epochs=options.epochs, seed=options.seed, out=out, console=console)
        result.network.save_pretrained(out / "network")
    console.print(_table(start, dataset, result))
    console.print(f"Written: {out / 'network'}", highlight=False, soft_wrap=True)
    console.print(
        f"Try it: python -m jax_models.predict IMAGE --model {out / 'network'}", highlight=False, soft_wrap=True
    )


def transfer(
    start: PretrainedModel, dataset: Dataset, *, epochs: int, seed: int = 0, out: Path, console: Console | None = None
) -> Transfer:
    """Probe, fine-tuning and training from scratch, each judged on the test split; all go on where they were stopped.

    Half of the epochs, rounded up, train the last layer alone, the others all of the network; the probe and the
    training from scratch take all of them.

    Raises:
        UsageError: there are fewer training images than a batch has, or none to validate with.
        RunError: a checkpoint is damaged or cannot be written.
        Diverged: a loss is no longer finite.
    """
    count = len(dataset.train)

    def config(recipe: Recipe, length: int) -> TrainConfig:
        shift, flip = dataset.spec.crop_padding, dataset.spec.flip
        return TrainConfig(
            model=start.family,
            dataset=dataset.spec.name,
            preset="transfer",
            seed=seed,
            epochs=length,
            batch_size=min(max(SMALLEST_BATCH, count // STEPS), LARGEST_BATCH),
            recipe=dataclasses.replace(recipe, crop_padding=shift, flip=flip),
            architecture=start.architecture,
        )

    def trained(step: str, recipe: Recipe, length: int, **options: Any) -> FitResult:
        with console.status(f"{step}: {length} epochs") if console else contextlib.nullcontext():
            return fit(config(recipe, length), dataset, checkpoint_dir=out / "checkpoints" / step, **options)

    fresh = with_new_head(start.model, len(dataset.spec.classes), rngs=nnx.Rngs(seed))
    first = -(-epochs // 2)
    head = trained("head", HEAD, first, start=fresh, head_only=True)
    tuned = trained("all", WHOLE, max(1, epochs - first), start=head.model, stage=1)
    probe = trained("probe", HEAD, epochs, start=fresh, head_only=True)
    scratch = trained("scratch", WHOLE, epochs)
    judged = [evaluate(one.model, dataset.test, dataset.spec) for one in (probe, tuned, scratch)]
    return Transfer(*judged, network=_network(start, tuned.model, judged[1], dataset))


def _network(start: PretrainedModel, model: nnx.Module, judged: Evaluation, dataset: Dataset) -> PretrainedModel:
    n = len(dataset.test)
    low, high = wilson_interval(judged.metrics["accuracy"], n)
    return PretrainedModel(
        name=f"{dataset.spec.name}/{start.family}-tuned",
        family=start.family,
        architecture=start.architecture,
        model=model,
        classes=dataset.spec.classes,
        preprocessing=start.preprocessing,
        about={
            "source": f"{start.name}, fine-tuned on {dataset.spec.title}",
            "license": start.about.get("license", "apache-2.0"),
            "test": {"n": n, **judged.metrics, "interval": (low, high)},
            "weights": digest_of(arrays_of(model)),
        },
    )


def _dataset(options: argparse.Namespace, start: PretrainedModel) -> Dataset:
    name, preprocessing = options.dataset, start.preprocessing
    if name.startswith(PREFIX):
        statistics = {"mean": preprocessing.mean, "std": preprocessing.std}
        folder = Path(name.removeprefix(PREFIX)).expanduser()
        return load_folder(folder, to_pixels=preprocessing.picture, read=read_picture, **statistics)
    if name not in list_datasets():
        raise UsageError(f"unknown data set {name!r}; choose from: {' '.join(list_datasets())}, or folder:PATH")
    dataset = load_dataset(name, data_dir=options.data_dir)
    if dataset.spec.shape[-1] != start.in_channels or dataset.spec.shape[0] > preprocessing.image_size:
        size, channels = preprocessing.image_size, start.in_channels
        raise UsageError(
            f"{start.name} reads {size}x{size} images of {channels} channels, {name} has {dataset.spec.shape}"
        )
    return dataset


def _table(start: PretrainedModel, dataset: Dataset, result: Transfer) -> Table:
    n = len(dataset.test)
    title = f"{MODELS[start.family].title} on {dataset.spec.title}, {n} test images, one seed"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("training")
    for head in ("accuracy %", "95 % interval", "loss"):
        table.add_column(head, justify="right")
    rows = {"linear probe": result.probe, "fine-tuned": result.tuned, "from scratch": result.scratch}
    for name, judged in rows.items():
        low, high = wilson_interval(judged.metrics["accuracy"], n)
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        table.add_row(name, f"{100 * judged.metrics['accuracy']:.1f}", interval, f"{judged.metrics['loss']:.3f}")
    return table


def _parser() -> Parser:
    parser = Parser(prog="python -m jax_models.transfer", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--dataset", required=True, metavar="NAME", help="folder:PATH, or one of the data sets below")
    add("--init", required=True, metavar="NAME", help="the trained network")
    add("--epochs", type=positive, default=EPOCHS, metavar="N", help=f"passes over the images (default: {EPOCHS})")
    add("--seed", type=not_negative, default=0, metavar="N", help="new weights, order and augmentation (default: 0)")
    add("--out", type=Path, metavar="DIR", help="folder for checkpoints and network (default: out/transfer-...)")
    add("--data-dir", type=Path, metavar="DIR", help="TFDS data directory, for the data sets")
    return parser


if __name__ == "__main__":
    run_cli(main)
