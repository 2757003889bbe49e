"""What a training run is: a frozen description that names, hashes and repeats it."""

import dataclasses
import hashlib
import json
from typing import Literal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained. Learning rates are peaks; the schedule warms up, then falls linearly to zero.

    Attributes:
        optimizer: "sgd" (Nesterov momentum), "adamw", or "muon" (arXiv 2502.16982; what is no matrix goes to AdamW).
        peak_learning_rate: for `optimizer`, at the top of the schedule.
        weight_decay: decoupled for adamw and muon, L2 for sgd; on kernels only, never on biases and scales.
        momentum: of sgd and muon.
        warmup: fraction of the steps that the learning rate rises.
        label_smoothing: share of the target spread evenly over the classes (arXiv 1512.00567).
        ema_decay: decay per step of the averaged weights that are evaluated; 0 evaluates the last weights.
        crop_padding: pixels an image may shift in each direction.
        flip: whether images are mirrored left to right, half of the time.
    """

    optimizer: Literal["sgd", "adamw", "muon"] = "sgd"
    peak_learning_rate: float = 0.1
    weight_decay: float = 5e-4
    momentum: float = 0.9
    warmup: float = 0.2
    label_smoothing: float = 0.1
    ema_decay: float = 0.0
    crop_padding: int = 0
    flip: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run: which model on which data, for how long, by which recipe. Equal configurations give equal weights."""

    model: str
    dataset: str
    preset: str
    seed: int
    epochs: int
    batch_size: int
    recipe: Recipe

    @property
    def recipe_hash(self) -> str:
        """Eight hexadecimal digits that change with any field of the recipe."""
        text = json.dumps(dataclasses.asdict(self.recipe), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def cell(self) -> str:
        """The run's name, for example "resnet18/cifar10/quick/s0/e8/b128/1a2b3c4d"."""
        run = f"{self.model}/{self.dataset}/{self.preset}/s{self.seed}"
        return f"{run}/e{self.epochs}/b{self.batch_size}/{self.recipe_hash}"
