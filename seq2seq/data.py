"""What a run reads: training batches for every epoch, and the held-out examples that it is judged on."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from jax_models.errors import UsageError
from seq2seq import dates
from seq2seq.configuration import TrainConfig
from seq2seq.pairs import Texts, as_examples, bucketed, encode_texts, round_up
from seq2seq.subwords import Subwords
from seq2seq.tasks import (
    INTEGER_TASKS,
    TEST,
    VALIDATION,
    Examples,
    draw_training_sources,
    held_out_sources,
    with_targets,
)
from seq2seq.vocabulary import Symbols, Vocabulary

STEPS_PER_CALL = 25  # steps in one compiled call: the progress bar moves by these
STEPS_PER_EPOCH = 150  # of tasks whose examples never end
VALIDATION_SIZE, TEST_SIZE = 500, 10_000
MOST_HELD_OUT, HELD_OUT_EVERY = 1000, 10  # of pairs, for early stopping: at most so many, at most one in so many


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskData:
    """One task's data.

    Attributes:
        epochs: for every epoch, how many steps each call of the compiled step takes.
        batches: a batch of examples for every call of an epoch, whose number counts from 0, with the call's steps as
            first axis; or None, where the step draws its own.
        shapes: the shapes of all batches that there can be, each with the number of steps in its call.
        draw: draws a step's examples from a key, inside the compiled step; where `batches` gives None.
        exact: whether there is one right answer, so that outputs can be judged by exact match.
        test: what the finished model is judged on, by exact match.
        left_out: how many pairs are too long to train on.
    """

    vocabulary: Vocabulary
    epochs: Sequence[Sequence[int]]
    batches: Callable[[int], Iterable[Examples | None]]
    shapes: Sequence[tuple[int, Examples | None]]
    draw: Callable[[Array], Examples] | None
    validation: Examples
    exact: bool
    test: Examples | None
    left_out: int = 0

    @property
    def steps(self) -> int:
        """In all epochs together."""
        return sum(map(sum, self.epochs))


def make_data(config: TrainConfig, texts: Texts | None = None) -> TaskData:
    """The data of a configuration; pairs need the texts to train on.

    Raises:
        UsageError: texts are missing or too few, or given for a task that makes its own.
    """
    if (config.task == "pairs") != (texts is not None):
        raise UsageError(
            "pairs need texts to train on" if texts is None else f"the task {config.task} makes its own data"
        )
    if texts is not None:
        return _pairs(config, texts)
    return _dates(config) if config.task == "dates" else _integers(config)


def ranges(config: TrainConfig) -> dict[str, int]:
    """What integer tasks draw sequences by: keyword arguments of the functions in `tasks.py`."""
    return {
        "num_symbols": config.vocabulary_size,
        "min_length": config.min_length,
        "max_length": config.max_length,
    }


def split_texts(texts: Texts) -> tuple[Texts, Texts]:
    """Pairs for training, and the last ones for early stopping."""
    held_out = max(1, min(MOST_HELD_OUT, len(texts) // HELD_OUT_EVERY))
    return texts[: len(texts) - held_out], texts[len(texts) - held_out :]


def _integers(config: TrainConfig) -> TaskData:
    assert config.task in INTEGER_TASKS

    def draw(key: Array) -> Examples:
        return with_targets(config.task, draw_training_sources(key, config.batch_size, **ranges(config)))

    def held_out(part: int, count: int) -> Examples:
        return with_targets(config.task, held_out_sources(part, count, **ranges(config)))

    validation, test = held_out(VALIDATION, VALIDATION_SIZE), held_out(TEST, TEST_SIZE)
    if not len(validation) or not len(test):
        raise UsageError(
            f"of {config.vocabulary_size} symbols there are too few sequences of at most {config.max_length} to hold "
            "any out; raise the max length or the vocabulary size"
        )
    epochs = _endless(config.steps, STEPS_PER_CALL)
    return TaskData(
        vocabulary=Symbols(tuple(range(config.vocabulary_size))),
        epochs=epochs,
        batches=lambda epoch: [None] * len(epochs[epoch]),
        shapes=[(count, None) for count in _distinct(epochs)],
        draw=draw,
        validation=validation,
        exact=True,
        test=test,
    )


def _dates(config: TrainConfig) -> TaskData:
    if config.max_length < dates.LONGEST:
        raise UsageError(f"max length is {config.max_length}; dates need at least {dates.LONGEST}")
    epochs = _endless(config.steps, STEPS_PER_CALL)

    def batches(epoch: int) -> Iterator[Examples]:
        rng = np.random.default_rng((config.seed, epoch))
        for count in epochs[epoch]:
            drawn = dates.draw_dates(rng, count * config.batch_size, max_length=config.max_length)
            yield jax.tree.map(lambda leaf, count=count: leaf.reshape(count, config.batch_size, -1), drawn)

    return TaskData(
        vocabulary=dates.characters(),
        epochs=epochs,
        batches=batches,
        shapes=[
            (count, _shapes(count, config.batch_size, config.max_length, dates.TARGET_LENGTH))
            for count in _distinct(epochs)
        ],
        draw=None,
        validation=dates.held_out_dates(VALIDATION, VALIDATION_SIZE, max_length=config.max_length),
        exact=True,
        test=dates.held_out_dates(TEST, TEST_SIZE, max_length=config.max_length),
    )


def _pairs(config: TrainConfig, texts: Texts) -> TaskData:
    training, held_out = split_texts(texts)
    vocabulary = Subwords.learn((*training.sources, *training.targets), size=config.vocabulary_size)
    sources, targets = encode_texts(training, vocabulary, max_length=config.max_length)
    validation = encode_texts(held_out, vocabulary, max_length=config.max_length, cut=True)
    if len(sources) < config.batch_size:
        raise UsageError(
            f"{len(sources)} pairs of at most {config.max_length} subwords are left to train on, and a batch takes "
            f"{config.batch_size}; give more pairs, a smaller batch size or a larger max length"
        )
    lengths = np.array([max(map(len, pair)) for pair in zip(sources, targets, strict=True)])

    def batches(epoch: int) -> Iterator[Examples]:
        for chosen in bucketed(lengths, config.batch_size, rng=np.random.default_rng((config.seed, epoch))):
            batch = as_examples([sources[index] for index in chosen], [targets[index] for index in chosen])
            yield jax.tree.map(lambda leaf: leaf[None], batch)

    return TaskData(
        vocabulary=vocabulary,
        epochs=[[1] * (len(lengths) // config.batch_size)] * config.epochs,
        batches=batches,
        shapes=[
            (1, _shapes(1, config.batch_size, width, width)) for width in sorted({*map(round_up, lengths.tolist())})
        ],
        draw=None,
        validation=as_examples(*validation),
        exact=False,
        test=None,
        left_out=len(training) - len(sources),
    )


def _distinct(epochs: Sequence[Sequence[int]]) -> set[int]:
    return {count for calls in epochs for count in calls}


def _shapes(steps: int, batch_size: int, source: int, target: int) -> Examples:
    return Examples(*(jax.ShapeDtypeStruct((steps, batch_size, width), np.int32) for width in (source, target)))


def _endless(steps: int, per_call: int) -> list[list[int]]:
    """Epochs of `STEPS_PER_EPOCH` steps in calls of `per_call`; the last epoch and its last call may be shorter."""
    epochs: list[Any] = np.split(np.arange(steps), range(STEPS_PER_EPOCH, steps, STEPS_PER_EPOCH))
    return [[len(call) for call in np.split(epoch, range(per_call, len(epoch), per_call))] for epoch in epochs]
