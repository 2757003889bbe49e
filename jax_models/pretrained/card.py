"""Model cards in the hub's format, out of a network's `config.json`: no figure in them is written by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from jax_models.data import DATASETS
from jax_models.registry import MODELS

TEMPLATE = Path(__file__).with_name("card.md.j2")
SCORES = ("accuracy", "precision", "recall", "f1", "loss")


class Source(NamedTuple):
    """Where a data set comes from: its id on the hub, its authors, its licence."""

    hub: str
    origin: str
    licence: str


SOURCES = {
    "mnist": Source("ylecun/mnist", "LeCun, Cortes, Burges, 1998", "CC BY-SA 3.0, as commonly stated for it"),
    "fashion_mnist": Source("zalando-datasets/fashion_mnist", "Xiao, Rasul, Vollgraf, arXiv 1708.07747", "MIT"),
    "cifar10": Source("uoft-cs/cifar10", "Krizhevsky, 2009", "none stated; made for research"),
}


def model_card(config: Mapping[str, Any]) -> str:
    """The README.md of a network: front matter for the hub, what it is, how good, trained on what, and its limits."""
    environment = jinja2.Environment(autoescape=False, keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    dataset = config.get("dataset")
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        front=_front_matter(config),
        config={"source": None, "preset": None, **config},
        family=MODELS[config["family"]],
        preprocessing=config["preprocessing"],
        test=config.get("test"),
        study=config.get("study"),
        run=config.get("run"),
        dataset=DATASETS.get(dataset) if dataset else None,
        source=SOURCES.get(dataset) if dataset else None,
        percent=lambda share: f"{100 * share:.2f} %",
    )


def _front_matter(config: Mapping[str, Any]) -> dict[str, Any]:
    """By key; the values are written as JSON, which is YAML."""
    front = {
        "license": config.get("license", "apache-2.0"),
        "library_name": "flax",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "jax", "flax", config["family"]],
    }
    source, test = SOURCES.get(config.get("dataset", "")), config.get("test")
    if source:
        front["datasets"] = [source.hub]
    if source and test:
        dataset = {"type": source.hub, "name": DATASETS[config["dataset"]].title, "split": "test"}
        metrics = [{"type": score, "value": test[score], "name": score} for score in SCORES]
        task = {"type": "image-classification", "name": "Image classification"}
        results = [{"task": task, "dataset": dataset, "metrics": metrics}]
        front |= {"metrics": ["accuracy", "f1"], "model-index": [{"name": config["name"], "results": results}]}
    return front
