"""One run, described: which task, which model, for how long, by which recipe."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import nnx

from jax_models.checks import check_at_least, check_choice, check_seed
from jax_models.errors import UsageError
from jax_models.training.config import OptimizerConfig, fingerprint
from seq2seq.attention import ATTENTIONS
from seq2seq.model import Seq2Seq
from seq2seq.tasks import INTEGER_TASKS

TASKS = (*INTEGER_TASKS, "dates", "pairs")

# What differs from the defaults below, which are those of reversing and copying.
DEFAULTS: dict[str, dict[str, Any]] = {
    "sort": {
        "steps": 3000,
        "hidden_size": 128,
        "attention_size": 64,
        "recipe": {
            "peak_learning_rate": 0.006,
            "input_noise": 0.0,
            "dropout": 0.0,
        },  # what comes next depends on what was written last
    },
    "dates": {
        "steps": 1000,
        "max_length": 40,
        "hidden_size": 128,
        "attention_size": 64,
        "recipe": {"peak_learning_rate": 0.006, "input_noise": 0.0, "dropout": 0.0},
    },
    "pairs": {
        "steps": 0,
        "epochs": 12,
        "batch_size": 64,
        "max_length": 50,
        "vocabulary_size": 6000,
        "hidden_size": 384,
        "embedding_size": 192,
        "attention_size": 192,
        "tied_output": True,
        "patience": 3,
        "recipe": {
            "peak_learning_rate": 0.002,
            "ema_decay": 0.998,
            "input_noise": 0.1,
            "dropout": 0.3,
            "label_smoothing": 0.1,
        },
    },
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(OptimizerConfig):
    """Adam with one cycle of the learning rate, and gradients of a bounded norm.

    Attributes:
        clip_norm: gradients longer than this, over all weights, are shortened to it (arXiv 1211.5063).
        input_noise: share of the decoder's input symbols that are replaced by random ones; see `learning.garble`.
        dropout: share of the features dropped on their way between layers, never between steps (arXiv 1409.2329). It
            leaves a margin: without it, one reversal in some 50,000 comes out wrong.
        label_smoothing: share of the target spread evenly over the vocabulary (arXiv 1512.00567).
    """

    optimizer: Any = "adam"
    peak_learning_rate: float = 0.01
    weight_decay: float = 0.0
    ema_decay: float = 0.99
    clip_norm: float = 1.0
    input_noise: float = 0.3
    dropout: float = 0.1
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_choice("optimizer", self.optimizer, ("sgd", "adam", "adamw", "muon"))
        for name in ("input_noise", "dropout", "label_smoothing"):
            if not 0 <= (share := getattr(self, name)) < 1:
                raise UsageError(f"{name.replace('_', ' ')} is {share}; it must be from 0 to less than 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Equal configurations (and texts, for pairs) give equal weights, on the same kind and number of devices.

    Attributes:
        task, attention: names, of `TASKS` and `ATTENTIONS`.
        steps, epochs: how long: a number of steps for tasks whose examples never end, a number of passes for pairs; the
            other of the two is 0.
        min_length, max_length: of the sequences, in symbols; dates and pairs know no shortest.
        vocabulary_size: how many integers there are; for pairs, how many subwords are learnt.
        hidden_size: of the decoder, and of the encoder's two directions together.
        tied_output: whether the output layer shares its weights with the target embedding (arXiv 1608.05859).
        patience: training ends after so many epochs without a lower validation loss, and the best epoch's weights are
            kept; 0 trains to the end and keeps the last.
        teacher_forcing: the probability, at the first step and at the last, that the decoder reads the true token and
            not its own; in between it moves evenly.

    Raises:
        UsageError: an unknown name, or a number out of its range.
    """

    task: str = "reverse"
    attention: str = "additive"
    seed: int = 0
    steps: int = 2000
    epochs: int = 0
    batch_size: int = 128
    min_length: int = 1
    max_length: int = 20
    vocabulary_size: int = 100
    hidden_size: int = 64
    embedding_size: int = 32
    attention_size: int = 32
    bidirectional: bool = True
    tied_output: bool = False
    patience: int = 0
    teacher_forcing: tuple[float, ...] = (1.0, 1.0)
    recipe: Recipe = dataclasses.field(default_factory=Recipe)

    def __post_init__(self) -> None:
        check_choice("task", self.task, TASKS)
        check_choice("attention", self.attention, ATTENTIONS)
        length, unused = ("epochs", "steps") if self.task == "pairs" else ("steps", "epochs")
        if getattr(self, unused):
            hint = f"resolve_config({self.task!r}) has the usual settings"
            raise UsageError(f"the task {self.task} counts {length}, so {unused} must be 0; {hint}")
        for name in (length, "batch_size", "min_length", "hidden_size", "embedding_size", "attention_size"):
            check_at_least(1, name, getattr(self, name))
        check_at_least(0, "patience", self.patience)
        check_at_least(2, "vocabulary_size", self.vocabulary_size)  # one symbol's sequences cannot be held out by hash
        check_seed(self.seed)
        if self.max_length < max(2, self.min_length):
            raise UsageError(
                f"max length is {self.max_length}; it must be at least 2 and at least the min length {self.min_length}"
            )
        if self.bidirectional and self.hidden_size % 2:
            raise UsageError(f"hidden size is {self.hidden_size}; two directions need an even one")
        if len(self.teacher_forcing) != 2 or not all(0 <= ratio <= 1 for ratio in self.teacher_forcing):
            raise UsageError(f"teacher forcing is {self.teacher_forcing}; two numbers between 0 and 1 are needed")

    @property
    def run(self) -> str:
        """The run's name, for example "reverse/additive/s0/n2000/b128/1a2b3c4d"."""
        fields = dataclasses.asdict(self)
        numbers = {"s": "seed", "n": "steps", "e": "epochs", "b": "batch_size"}
        lead = [f"{key}{value}" for key, name in numbers.items() if (value := fields.pop(name)) or name == "seed"]
        return "/".join([fields.pop("task"), fields.pop("attention"), *lead, fingerprint(fields)])

    def new_model(self, num_tokens: int, *, rngs: nnx.Rngs) -> Seq2Seq:
        """A model with fresh weights for a vocabulary of that many tokens."""
        names = ("attention", "embedding_size", "hidden_size", "attention_size", "bidirectional", "tied_output")
        settings = {name: getattr(self, name) for name in names}
        return Seq2Seq(num_tokens, **settings, dropout=self.recipe.dropout, rngs=rngs)

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "TrainConfig":
        """From what `dataclasses.asdict` gave, also by way of JSON."""
        ratios = tuple(fields["teacher_forcing"])
        return cls(**fields | {"recipe": Recipe(**fields["recipe"]), "teacher_forcing": ratios})


def resolve_config(task: str = "reverse", *, recipe: Mapping[str, Any] | None = None, **changes: Any) -> TrainConfig:
    """The usual configuration of a task, with changes to its fields and to those of its recipe.

    Raises:
        UsageError: an unknown task, or a number out of its range.
    """
    check_choice("task", task, TASKS)
    settings = dict(DEFAULTS.get(task, {}))
    usual_recipe = settings.pop("recipe", {})
    return TrainConfig(task=task, recipe=Recipe(**usual_recipe | dict(recipe or {})), **settings | changes)
