"""What can be said of the sentiment of texts: one with the weight of each word, many at once, a column of a table.

PyTorch is imported when the work begins: the app starts without.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from space import limits
from space.jobs import Job, watch
from space.models.choosing import AUTO, Choice
from space.serving import Space
from space.text.spreadsheets import Sheet

LONGEST = 4_000
MOST_TEXTS = 200
MOST_CHARACTERS = 100_000  # of all texts of a request together
SECONDS, MANY_SECONDS = 120.0, 300.0


@dataclass(frozen=True)
class Verdict:
    """What a classifier says of a text: its label in small letters, and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Word:
    """A word and how much it speaks for positive (above 0) or negative (below 0).

    Attributes:
        text: as written.
        start: its first character's place in the whole text.
        end: the place after its last.
        weight: in logits; None while it is computed.
    """

    text: str
    start: int
    end: int
    weight: float | None = None


@dataclass(frozen=True)
class Analysis:
    """One text, judged so far.

    Attributes:
        text: as it was read.
        verdict: None while the model is loaded.
        words: empty until they are weighed.
        done: share of the weighing that is done.
        waits_for: what the request waits for while there is no model, for people.
    """

    text: str
    verdict: Verdict | None = None
    words: tuple[Word, ...] = ()
    done: float = 0.0
    choice: Choice | None = None
    seconds: float = 0.0
    waits_for: str = "loading the model"


@dataclass(frozen=True)
class Analyses:
    """Many texts, judged so far.

    Attributes:
        verdicts: one for each text, or None.
        waits_for: what the request waits for while there is no model, for people.
    """

    texts: tuple[str, ...]
    verdicts: tuple[Verdict | None, ...]
    choice: Choice | None = None
    seconds: float = 0.0
    waits_for: str = "loading the model"

    @property
    def done(self) -> int:
        """How many are judged."""
        return sum(verdict is not None for verdict in self.verdicts)


def analyse(space: Space, text: str, *, model: str = AUTO) -> Iterator[Analysis]:
    """Judges one text, then weighs its words.

    Raises:
        BadInput: the text is out of its limits, or the model knows no positive and negative.
    """
    text = limits.text(text, name="The text", longest=LONGEST)

    def work(job: Job[Analysis]) -> None:
        def wait(what: str) -> None:
            job.tell(Analysis(text, waits_for=what))

        with space.store.use("sentiment", model, job=job, on_wait=wait) as loaded:
            from space.text.attribution import attribute
            from space.text.polarity import Polarity, judge

            started = time.monotonic()
            verdict = Polarity.of(loaded).verdict(judge(loaded, [text], job=job)[0])
            so_far = Analysis(text, verdict, (), 0.0, loaded.choice, time.monotonic() - started)
            job.tell(so_far)
            words = attribute(loaded, text, job=job, tell=lambda share: job.tell(replace(so_far, done=share)))
            job.tell(replace(so_far, words=tuple(words), done=1.0, seconds=time.monotonic() - started))

    return watch(work, first=Analysis(text), seconds=SECONDS)


def analyse_many(space: Space, texts: Sequence[str], *, model: str = AUTO) -> Iterator[Analyses]:
    """Judges up to `MOST_TEXTS` texts.

    Raises:
        BadInput: there are too many, one is out of its limits, or the model knows no positive and negative.
    """
    if not isinstance(texts, list | tuple) or not texts:
        raise limits.BadInput("Give at least one text, in a list.")
    if len(texts) > MOST_TEXTS:
        raise limits.BadInput(f"There are {len(texts):,} texts; at most {MOST_TEXTS} are allowed. Use a CSV file.")
    cleaned = [limits.text(text, name=f"Text {place}", longest=LONGEST) for place, text in enumerate(texts, 1)]
    if (total := sum(map(len, cleaned))) > MOST_CHARACTERS:
        raise limits.BadInput(f"The texts have {total:,} characters; at most {MOST_CHARACTERS:,} are allowed.")
    return _judge_all(space, tuple(cleaned), model)


def analyse_sheet(space: Space, sheet: Sheet, *, column: int, model: str = AUTO) -> Iterator[Analyses]:
    """Judges the texts of a column; an empty cell gets no verdict.

    Raises:
        BadInput: the column holds no text, or the model knows no positive and negative.
    """
    cells = tuple(row[column].strip() for row in sheet.rows)
    if not any(cells):
        raise limits.BadInput(f"The column {sheet.header[column]!r} holds no text; choose another.")
    return _judge_all(space, cells, model)


def judged_sheet(sheet: Sheet, analyses: Analyses) -> Sheet:
    """The table with the columns `label` and `probability`."""
    labels = [verdict.label if verdict else "" for verdict in analyses.verdicts]
    probabilities = [f"{verdict.probability:.4f}" if verdict else "" for verdict in analyses.verdicts]
    return sheet.with_columns((("label", labels), ("probability", probabilities)))


def _judge_all(space: Space, texts: tuple[str, ...], model: str) -> Iterator[Analyses]:
    places = [place for place, text in enumerate(texts) if text]

    first = Analyses(texts, (None,) * len(texts))

    def work(job: Job[Analyses]) -> None:
        def wait(what: str) -> None:
            job.tell(replace(first, waits_for=what))

        with space.store.use("sentiment", model, job=job, on_wait=wait) as loaded:
            from space.text.polarity import judge

            started = time.monotonic()

            def tell(found: list[Verdict | None]) -> None:
                verdicts: list[Verdict | None] = [None] * len(texts)
                for place, verdict in zip(places, found, strict=True):
                    verdicts[place] = verdict
                job.tell(Analyses(texts, tuple(verdicts), loaded.choice, time.monotonic() - started))

            judge(loaded, [texts[place] for place in places], job=job, tell=tell)

    return watch(work, first=first, seconds=MANY_SECONDS)
