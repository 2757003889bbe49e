"""Model cards of the labs' weights, written from the descriptions inside the files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jax_models.data import DATASETS
from jax_models.output import write_text
from jax_models.registry import MODELS
from jax_models.weight_files import load_weights

COMMAND = "python -m space.demo_models.labs"

VISION = """\
---
license: apache-2.0
library_name: flax
tags: [image-classification, jax, flax]
datasets: [{names}]
---
# Small classic CNNs for the vision lab

Networks of this project's seven families at the preset `quick`, seed 0, trained by `{command}`.
Each file holds float16 weights by name and, in its metadata, the whole configuration. Input: 32x32 (MNIST and
FashionMNIST padded by 2), normalised by the data set's mean and deviation. Output: logits of ten classes.

Scores are of the shipped (rounded) weights on the official test split, opened once, after training.

| file | family | data set | parameters | test accuracy | n | commit |
|---|---|---|---|---|---|---|
{rows}

One seed each: differences of less than 0.2 points on MNIST (0.6 on FashionMNIST, 0.9 on CIFAR-10) are within the
95 % interval of 10,000 images. A network always names one of its ten classes, whatever it is shown.

## Data
| data set | source | licence |
|---|---|---|
{data}
"""

ATTENTION = """\
---
license: apache-2.0
library_name: flax
tags: [sequence-to-sequence, attention, jax, flax]
---
# A model that reverses integers, for the attention lab

An LSTM encoder-decoder with additive attention (arXiv 1409.0473), trained by `{command}`
with the settings of `python -m seq2seq.train`, seed 0. It reads 1 to 20 integers of 0 to 99 and writes them from
the last to the first. Weights are float32; the metadata has the configuration and the vocabulary.

| file | task | parameters | exact match | wrong | n | commit |
|---|---|---|---|---|---|---|
{rows}

n are sequences that the training never draws: a hash of the sequence keeps them apart. All data is drawn at random;
there is no source and no licence to name.
"""


DATA = {
    "mnist": "| MNIST | LeCun, Cortes, Burges, 1998; TFDS `mnist` 3.0.1 | CC BY-SA 3.0, as commonly stated for it |",
    "fashion_mnist": "| FashionMNIST | Xiao, Rasul, Vollgraf, arXiv 1708.07747; TFDS `fashion_mnist` 3.0.1 | MIT |",
    "cifar10": "| CIFAR-10 | Krizhevsky, 2009; TFDS `cifar10` 3.0.2 | none stated; made for research |",
}


def write_cards(weights: Path) -> None:
    """Writes README.md beside the weights of both labs.

    Raises:
        RunError: a file is damaged, or the card cannot be written.
    """
    order = [f"{model}-{dataset}" for dataset in DATASETS for model in MODELS]
    networks = sorted((weights / "vision").glob("*.safetensors"), key=lambda file: order.index(file.stem))
    about = {file: load_weights(file)[1] for file in networks}
    names = [name for name in DATASETS if any(network["dataset"] == name for network in about.values())]
    rows = _lines(_vision_row(*item) for item in about.items())
    data = "\n".join(DATA[name] for name in names)
    card = VISION.format(command=COMMAND, rows=rows, names=", ".join(names), data=data)
    write_text(weights / "vision" / "README.md", card)
    files = sorted((weights / "attention").glob("*.safetensors"))
    rows = _lines(_attention_row(file, load_weights(file)[1]) for file in files)
    write_text(weights / "attention" / "README.md", ATTENTION.format(command=COMMAND, rows=rows))


def _vision_row(file: Path, about: dict[str, Any]) -> tuple[str, ...]:
    family, dataset = MODELS[about["model"]].title, DATASETS[about["dataset"]].title
    accuracy = f"{100 * about['test']['accuracy']:.2f} %"
    return (f"`{file.name}`", family, dataset, f"{about['num_params']:,}", accuracy, *_count_and_commit(about))


def _attention_row(file: Path, about: dict[str, Any]) -> tuple[str, ...]:
    test = about["test"]
    exact = f"{100 * test['exact_match']:.2f} %"
    parameters, task = f"{about['num_params']:,}", about["config"]["task"]
    return (f"`{file.name}`", task, parameters, exact, f"{test['errors']:,}", *_count_and_commit(about))


def _count_and_commit(about: dict[str, Any]) -> tuple[str, str]:
    return f"{about['test_size']:,}", (about["commit"] or "unknown")[:7]


def _lines(rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
