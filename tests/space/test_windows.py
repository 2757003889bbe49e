"""Windows of a long text: nothing is lost, none is too long, sentences stay whole where they can."""

from itertools import pairwise

import pytest

transformers = pytest.importorskip("transformers")

from space.text.windows import first_sentences, whole_sentences, windows  # noqa: E402


@pytest.fixture(scope="module")
def tokenizer(tiny_models):
    return transformers.AutoTokenizer.from_pretrained(tiny_models / "offline" / "smollm2-135m-instruct")


def tokens(tokenizer, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False).input_ids)


SENTENCES = " ".join(f"Sentence number {number} says something of its own." for number in range(60))
TWO = "Dr. Jones and J. R. Smith paid 3.5 euros. They left!"
ONE_WORD = "".join(str(number) for number in range(900))
ODD = f"{' '.join(map(str, range(200)))}\n\nA line.\n\n\n{ONE_WORD}" + "\u2603 \u00fc? ! ... End"


@pytest.mark.parametrize("text", [SENTENCES, ODD, "One.", ONE_WORD], ids=["plain", "odd", "short", "one word"])
@pytest.mark.parametrize(("size", "overlap"), [(64, 16), (200, 40), (50, 0)])
def test_windows_together_hold_the_whole_text_and_none_is_too_long(tokenizer, text, size, overlap):
    parts = windows(text, tokenizer, size=size, overlap=overlap)
    assert (parts[0].start, parts[-1].stop) == (0, len(text))
    assert all(before.start < after.start <= before.stop < after.stop for before, after in pairwise(parts))
    assert all(tokens(tokenizer, text[part]) <= size * 1.2 for part in parts)


@pytest.mark.parametrize("text", [SENTENCES, ONE_WORD], ids=["plain", "one word"])
def test_windows_overlap(tokenizer, text):
    parts = windows(text, tokenizer, size=120, overlap=40)
    shared = [tokens(tokenizer, text[after.start : before.stop]) for before, after in pairwise(parts)]
    assert len(shared) > 2
    assert all(0 < count <= 45 for count in shared)


def test_windows_begin_and_end_with_sentences(tokenizer):
    parts = [SENTENCES[part] for part in windows(SENTENCES, tokenizer, size=120, overlap=40)]
    assert all(part.startswith("Sentence") and part.rstrip().endswith("own.") for part in parts)


def test_windows_have_about_the_same_length(tokenizer):
    parts = windows(SENTENCES, tokenizer, size=300, overlap=30)
    lengths = [part.stop - part.start for part in parts]
    assert len(lengths) > 2
    assert min(lengths) > max(lengths) / 2


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("He left. She sta", "He left."),
        ('"Go!" he said. And th', '"Go!" he said.'),
        ("All of it.", "All of it."),
        ("no end at all", "no end at all"),
        ("It cost 3.5 euros. Then", "It cost 3.5 euros."),
    ],
)
def test_an_unfinished_sentence_is_cut(text, kept):
    assert whole_sentences(text) == kept


@pytest.mark.parametrize(
    ("number", "kept"),
    [(1, "Dr. Jones and J. R. Smith paid 3.5 euros."), (2, TWO), (3, TWO)],
)
def test_the_first_sentences_are_taken_whole(number, kept):
    assert first_sentences(TWO, number) == kept
