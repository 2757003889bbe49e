"""QAMR: questions by crowd workers about single sentences of Wikipedia and Wikinews, each answered by three of them.

Julian Michael, Gabriel Stanovsky, Luheng He, Ido Dagan and Luke Zettlemoyer: "Crowdsourcing Question-Answer Meaning
Representations", NAACL 2018, arXiv 1711.05885. MIT licence.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from space.demo_models.answering.detokenise import Sentence, detokenise
from space.demo_models.sources import SourceFile, read_source

_FROM = "QAMR by Michael et al. 2018, MIT licence (github.com/uwnlp/qamr, data/filtered and data/wiki-sentences.tsv)"
TRAIN_FILE = SourceFile("qamr_dev.tsv", "d507f22b1348324ad3d5c9208308e49e91d409222c080eb6d224a8ecab4bfb93", _FROM)
TEST_FILE = SourceFile("qamr_test.tsv", "c065e2e28551ae2eb94994c928de18cfb6ae1425ec3ed975e45607265f54eff4", _FROM)
SENTENCE_FILE = SourceFile(
    "qamr_wiki_sentences.tsv", "2e90fd8d8014ec2ade69148ff2187c26684366dbd3d6f8ad6bb6bf1ba1f04ea9", _FROM
)


@dataclass(frozen=True)
class Question:
    """A question and what its sentence answers: per annotator, the indices of the marked tokens, rising.

    `answers` are those of the worker who wrote it and of the two who checked it; where several workers asked the same
    question of the same sentence (case, spaces and the question mark aside), those of all of them. Repeats stay.
    """

    sentence_id: str
    text: str
    answers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Qamr:
    """The sentences by id, and the questions about them: what may be learnt from, and what is only for the test."""

    sentences: dict[str, Sentence]
    train: tuple[Question, ...]
    test: tuple[Question, ...]


def read_qamr(folder: Path) -> Qamr:
    """Reads the three files. Questions to learn from are those of sentences that the test does not hold.

    Raises:
        UsageError: a file is missing or is not the known one.
    """
    lines = (line.split("\t") for line in read_source(folder, SENTENCE_FILE).splitlines())
    sentences = {name: detokenise(text.split()) for name, text in lines}
    test = group_questions(read_source(folder, TEST_FILE).splitlines())
    held_out = {sentences[question.sentence_id].text for question in test}
    train = group_questions(read_source(folder, TRAIN_FILE).splitlines())
    kept = (question for question in train if sentences[question.sentence_id].text not in held_out)
    return Qamr(sentences, tuple(kept), tuple(test))


def group_questions(lines: Iterable[str]) -> list[Question]:
    """The questions of a file in its order, those that were asked twice of a sentence joined."""
    texts: dict[tuple[str, str], str] = {}
    answers: dict[tuple[str, str], list[tuple[int, ...]]] = {}
    for line in lines:
        sentence_id, *_, asked, own, first, second = line.split("\t")
        text = " ".join(asked.split())
        key = sentence_id, text.casefold().rstrip("? ")
        texts.setdefault(key, text)
        marked = (own, first.partition(":")[2], second.partition(":")[2])
        answers.setdefault(key, []).extend(tuple(map(int, indices.split())) for indices in marked)
    return [Question(key[0], text, tuple(answers[key])) for key, text in texts.items()]


def page(sentence_id: str) -> str:
    """The Wikipedia or Wikinews page that a sentence is from; its paragraph and place in it are what follows."""
    return ":".join(sentence_id.split(":")[:3])


def position(sentence_id: str) -> tuple[int, int]:
    """Paragraph and sentence number within the page."""
    paragraph, sentence = sentence_id.split(":")[3:5]
    return int(paragraph), int(sentence)
