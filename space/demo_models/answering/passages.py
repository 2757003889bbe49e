"""Hides the sentence that answers a question among others: its neighbours on the page, or sentences of other pages."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from space.demo_models.answering.detokenise import Sentence, Span
from space.demo_models.answering.qamr import Question, page, position

Company = Literal["others", "neighbours", "mixed"]


@dataclass(frozen=True)
class Passage:
    """A question and a text to read. `spans` are the characters of each annotator's answer; none: it is not there."""

    question: str
    text: str
    spans: tuple[Span, ...]
    gold: tuple[str, ...]


@dataclass(frozen=True)
class Library:
    """Sentences that may stand in one passage: `ids` are all, `pages` those of a page in reading order."""

    sentences: dict[str, Sentence]
    ids: tuple[str, ...]
    pages: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, sentences: dict[str, Sentence], pages: Iterable[str]) -> "Library":
        """The library of some pages."""
        wanted, by_page = set(pages), defaultdict(list)
        for name in sentences:
            if page(name) in wanted:
                by_page[page(name)].append(name)
        ordered = {title: tuple(sorted(names, key=position)) for title, names in sorted(by_page.items())}
        return cls(sentences, tuple(name for names in ordered.values() for name in names), ordered)


def hide(
    question: Question,
    library: Library,
    rng: random.Random,
    *,
    distractors: int,
    company: Company = "others",
    answerable: bool = True,
    max_characters: int = 1_500,
) -> Passage:
    """A passage of the question's sentence (left out where it shall not be answerable) and up to `distractors` others.

    "others" are sentences of other pages in any order, "neighbours" the nearest ones of the same page in reading order
    (what lacks is filled up with others, before and after), "mixed" is half of each. Sentences that would make the
    passage longer than `max_characters` are dropped, never the one with the answer.
    """
    own = question.sentence_id
    near = {"others": 0, "neighbours": distractors, "mixed": distractors // 2}[company]
    beside = _neighbours(own, library, near)
    block = sorted([own, *beside], key=position)
    strangers = _others(own, library, rng, distractors - len(beside))
    if company == "neighbours":
        cut = rng.randint(0, len(strangers))
        order = [*strangers[:cut], *block, *strangers[cut:]]
    else:
        order = [*block, *strangers]
        rng.shuffle(order)
    kept = _within(order, own, library.sentences, max_characters)
    if not answerable:
        kept = [name for name in kept if name != own]
        kept = kept or _others(own, library, rng, 1) or _neighbours(own, library, 1)
    return _passage(question, kept, library.sentences)


def _neighbours(own: str, library: Library, count: int) -> list[str]:
    """The nearest sentences of the page by reading order."""
    names = library.pages[page(own)]
    place = names.index(own)
    text = library.sentences[own].text
    nearest = sorted(range(len(names)), key=lambda other: (abs(other - place), other))
    return [names[other] for other in nearest if library.sentences[names[other]].text != text][:count]


def _others(own: str, library: Library, rng: random.Random, count: int) -> list[str]:
    """Sentences of other pages by chance; all of them if there are not more."""
    found: list[str] = []
    there_are = len(library.ids) - len(library.pages[page(own)])
    while len(found) < min(count, there_are):
        name = rng.choice(library.ids)
        if page(name) != page(own) and name not in found:
            found.append(name)
    return found


def _within(order: Sequence[str], own: str, sentences: dict[str, Sentence], limit: int) -> list[str]:
    room, kept = limit - len(sentences[own].text), {own}
    for name in order:
        if name != own and len(sentences[name].text) < room:
            room -= len(sentences[name].text) + 1
            kept.add(name)
    return [name for name in order if name in kept]


def _passage(question: Question, names: Sequence[str], sentences: dict[str, Sentence]) -> Passage:
    text, spans, gold = "", (), ()
    for name in names:
        text += " " if text else ""
        if name == question.sentence_id:
            sentence, offset = sentences[name], len(text)
            places = (sentence.span(answer) for answer in question.answers if _is_dense(answer))
            spans = tuple((offset + start, offset + end) for start, end in places)
            gold = tuple(sentence.marked(answer) for answer in question.answers)
        text += sentences[name].text
    return Passage(question.text, text, spans, gold)


def _is_dense(answer: tuple[int, ...]) -> bool:
    """Whether a span can stand for the marked tokens: at least half of what it covers is marked."""
    return 2 * len(answer) > answer[-1] - answer[0]
