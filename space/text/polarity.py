"""How positive a text is, by a classifier that knows positive and negative; long texts are read in windows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float

from space.jobs import Job
from space.limits import BadInput
from space.models.store import Loaded
from space.text.sentiment import Verdict

WINDOW = 256  # tokens read at once; sentences are what such classifiers were trained on
BATCH_TOKENS = 1_024  # so many take about 0.2 s on two cores, after which a job is asked whether it goes on

_NEGATIVE, _POSITIVE = {"negative", "neg"}, {"positive", "pos"}


@dataclass(frozen=True)
class Polarity:
    """The outputs of a classifier.

    Attributes:
        labels: of all its classes, in small letters.
        negative: which of them is negative.
        positive: which is positive.
    """

    labels: tuple[str, ...]
    negative: int
    positive: int

    @classmethod
    def of(cls, loaded: Loaded) -> "Polarity":
        """Reads the names of its classes.

        Raises:
            BadInput: none of them is called negative, or none positive.
        """
        names = loaded.model.config.id2label
        labels = tuple(str(names[place]).lower() for place in sorted(names))
        negative = [place for place, label in enumerate(labels) if label in _NEGATIVE]
        positive = [place for place, label in enumerate(labels) if label in _POSITIVE]
        if len(negative) != 1 or len(positive) != 1:
            raise BadInput(
                f"{loaded.spec.title} calls its classes {', '.join(labels)}; it takes a model that calls them negative "
                "and positive. Choose another model."
            )
        return cls(labels, negative[0], positive[0])

    def verdict(self, logits: Float[torch.Tensor, " classes"]) -> Verdict:
        """The likeliest class."""
        probabilities = logits.double().softmax(-1)
        place = int(probabilities.argmax())
        return Verdict(self.labels[place], float(probabilities[place]))

    def margin(self, logits: Float[torch.Tensor, "*texts classes"]) -> Float[torch.Tensor, "*texts"]:
        """How much likelier positive is than negative, as the logarithm of the ratio."""
        return logits[..., self.positive] - logits[..., self.negative]


@dataclass(frozen=True)
class Window:
    """A piece of a text.

    Attributes:
        text: which of the texts.
        inputs: what the tokenizer made of it, one list a name.
        offsets: where in the text each token stands; (0, 0) for special tokens.
        share: its part of the text's tokens.
    """

    text: int
    inputs: dict[str, list[int]]
    offsets: list[tuple[int, int]]
    share: float

    @property
    def tokens(self) -> int:
        """How many, special ones included."""
        return len(self.offsets)


def windows_of(loaded: Loaded, texts: Sequence[str]) -> list[Window]:
    """The texts as windows of equal length, each with a last one that is shorter. Nothing is cut off."""
    encoded = loaded.tokenizer(
        list(texts),
        truncation=True,
        max_length=min(WINDOW, loaded.context),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    owners, offsets = encoded["overflow_to_sample_mapping"], encoded["offset_mapping"]
    counts = [0] * len(texts)
    for owner, places in zip(owners, offsets, strict=True):
        counts[owner] += len(places)
    names = [name for name in loaded.tokenizer.model_input_names if name in encoded]
    return [
        Window(owner, {name: encoded[name][row] for name in names}, places, len(places) / counts[owner])
        for row, (owner, places) in enumerate(zip(owners, offsets, strict=True))
    ]


def judge(
    loaded: Loaded,
    texts: Sequence[str],
    *,
    job: Job[Any],
    tell: Callable[[list[Verdict | None]], None] = lambda verdicts: None,
) -> list[Float[torch.Tensor, " classes"]]:
    """The logits of each text: the mean of its windows', each weighted by its tokens.

    Args:
        tell: is given the verdicts so far after each batch, None where there is none yet.

    Raises:
        BadInput: the classifier knows no positive and negative.
        Stopped: the job was stopped.
    """
    polarity = Polarity.of(loaded)
    windows = windows_of(loaded, texts)
    missing = [0] * len(texts)
    for window in windows:
        missing[window.text] += 1
    sums = [torch.zeros(len(polarity.labels)) for _ in texts]
    verdicts: list[Verdict | None] = [None] * len(texts)
    for batch in _batches(windows):
        job.check()
        padded = loaded.tokenizer.pad(_columns(batch), return_tensors="pt").to(loaded.model.device)
        with torch.inference_mode():
            logits = loaded.model(**padded).logits.float().cpu()
        for window, row in zip(batch, logits, strict=True):
            sums[window.text] = sums[window.text] + window.share * row
            missing[window.text] -= 1
            if not missing[window.text]:
                verdicts[window.text] = polarity.verdict(sums[window.text])
        tell(list(verdicts))
    return sums


def _columns(batch: Sequence[Window]) -> dict[str, list[list[int]]]:
    return {name: [window.inputs[name] for window in batch] for name in batch[0].inputs}


def _batches(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Windows of about the same length together; within a stretch of texts, so that results come about in order."""
    stretch = 128
    for begin in range(0, len(windows), stretch):
        batch: list[Window] = []
        for window in sorted(windows[begin : begin + stretch], key=lambda window: window.tokens):
            if batch and window.tokens * (len(batch) + 1) > BATCH_TOKENS:
                yield batch
                batch = []
            batch.append(window)
        yield batch
