"""A vote of the project's own CNNs on one picture."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from space import limits
from space.jobs import Job, watch
from space.labs.checkpoints import Checkpoint, find_checkpoints, without_folder
from space.labs.shelf import Shelf
from space.labs.small_images import decode_picture, in_form

# By year. The registry has the titles, too, but imports JAX.
FAMILIES = {
    "lenet5": "LeNet-5",
    "alexnet": "AlexNet",
    "vgg16": "VGG-16",
    "googlenet": "GoogLeNet",
    "resnet18": "ResNet-18",
    "xception": "Xception",
    "se_resnet18": "SE-ResNet-18",
}
DATASETS = {"mnist": "Digits (MNIST)", "fashion_mnist": "Garments (FashionMNIST)", "cifar10": "Photos (CIFAR-10)"}
SECONDS = 120.0
BUDGET = 300_000_000  # bytes of weights: all families at the quick preset take 10 MB for each data set
TOP = 3
SIDE_SEEN = 32  # every network's input; smaller pictures are surrounded by black


@dataclass(frozen=True)
class Opinion:
    """What one network sees.

    Attributes:
        key, title, year: the network.
        score: its accuracy on the test split, if its run says it.
        top: the likeliest classes with their probabilities, the likeliest first; empty if it could not be loaded.
        seconds: of the answer, without loading and compiling.
        trouble: why it could not be loaded.
    """

    key: str
    title: str
    year: int | None
    score: float | None
    top: tuple[tuple[str, float], ...] = ()
    seconds: float = 0.0
    trouble: str = ""


@dataclass(frozen=True)
class Ballot:
    """The vote so far.

    Attributes:
        dataset: its name.
        waiting: keys of the networks that have not answered.
        pixels: the picture as the networks see it, uint8 (32, 32, channels); None before it is made.
        loading: the network that is being brought into memory, if one is.
        seconds: since the request.
    """

    dataset: str
    opinions: tuple[Opinion, ...] = ()
    waiting: tuple[str, ...] = ()
    pixels: np.ndarray | None = None
    loading: str = ""
    seconds: float = 0.0

    @property
    def voters(self) -> tuple[Opinion, ...]:
        """Those that have answered."""
        return tuple(opinion for opinion in self.opinions if opinion.top)

    @property
    def winner(self) -> str | None:
        """The class that most networks find likeliest; of equals, that of the greater sum of probabilities."""
        votes, trust = Counter[str](), Counter[str]()
        for (label, probability), *_ in (opinion.top for opinion in self.voters):
            votes[label] += 1
            trust[label] += probability  # type: ignore[assignment]
        return max(votes, key=lambda label: (votes[label], trust[label])) if votes else None

    @property
    def agreeing(self) -> int:
        """How many networks find the winner likeliest."""
        return sum(opinion.top[0][0] == self.winner for opinion in self.voters)


def title_of(key: str) -> str:
    """A network's name for people."""
    return FAMILIES.get(key, key)


def training_command(dataset: str) -> str:
    """What to type for a first network of a data set."""
    return f"python -m jax_models --model lenet5 --dataset {dataset}"


def make_shelf() -> Shelf:
    """Where the networks are kept. JAX is imported when the first one is loaded."""

    def load(checkpoint: Checkpoint) -> Any:
        from space.labs.networks import load_classifier

        return load_classifier(checkpoint)

    return Shelf(load, BUDGET)


def classify(shelf: Shelf, image: object, *, dataset: object) -> Iterator[Ballot]:
    """Lets every network that was trained on a data set look at a picture, one after the other.

    Args:
        image: a data URL.

    Raises:
        BadInput: the picture or the data set is none that is allowed, or no network was trained on it.
    """
    name = limits.one_of(dataset, tuple(DATASETS), name="The data set")
    pixels = in_form(decode_picture(image), name)
    checkpoints = trained_on(name)
    if not checkpoints:
        raise limits.BadInput(f"No network here was trained on {DATASETS[name]}; run: {training_command(name)}")
    margin = (SIDE_SEEN - len(pixels)) // 2
    seen = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)))
    first = Ballot(name, waiting=tuple(checkpoint.key for checkpoint in checkpoints), pixels=seen)

    def work(job: Job[Ballot]) -> None:
        started, ballot = time.monotonic(), first
        for place, checkpoint in enumerate(checkpoints):
            job.check()
            if not shelf.has(checkpoint):
                job.tell(replace(ballot, loading=checkpoint.key, seconds=time.monotonic() - started))
            opinion = _ask(shelf, checkpoint, pixels, job)
            waiting = tuple(later.key for later in checkpoints[place + 1 :])
            seconds = time.monotonic() - started
            ballot = replace(ballot, opinions=(*ballot.opinions, opinion), waiting=waiting, seconds=seconds)
            job.tell(ballot)

    return watch(work, first=first, seconds=SECONDS)


def trained_on(dataset: str) -> tuple[Checkpoint, ...]:
    """The networks of a data set, in the order of the families' years."""
    found = [checkpoint for checkpoint in find_checkpoints("vision") if checkpoint.subject == dataset]
    return tuple(sorted(found, key=lambda checkpoint: [*FAMILIES, checkpoint.key].index(checkpoint.key)))


def _ask(shelf: Shelf, checkpoint: Checkpoint, pixels: np.ndarray, job: Job[Any]) -> Opinion:
    from jax_models.errors import RunError, UsageError

    try:
        classifier = shelf.get(checkpoint, job)
    except (RunError, UsageError) as error:
        trouble = without_folder(error, checkpoint)
        return Opinion(checkpoint.key, title_of(checkpoint.key), None, checkpoint.score, trouble=trouble)
    started = time.monotonic()
    probabilities = classifier.probabilities(pixels)
    seconds = time.monotonic() - started
    best = np.argsort(-probabilities, kind="stable")[:TOP]
    top = tuple((classifier.spec.classes[place], float(probabilities[place])) for place in best)
    return Opinion(checkpoint.key, classifier.title, classifier.year, checkpoint.score, top, seconds)
