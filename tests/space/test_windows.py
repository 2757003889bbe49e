"""Windows of a long text: nothing is lost, none is too long, sentences stay whole where they can."""

from itertools import pairwise

import pytest

transformers = pytest.importorskip("transformers")

from space.windows import whole_sentences, windows  # noqa: E402


@pytest.fixture(scope="module")
def tokenizer(tiny_models):
    return transformers.AutoTokenizer.from_pretrained(tiny_models / "offline" / "smollm2-135m-instruct")


def tokens(tokenizer, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False).input_ids)


def joined(parts: list[str], *, overlapping: bool) -> str:
    """The text of which these are windows: of each, what the one before does not end with."""
    text = parts[0]
    for part in parts[1:]:
        sizes = range(min(len(part), len(text)), -1, -1) if overlapping else (0,)
        text += part[next(size for size in sizes if text.endswith(part[:size])) :]
    return text


SENTENCES = " ".join(f"Sentence number {number} says something of its own." for number in range(60))
ONE_WORD = "".join(str(number) for number in range(900))
ODD = f"{' '.join(map(str, range(200)))}\n\nA line.\n\n\n{ONE_WORD}" + "\u2603 \u00fc? ! ... End"


@pytest.mark.parametrize("text", [SENTENCES, ODD, "One.", ONE_WORD], ids=["plain", "odd", "short", "one word"])
@pytest.mark.parametrize(("size", "overlap"), [(64, 16), (200, 40), (50, 0)])
def test_windows_together_hold_the_whole_text_and_none_is_too_long(tokenizer, text, size, overlap):
    parts = windows(text, tokenizer, size=size, overlap=overlap)
    assert joined(parts, overlapping=overlap > 0) == text
    assert all(tokens(tokenizer, part) <= size * 1.2 for part in parts)


def test_windows_begin_and_end_with_sentences_and_overlap(tokenizer):
    parts = windows(SENTENCES, tokenizer, size=120, overlap=40)
    assert len(parts) > 2
    assert all(part.startswith("Sentence") and part.rstrip().endswith("own.") for part in parts)
    assert all(before.endswith(after[: after.index(".") + 2]) for before, after in pairwise(parts))


def test_windows_have_about_the_same_length(tokenizer):
    lengths = [tokens(tokenizer, part) for part in windows(SENTENCES, tokenizer, size=300, overlap=30)]
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
