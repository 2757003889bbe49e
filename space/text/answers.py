"""Answers to a question out of a text, or the word that it has none.

PyTorch is imported when the work begins: the app starts without.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from space import limits
from space.calibration import read_calibration
from space.jobs import Job, watch
from space.models.choosing import AUTO, Choice
from space.models.store import Loaded
from space.serving import Space

LONGEST_QUESTION = 500
LONGEST_CONTEXT = 50_000
MOST_ANSWERS = 10
SECONDS = 180.0

ALWAYS_ANSWER = frozenset({"distilbert-squad"})  # trained on SQuAD 1.1, where each question has its answer


@dataclass(frozen=True)
class Answer:
    """A piece of the text.

    Attributes:
        text: as it stands there.
        start: its first character's place in the text.
        end: the place after its last.
        probability: among all candidates.
    """

    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True)
class Found:
    """What the model has found.

    Attributes:
        candidates: pieces of the text that do not overlap, the likeliest first.
        no_answer: the probability that the text does not answer; None for a model that always answers.
        answered: whether the first candidate is the answer; else there is none.
    """

    candidates: tuple[Answer, ...]
    no_answer: float | None
    answered: bool


@dataclass(frozen=True)
class Reading:
    """A text that is read for an answer.

    Attributes:
        context: the text, as long as it was given; characters that are not allowed have become spaces.
        found: None until all of it is read.
        done: how many windows of it are read.
        windows: how many there are; 0 while there is no model.
        waits_for: what the request waits for while there is no model, for people.
    """

    context: str
    found: Found | None = None
    done: int = 0
    windows: int = 0
    choice: Choice | None = None
    seconds: float = 0.0
    waits_for: str = "loading the model"


def answer(space: Space, question: str, context: str, *, top_k: int = 3, model: str = AUTO) -> Iterator[Reading]:
    """Reads `context` for up to `top_k` answers.

    Raises:
        BadInput: the question, the text or the number is out of its limits.
    """
    question = limits.text(question, name="The question", longest=LONGEST_QUESTION)
    limits.text(context, name="The text", longest=LONGEST_CONTEXT)
    context = "".join(letter if limits.is_kept(letter) else " " for letter in context)
    top_k = limits.whole(top_k, name="The number of answers", low=1, high=MOST_ANSWERS)

    def work(job: Job[Reading]) -> None:
        def wait(what: str) -> None:
            job.tell(Reading(context, waits_for=what))

        with space.store.use("question_answering", model, job=job, on_wait=wait) as loaded:
            from space.text.spans import choose, read, spans_of, split

            started = time.monotonic()
            windows = split(loaded, question, context)
            threshold = no_answer_threshold(loaded, windows=len(windows))
            so_far = Reading(context, None, 0, len(windows), loaded.choice)
            job.tell(so_far)
            spans = []
            for starts, ends in read(loaded, windows, job=job):
                for start, end in zip(starts, ends, strict=True):
                    spans.append(spans_of(windows, len(spans), start, end, against_null=threshold is not None))
                so_far = replace(so_far, done=len(spans), seconds=time.monotonic() - started)
                job.tell(so_far)
            found = choose(context, spans, threshold=threshold)
            found = replace(found, candidates=found.candidates[:top_k])
            job.tell(replace(so_far, found=found, seconds=time.monotonic() - started))

    return watch(work, first=Reading(context), seconds=SECONDS)


def no_answer_threshold(loaded: Loaded, *, windows: int) -> float | None:
    """How far above "no answer" a span's score makes it an answer; None for a model that always answers.

    As calibrated on single windows, else 0. Of several windows at most one or two hold the answer, so each has the odds
    against it, and the logarithm of their number is added: without it, a text of twenty windows without the answer gets
    one from some window about every other time.
    """
    if loaded.spec.key in ALWAYS_ANSWER:
        return None
    calibration = read_calibration(loaded.folder)  # only weights of our own have one
    return float(calibration.get("no_answer_threshold", 0.0)) + math.log(windows)
