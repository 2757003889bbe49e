"""A sequence written by one of the project's own encoder-decoders, token by token, and where it looks."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from space import limits
from space.jobs import Job, watch
from space.labs.checkpoints import Checkpoint, find_checkpoints, without_folder
from space.labs.shelf import Shelf
from space.models.choosing import AUTO

if TYPE_CHECKING:
    from space.labs.networks import Reader, Written

LONGEST = 1_000
SECONDS = 120.0
BUDGET = 200_000_000  # bytes of weights; the largest usual model, of texts, takes 30 MB


@dataclass(frozen=True)
class Answer:
    """The answer so far: `written` is None while the model is loaded or compiled."""

    checkpoint: Checkpoint
    written: "Written | None" = None
    seconds: float = 0.0


def make_shelf() -> Shelf["Reader"]:
    """Where the models are kept. JAX is imported when the first one is loaded."""

    def load(checkpoint: Checkpoint) -> "Reader":
        from space.labs.networks import load_reader

        return load_reader(checkpoint)

    return Shelf(load, BUDGET)


def available() -> tuple[Checkpoint, ...]:
    """The models that are here, the default first: it reverses."""
    return tuple(sorted(find_checkpoints("attention"), key=lambda checkpoint: checkpoint.key != "reverse-additive"))


def look(shelf: Shelf["Reader"], tokens: object, *, model: object = AUTO) -> Iterator[Answer]:
    """Lets a model write its output for one sequence, and tells where it looks.

    Args:
        tokens: for example "3 1 4 1 5"; a text, for a model of texts.
        model: a key of `available`, or "auto".

    Raises:
        BadInput: the model cannot read this, there is no such model, or its files are damaged.
    """
    line = limits.text(tokens, name="The sequence", longest=LONGEST)
    models = {checkpoint.key: checkpoint for checkpoint in available()}
    if not models:
        raise limits.BadInput("No model is here yet; run: python -m seq2seq.train")
    key = limits.one_of(model, (AUTO, *models), name="The model")
    checkpoint = models[next(iter(models)) if key == AUTO else key]

    def work(job: Job[Answer]) -> None:
        from jax_models.errors import RunError, UsageError

        try:
            reader = shelf.get(checkpoint, job)
            started = time.monotonic()
            written = shelf.run(lambda: reader.write(line), job)
        except (RunError, UsageError) as error:
            raise limits.BadInput(without_folder(error, checkpoint).replace(" or raise max_length", "")) from error
        job.tell(Answer(checkpoint, written, time.monotonic() - started))

    return watch(work, first=Answer(checkpoint), seconds=SECONDS)
