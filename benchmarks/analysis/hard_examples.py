"""Test images that every family gets wrong, and what they say instead.

Some labels of these data sets are themselves wrong (Northcutt et al. 2021, arXiv 2103.14749), and families that agree
on another answer are a hint at such an image. A hint, not a proof: networks of one kind share their blind spots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Bool, Float, Int

LABEL_NOTE = (
    "Some labels are wrong: people confirmed 15 such images in MNIST's test split, found some in that of CIFAR-10, and "
    "did not look at FashionMNIST (Northcutt et al. 2021, arXiv 2103.14749). Families that agree on another answer are "
    "a hint at one, not a proof."
)


@dataclass(frozen=True)
class HardExample:
    """One image that every family gets wrong.

    Attributes:
        index: in the test split.
        label: its class there.
        votes: classes that networks answer and their shares, most first. Each family counts the same, however many
            seeds it has; a minority of seeds may say the label.
    """

    index: int
    label: int
    votes: tuple[tuple[int, float], ...]

    @property
    def answer(self) -> int:
        """The most frequent wrong answer."""
        return next(answer for answer, _ in self.votes if answer != self.label)

    @property
    def agreement(self) -> float:
        """Share of the most frequent wrong answer."""
        return dict(self.votes)[self.answer]


@dataclass(frozen=True, kw_only=True)
class HardExamples:
    """The images of one test split that every family gets wrong.

    Attributes:
        examples: those where in every family most seeds (more than half) are wrong; most agreement first.
        expected: how many these would be if the families erred independently within each class.
        by_every_seed: how many of them no network at all gets right. It falls with every seed that is added, so the
            majority decides what is hard.
    """

    examples: tuple[HardExample, ...]
    expected: float
    by_every_seed: int


def hard_examples(
    predictions: Mapping[str, Int[np.ndarray, "_ n"]], labels: Int[np.ndarray, " n"], *, classes: int
) -> HardExamples:
    """Finds them from the predicted classes of each family's seeds, (seeds, images); `classes` is their number."""
    wrong = {family: answers != labels for family, answers in predictions.items()}
    mostly_wrong = {family: errors.mean(0) > 0.5 for family, errors in wrong.items()}
    hard = np.flatnonzero(np.all(list(mostly_wrong.values()), axis=0))
    shares = np.mean([_shares(answers[:, hard], classes=classes) for answers in predictions.values()], axis=0)
    examples = [
        HardExample(index, label, _votes(share))
        for index, label, share in zip(hard.tolist(), labels[hard].tolist(), shares, strict=True)
    ]
    return HardExamples(
        examples=tuple(sorted(examples, key=lambda example: (-example.agreement, example.index))),
        expected=_expected(list(mostly_wrong.values()), labels),
        by_every_seed=int(np.all([errors.all(0) for errors in wrong.values()], axis=0).sum()),
    )


def _shares(answers: Int[np.ndarray, "seeds m"], *, classes: int) -> Float[np.ndarray, "m classes"]:
    """Share of one family's seeds that give each answer."""
    return np.eye(classes)[answers].mean(0)


def _votes(shares: Float[np.ndarray, " classes"]) -> tuple[tuple[int, float], ...]:
    """Answers that anybody gave with their shares, most first."""
    return tuple(
        (answer, float(shares[answer])) for answer in np.argsort(-shares, kind="stable").tolist() if shares[answer]
    )


def _expected(wrong: list[Bool[np.ndarray, " n"]], labels: Int[np.ndarray, " n"]) -> float:
    """Number of images that all families get wrong, were each wrong on random images of a class.

    Within classes, because that some classes are hard for all needs no hard images.
    """
    groups = [labels == label for label in np.unique(labels)]
    return float(sum(group.sum() * prod(errors[group].mean() for errors in wrong) for group in groups))
