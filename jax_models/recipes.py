"""The recipes: how, and for how long, each family trains. The tables say it all; the code below only reads them."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from jax_models.checks import check_at_least, check_choice, check_seed
from jax_models.data import DATASETS
from jax_models.pretrained.imagenet import WEIGHTS
from jax_models.registry import MODELS, imagenet_network
from jax_models.training.config import OptimizerConfig, fingerprint
from jax_models.weight_files import tuples

WHAT_IS_TRAINED = ("architecture", "variant")

PRESETS = ("quick", "full")  # of the families' own networks

# preset -> data set -> epochs and batch size. `quick` fits all families on two CPU cores into half an hour. A third
# epoch of FashionMNIST brought AlexNet from 89.8 to 90.2 %, Xception from 89.6 to 90.4 (validation, seed 0).
LENGTHS: dict[str, dict[str, tuple[int, int]]] = {
    "quick": {"mnist": (2, 128), "fashion_mnist": (3, 128), "cifar10": (6, 128)},
    "full": {"mnist": (30, 512), "fashion_mnist": (60, 512), "cifar10": (200, 512)},
    "quick-imagenet": dict.fromkeys(DATASETS, (2, 64)),
    "quick-scratch": dict.fromkeys(DATASETS, (2, 64)),
    "full-imagenet": dict.fromkeys(DATASETS, (10, 128)),
    "full-scratch": dict.fromkeys(DATASETS, (10, 128)),
}

# preset -> where a network made for ImageNet stands in the place of the family's own: pixels a side that images are
# enlarged to (None: as its weights were trained), and whether it begins with the published weights. All else is the
# same, so that the difference is what the weights bring.
VARIANTS: dict[str, tuple[int | None, bool]] = {
    "quick-imagenet": (64, True),
    "quick-scratch": (64, False),
    "full-imagenet": (None, True),
    "full-scratch": (None, False),
}
# preset -> the two that `--init imagenet` trains beside each other
ARMS = {"quick": ("quick-imagenet", "quick-scratch"), "full": ("full-imagenet", "full-scratch")}

# Between the usual rates of fine-tuning, 1e-4, and of training from scratch, 1e-3; tuned for no published weights.
# From scratch, two epochs of 9,000 images of CIFAR-10, validation, one seed: ResNet-18 44.7 % and with 1e-3 47.6 %,
# AlexNet 44.1 and 39.8.
OF_VARIANTS: dict[str, Any] = {
    "optimizer": "adamw",
    "peak_learning_rate": 3e-4,
    "weight_decay": 1e-4,
    "warmup": 0.1,
}

# preset -> what every family shares. In six epochs of CIFAR-10 Muon is far ahead of SGD: on validation, ResNet-18
# reached 83.8 % with it and 78.5 % with SGD (one seed each, sizes near those of `quick`). Momentum 0.95 with a warm-up
# of 0.1 brought VGG-16 from 84.2 to 84.7 %, a moving average of the weights only to 84.4 (one seed each). Flips that
# alternate from epoch to epoch, which the speed run has, bring nothing: 81.2 % to 81.6 (ResNet-18, means of 3 seeds).
SHARED: dict[str, dict[str, Any]] = {
    "quick": {
        "optimizer": "muon",
        "peak_learning_rate": 0.01,
        "weight_decay": 0.05,
        "momentum": 0.95,
        "warmup": 0.1,
    },
    "full": {"optimizer": "sgd", "peak_learning_rate": 0.4, "weight_decay": 5e-4, "momentum": 0.9, "warmup": 0.1},
    **dict.fromkeys(VARIANTS, OF_VARIANTS),
}

# The data set's largest shift is divided by this: a short run needs less variety than a long one.
SHIFT_DIVISOR = {"quick": 2, "full": 1, **dict.fromkeys(VARIANTS, 2)}

# preset -> family -> what it needs otherwise
EXCEPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "quick": {
        # No batch normalisation: on MNIST 98.8 % with the shared rate, 99.2 % with this one (validation, seed 0).
        "alexnet": {"peak_learning_rate": 0.004},
        # Its narrow separable stem is far from fitted in a few epochs. In two of FashionMNIST: 89.6 % with the shared
        # rate, 90.3 with this one; in six of CIFAR-10: 76.1 and 77.8 (validation, seed 0).
        "xception": {"peak_learning_rate": 0.02},
    },
    "full": {
        # No batch normalisation: a smaller rate, chosen without a measurement, as all of `full` is.
        "lenet5": {"peak_learning_rate": 0.05},
        "alexnet": {"peak_learning_rate": 0.05},
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(OptimizerConfig):
    """How an image classifier is trained.

    Attributes:
        label_smoothing: share of the target spread evenly over the classes (arXiv 1512.00567).
        crop_padding: pixels an image may shift in each direction.
        flip: whether images are mirrored left to right, half of the time.
    """

    label_smoothing: float = 0.1
    crop_padding: int = 0
    flip: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """A network that was made for ImageNet: images are enlarged for it, and normalised as its weights know them.

    Attributes:
        network: one of `list_models(pretrained="imagenet")`.
        weights: the published ones that training begins with, by their source; None draws them.
        image_size: pixels a side that images are enlarged to.
        mean, std: of the pixels of ImageNet, per channel, in 0..1.
    """

    network: str
    weights: str | None
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run: which model on which data, for how long, by which recipe.

    On a CPU equal configurations give equal weights. `architecture` holds the constructor's keyword arguments that the
    preset stands for; with a `variant` they are those of a network of the family that was made for ImageNet.
    """

    model: str
    dataset: str
    preset: str
    seed: int
    epochs: int
    batch_size: int
    recipe: Recipe
    architecture: Mapping[str, Any] = dataclasses.field(hash=False)
    variant: Variant | None = None

    @property
    def recipe_hash(self) -> str:
        """Eight hexadecimal digits that change with any field of the recipe, the architecture and the variant."""
        fields = self.to_fields()
        return fingerprint(fields["recipe"] | {name: fields[name] for name in WHAT_IS_TRAINED if name in fields})

    @property
    def cell(self) -> str:
        """The run's name, for example "resnet18/cifar10/quick/s0/e8/b128/1a2b3c4d"."""
        run = f"{self.model}/{self.dataset}/{self.preset}/s{self.seed}"
        return f"{run}/e{self.epochs}/b{self.batch_size}/{self.recipe_hash}"

    def to_fields(self) -> dict[str, Any]:
        """What rows and descriptions hold; there is no variant where the family's own network is trained."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name != "variant" or value}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "TrainConfig":
        """A configuration from a row or a description in JSON, which has made lists of tuples.

        Raises:
            KeyError, TypeError: a field is missing, or one has an entry that this version does not know.
        """
        values = {field.name: fields[field.name] for field in dataclasses.fields(cls) if field.name in fields}
        values["recipe"] = Recipe(**values["recipe"])
        values["architecture"] = tuples(values["architecture"])
        if "variant" in values:
            values["variant"] = Variant(**tuples(values["variant"]))
        return cls(**values)


def resolve_config(
    model: str,
    dataset: str,
    *,
    preset: str = "quick",
    seed: int = 0,
    epochs: int | None = None,
    batch_size: int | None = None,
) -> TrainConfig:
    """The configuration of one run, with the recipe's epochs and batch size unless others are given.

    Raises:
        UsageError: an unknown name, a number that is not positive (a seed may be zero), a seed of over 32 bits, a
            preset of ImageNet's networks for a family that has none.
    """
    check_choice("model", model, MODELS)
    check_choice("data set", dataset, DATASETS)
    check_choice("preset", preset, LENGTHS)
    variant = _variant(model, preset) if preset in VARIANTS else None
    usual_epochs, usual_batch_size = LENGTHS[preset][dataset]
    spec = DATASETS[dataset]
    settings = SHARED[preset] | EXCEPTIONS.get(preset, {}).get(model, {})
    config = TrainConfig(
        model=model,
        dataset=dataset,
        preset=preset,
        seed=seed,
        epochs=usual_epochs if epochs is None else epochs,
        batch_size=usual_batch_size if batch_size is None else batch_size,
        recipe=Recipe(**settings, crop_padding=spec.crop_padding // SHIFT_DIVISOR[preset], flip=spec.flip),
        architecture=MODELS[model].imagenet[variant.network] if variant else MODELS[model].presets[preset],
        variant=variant,
    )
    check_at_least(1, "epochs", config.epochs)
    check_at_least(1, "batch_size", config.batch_size)
    check_seed(seed)
    return config


def belong_together(presets: Iterable[str]) -> bool:
    """Whether runs of these presets are for one report: they are one preset, or the two sides of `--init imagenet`."""
    found = set(presets)
    return len(found) <= 1 or found in map(set, ARMS.values())


def _variant(family: str, preset: str) -> Variant:
    image_size, with_weights = VARIANTS[preset]
    network = imagenet_network(family)
    published = WEIGHTS[network]
    known = published.preprocessing
    return Variant(
        network=network,
        weights=published.source if with_weights else None,
        image_size=image_size or known.image_size,
        mean=known.mean,
        std=known.std,
    )
