"""QAMR as it is read, its tokens as natural text, and the passages that its sentences are hidden in."""

import random
from pathlib import Path

import pytest

from jax_models.errors import UsageError
from space.demo_models.answering.detokenise import Sentence, detokenise
from space.demo_models.answering.passages import Library, Passage, hide
from space.demo_models.answering.qamr import Question, group_questions, page, position, read_qamr
from space.demo_models.answering.reading import training_passages
from space.demo_models.batches import epoch_after_epoch, in_batches


def row(sentence: str, question: str, *answers: str) -> str:
    """A line as QAMR's files have it."""
    own, first, second = answers
    return "\t".join([sentence, "1 2", "7", "0", "1", question, own, f"8:{first}", f"9:{second}"])


def sentence(tokens: str) -> Sentence:
    """Of tokens with spaces between them."""
    return detokenise(tokens.split())


def a_library(pages: int = 4, sentences: int = 5) -> Library:
    """Pages of short sentences, each with a word of its own: "Page 1 says word 3 ."."""
    names = {
        f"Wiki1k:wikipedia:{title}:{number}:0": f"Page {title} says word{number} ."
        for title in range(pages)
        for number in range(sentences)
    }
    texts = {name: detokenise(text.split()) for name, text in names.items()}
    return Library.of(texts, {page(name) for name in texts})


def asked_of(name: str) -> Question:
    """What does the page say?"""
    return Question(name, "What does the page say?", ((3,), (3,), (2, 3)))


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("He lives within -LRB- is of -RRB- it .", "He lives within (is of) it."),
        ("`` They feel less alarmed -LSB- ... -RSB- '' .", '"They feel less alarmed [...]".'),
        ("It 's Zhu 's ; we do n't know .", "It's Zhu's; we don't know."),
        ("The players ' ` Help to Buy ' plan", "The players' 'Help to Buy' plan"),
        ("It can not cost $ 15 million , or 5 % .", "It cannot cost $15 million, or 5%."),
        ("a fraction -- three to four -- is # 1", "a fraction - three to four - is #1"),
        ("", ""),
    ],
)
def test_treebank_tokens_become_natural_text(tokens, text):
    assert sentence(tokens).text == text


def test_each_token_knows_its_place_in_the_text():
    said = sentence("`` I ca n't -LRB- yet -RRB- '' , he said .")
    pieces = [said.text[start:end] for start, end in said.tokens]
    assert pieces == ['"', "I", "ca", "n't", "(", "yet", ")", '"', ",", "he", "said", "."]


def test_marked_tokens_are_read_as_they_stand_and_gaps_become_a_space():
    names = sentence("Listed in Anna , Berta , and Clara")
    assert names.marked([2, 3, 4]) == "Anna, Berta"
    assert names.marked([2, 4, 6, 7]) == "Anna Berta and Clara"
    assert names.text[slice(*names.span([2, 7]))] == "Anna, Berta, and Clara"


def test_a_question_that_was_asked_twice_has_the_answers_of_both():
    lines = [
        row("s:w:1:0:0", "Who  wrote it?", "0", "0", "0 1"),
        row("s:w:1:0:0", "What is it?", "3", "3", "3"),
        row("s:w:1:0:0", "who wrote it", "1", "1", "1"),
        row("s:w:2:0:0", "Who wrote it?", "5", "5", "5"),
    ]
    assert group_questions(lines) == [
        Question("s:w:1:0:0", "Who wrote it?", ((0,), (0,), (0, 1), (1,), (1,), (1,))),
        Question("s:w:1:0:0", "What is it?", ((3,), (3,), (3,))),
        Question("s:w:2:0:0", "Who wrote it?", ((5,), (5,), (5,))),
    ]


def test_another_version_of_a_file_is_refused_with_its_origin(tmp_path):
    (tmp_path / "qamr_wiki_sentences.tsv").write_text("s:w:1:0:0\tHello .\n")
    with pytest.raises(UsageError, match=r"sha256 .* take qamr_wiki_sentences\.tsv from: QAMR by Michael et al\. 2018"):
        read_qamr(tmp_path)


def test_a_missing_file_is_named_with_its_origin(tmp_path):
    with pytest.raises(UsageError, match=r"--data needs the folder with qamr_wiki_sentences\.tsv: QAMR"):
        read_qamr(tmp_path / "nowhere")


@pytest.mark.parametrize("company", ["others", "neighbours", "mixed"])
def test_the_spans_of_a_passage_are_the_answers(company):
    library = a_library()
    for seed, name in enumerate(library.ids):
        passage = hide(asked_of(name), library, random.Random(seed), distractors=4, company=company)
        word = f"word{position(name)[0]}"
        assert [passage.text[start:end] for start, end in passage.spans] == [word, word, f"says {word}"]
        assert passage.gold == (word, word, f"says {word}")
        assert passage.text.count("Page") == 5


def test_neighbours_stand_in_the_order_of_the_page():
    library = a_library()
    passage = hide(asked_of(library.ids[2]), library, random.Random(0), distractors=4, company="neighbours")
    assert passage.text == " ".join(f"Page 0 says word{number}." for number in range(5))


def test_others_come_from_other_pages_only():
    library = a_library()
    passage = hide(asked_of(library.ids[0]), library, random.Random(1), distractors=5, company="others")
    assert passage.text.count("Page 0") == 1


def test_a_passage_without_its_sentence_has_no_answer():
    library = a_library()
    for distractors in (0, 3):
        passage = hide(asked_of(library.ids[0]), library, random.Random(2), distractors=distractors, answerable=False)
        assert (passage.spans, passage.gold) == ((), ())
        assert passage.text
        assert "Page 0" not in passage.text


def test_a_long_passage_loses_distractors_and_keeps_its_answer():
    library = a_library()
    rng = random.Random(3)
    passage = hide(asked_of(library.ids[0]), library, rng, distractors=8, company="mixed", max_characters=60)
    assert len(passage.text) <= 60
    assert passage.text.count("Page") == 3
    assert len(passage.spans) == 3


def test_an_annotator_who_marked_words_far_apart_gives_gold_but_no_span():
    library = a_library()
    passage = hide(Question(library.ids[0], "?", ((0, 4), (3,))), library, random.Random(0), distractors=0)
    assert passage.gold == ("Page .", "word0")
    assert [passage.text[start:end] for start, end in passage.spans] == ["word0"]


def test_each_epoch_asks_every_question_in_new_company_and_repeats_itself_when_asked_again():
    library = a_library()
    questions = [asked_of(name) for name in library.ids]
    first, second = (training_passages(questions, library, seed=0, epoch=epoch) for epoch in (0, 1))
    assert len(first) == len(second) == len(questions)
    assert first == training_passages(questions, library, seed=0, epoch=0)
    assert {passage.text for passage in first} != {passage.text for passage in second}


def test_batches_are_full_and_hold_no_passage_twice():
    passages = [Passage("?", "x" * length, (), ()) for length in range(1, 24)]
    rng = random.Random(0)
    batches = in_batches(passages, length=lambda passage: len(passage.text), batch_size=4, pool=64, rng=rng)
    assert [len(batch) for batch in batches] == [4] * 5
    assert len({passage.text for batch in batches for passage in batch}) == 20


def test_batches_are_of_like_lengths_within_a_pool():
    numbers = random.Random(0).sample(range(100), 100)
    batches = in_batches(numbers, length=lambda number: number, batch_size=5, pool=4, rng=random.Random(1))
    pools = [set(numbers[start : start + 20]) for start in range(0, 100, 20)]
    assert all(batch == sorted(batch) and any(set(batch) <= pool for pool in pools) for batch in batches)
    assert max(batch[-1] - batch[0] for batch in batches) < 60
    assert sorted(number for batch in batches for number in batch) == list(range(100))


def test_epochs_follow_each_other_without_end():
    batches = epoch_after_epoch(lambda epoch: [10 * epoch, 10 * epoch + 1])
    assert [next(batches) for _ in range(5)] == [0, 1, 10, 11, 20]


def test_no_page_of_the_test_is_in_training():
    pytest.importorskip("torch")
    from space.demo_models.answering.qamr import Qamr
    from space.demo_models.question_answering import split

    library = a_library(pages=12)
    qamr = Qamr(
        library.sentences,
        train=tuple(asked_of(name) for name in library.ids[:40]),
        test=tuple(asked_of(name) for name in library.ids[40:50]),
    )
    parts = split(qamr)
    pages = [set(part.library.pages) for part in parts]
    assert not pages[0] & pages[1]
    assert not (pages[0] | pages[1]) & pages[2]
    assert pages[2] == {page(name) for name in library.ids[40:50]}
    assert set.union(*pages) == set(library.pages)
    assert sum(len(part.questions) for part in parts) == 50


@pytest.mark.slow
def test_known_files_give_the_known_numbers():
    folder = Path("../shared/data/qa")
    if not folder.is_dir():
        pytest.skip("QAMR is not beside the repository")
    qamr = read_qamr(folder)
    assert (len(qamr.sentences), len(qamr.train), len(qamr.test)) == (4923, 16899, 16831)
