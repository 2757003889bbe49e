"""Summaries of a text of any allowed length: by windows where a model cannot read it at once."""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from space import limits
from space.jobs import Job, watch
from space.models.choosing import AUTO, Choice
from space.models.store import Loaded
from space.serving import Space
from space.text.prompts import chat_prompt, plain_prompt
from space.text.windows import first_sentences, whole_sentences, windows
from space.text.writing import Progress, Sampling

LONGEST = 60_000
SECONDS = 300.0
WINDOW = 1_000  # tokens; small models lose the thread of more, whatever their context
SMALLEST = 200
OVERLAP = 40
INSTRUCTION = 60  # tokens of the question around a window
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Length:
    """How long a summary is to be.

    Attributes:
        asked: of a paragraph, as the model is told.
        sentences, tokens: of a paragraph, at most.
        paragraphs: at most. A small model that is to write many sentences repeats itself, so a long summary is several
            short ones, each of a window of its own.
    """

    asked: str
    sentences: int
    tokens: int
    paragraphs: int = 1


LENGTHS = {
    "short": Length("one sentence", 1, 60),
    "medium": Length("three sentences", 3, 120),
    "long": Length("three sentences", 3, 120, paragraphs=3),
}


@dataclass(frozen=True)
class Summary:
    """The answer so far.

    Attributes:
        text: the summary, or those of the windows so far.
        notes: the summaries of the windows, once they are to be combined.
        window: the number of the one that is being read, from 1; 0 before the first.
        windows: how many there are.
        combining: whether it is their summaries that are read.
        words_in, words_out: words of the text and of the summary.
        new_numbers: numbers of the finished summary that are not in the text: most often mistakes.
        rate: tokens a second of the latest window.
        waits_for: what the request waits for, while no model answers yet.
    """

    text: str = ""
    notes: tuple[str, ...] = ()
    window: int = 0
    windows: int = 0
    combining: bool = False
    words_in: int = 0
    new_numbers: tuple[str, ...] = ()
    rate: float = 0.0
    seconds: float = 0.0
    choice: Choice | None = None
    waits_for: str = "loading the model"
    done: bool = False

    @property
    def words_out(self) -> int:
        """Words of the summary."""
        return len(self.text.split())

    @property
    def ratio(self) -> float:
        """The share of the text's words that is left."""
        return self.words_out / max(self.words_in, 1)


def summarize(space: Space, text: str, *, length: str = "medium", model: str = AUTO) -> Iterator[Summary]:
    """Summarises `text`; a long one by windows, then their summaries together, until one summary is left.

    Raises:
        BadInput: the text, the length or the model is not allowed.
    """
    text = limits.text(text, name="The text", longest=LONGEST)
    wanted = LENGTHS[limits.one_of(length, tuple(LENGTHS), name="Length")]

    def work(job: Job[Summary]) -> None:
        def wait(said: str) -> None:
            job.tell(replace(first, waits_for=said))

        with space.store.use("summarize", model, job=job, on_wait=wait) as loaded:
            _Run(loaded, wanted, text, job, replace(first, choice=loaded.choice)).summarize()

    first = Summary(words_in=len(text.split()))
    return watch(work, first=first, seconds=SECONDS)


@dataclass
class _Run:
    """One summary in the making; tells every change of its state."""

    loaded: Loaded
    wanted: Length
    source: str
    job: Job[Summary]
    state: Summary
    started: float = field(default_factory=time.monotonic)

    def summarize(self) -> None:
        text, before = self.source, LONGEST  # before: more windows than there can be
        while True:
            pieces = self._windows(text)
            notes: list[str] = []
            for number, piece in enumerate(pieces, 1):
                self._tell(window=number, windows=len(pieces))
                notes.append(self._write(piece, before=notes))
            text = "\n\n".join(notes)
            # A model that writes more than it reads would go on for ever.
            if len(notes) <= self.wanted.paragraphs or len(notes) >= before:
                return self._tell(text=text, new_numbers=_new_numbers(text, self.source), done=True)
            before = len(notes)
            self._tell(text=text, notes=self.state.notes or tuple(notes), combining=True)

    def _windows(self, text: str) -> list[str]:
        total = len(self.loaded.tokenizer(text, add_special_tokens=False).input_ids)
        most = min(WINDOW, self.loaded.context - INSTRUCTION - self.wanted.tokens)
        size = min(most, max(SMALLEST, math.ceil(total / self.wanted.paragraphs) + OVERLAP))
        return [text[part] for part in windows(text, self.loaded.tokenizer, size=size, overlap=OVERLAP)]

    def _write(self, piece: str, *, before: list[str]) -> str:
        from space.text.generation import generate

        def tell(progress: Progress) -> None:
            written = first_sentences(progress.text.strip(), self.wanted.sentences)
            self._tell(text="\n\n".join((*before, written)), rate=progress.rate)

        written = generate(
            self.loaded,
            self._prompt(piece),
            max_new_tokens=self.wanted.tokens,
            sampling=Sampling(),
            job=self.job,
            tell=tell,
        )
        text = first_sentences(written.text.strip(), self.wanted.sentences)
        return text if written.ended else whole_sentences(text)

    def _prompt(self, piece: str) -> Any:
        if self.loaded.spec.kind == "seq2seq":
            return plain_prompt(self.loaded, f"summarize: {piece.strip()}")
        asked = f"Summarize the following text in {self.wanted.asked}.\n\n{piece.strip()}"
        return chat_prompt(self.loaded, [{"role": "user", "content": asked}])

    def _tell(self, **changes: Any) -> None:
        self.state = replace(self.state, seconds=time.monotonic() - self.started, **changes)
        self.job.tell(self.state)


def _new_numbers(summary: str, source: str) -> tuple[str, ...]:
    known = set(_NUMBER.findall(source))
    return tuple(dict.fromkeys(number for number in _NUMBER.findall(summary) if number not in known))
