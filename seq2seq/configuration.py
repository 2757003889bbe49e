"""One run, described: which task, which model, for how long, by which recipe."""

import dataclasses
from typing import Any

from flax import nnx

from jax_models.errors import UsageError
from jax_models.training.config import OptimizerConfig, fingerprint
from seq2seq.attention import ATTENTIONS
from seq2seq.model import Seq2Seq
from seq2seq.tasks import TASKS
from seq2seq.vocabulary import Vocabulary

LARGEST_SEED = 2**32  # the keys of jax.random hold no more


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(OptimizerConfig):
    """Adam with one cycle of the learning rate, and gradients of a bounded norm.

    Attributes:
        clip_norm: gradients longer than this, over all weights, are shortened to it (arXiv 1211.5063).
    """

    optimizer: Any = "adam"
    peak_learning_rate: float = 0.006
    weight_decay: float = 0.0
    ema_decay: float = 0.99
    clip_norm: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Equal configurations give equal weights, on the same kind and number of devices.

    Attributes:
        task, attention: names, of `TASKS` and `ATTENTIONS`.
        min_length, max_length: of the sequences, in symbols.
        vocabulary_size: how many integers there are.
        hidden_size: of the decoder, and of the encoder's two directions together.
        teacher_forcing: the probability, at the first step and at the last, that the decoder reads the true token and
            not its own; in between it moves evenly.

    Raises:
        UsageError: an unknown name, or a number out of its range.
    """

    task: str = "reverse"
    attention: str = "additive"
    seed: int = 0
    steps: int = 1500
    batch_size: int = 256
    min_length: int = 1
    max_length: int = 20
    vocabulary_size: int = 100
    hidden_size: int = 128
    embedding_size: int = 64
    attention_size: int = 32
    bidirectional: bool = True
    teacher_forcing: tuple[float, float] = (1.0, 1.0)
    recipe: Recipe = dataclasses.field(default_factory=Recipe)

    def __post_init__(self) -> None:
        _choose("task", self.task, TASKS)
        _choose("attention", self.attention, ATTENTIONS)
        for name in ("steps", "batch_size", "min_length", "hidden_size", "embedding_size", "attention_size"):
            _at_least(1, name, getattr(self, name))
        _at_least(2, "vocabulary_size", self.vocabulary_size)  # of one symbol's sequences no hash can share out parts
        _at_least(0, "seed", self.seed)
        if self.seed >= LARGEST_SEED:
            raise UsageError(f"seed is {self.seed}; it must be less than {LARGEST_SEED}")
        if self.max_length < max(2, self.min_length):
            raise UsageError(
                f"max length is {self.max_length}; it must be at least 2 and at least the min length {self.min_length}"
            )
        if self.bidirectional and self.hidden_size % 2:
            raise UsageError(f"hidden size is {self.hidden_size}; two directions need an even one")
        if not all(0 <= ratio <= 1 for ratio in self.teacher_forcing):
            raise UsageError(f"teacher forcing is {self.teacher_forcing}; both numbers must lie between 0 and 1")

    @property
    def run(self) -> str:
        """The run's name, for example "reverse/additive/s0/n1500/b128/1a2b3c4d"."""
        fields = dataclasses.asdict(self)
        lead = [f"{key}{fields.pop(name)}" for key, name in (("s", "seed"), ("n", "steps"), ("b", "batch_size"))]
        return "/".join([fields.pop("task"), fields.pop("attention"), *lead, fingerprint(fields)])

    @property
    def vocabulary(self) -> Vocabulary:
        """The integers that the task is about."""
        return Vocabulary.of_integers(self.vocabulary_size)

    @property
    def ranges(self) -> dict[str, int]:
        """What the task draws sequences by: keyword arguments of the functions in `tasks.py`."""
        return {"num_symbols": self.vocabulary_size, "min_length": self.min_length, "max_length": self.max_length}

    def new_model(self, *, rngs: nnx.Rngs) -> Seq2Seq:
        """A model with fresh weights."""
        names = ("attention", "embedding_size", "hidden_size", "attention_size", "bidirectional")
        return Seq2Seq(self.vocabulary.num_tokens, **{name: getattr(self, name) for name in names}, rngs=rngs)

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "TrainConfig":
        """From what `dataclasses.asdict` gave, also by way of JSON."""
        ratios = tuple(fields["teacher_forcing"])
        return cls(**fields | {"recipe": Recipe(**fields["recipe"]), "teacher_forcing": ratios})


def _choose(kind: str, name: str, allowed: Any) -> None:
    if name not in allowed:
        raise UsageError(f"unknown {kind} {name!r}; choose from: {' '.join(allowed)}")


def _at_least(smallest: int, name: str, value: int) -> None:
    if value < smallest:
        raise UsageError(f"{name.replace('_', ' ')} is {value}; it must be at least {smallest}")
