"""The attention lab: what it writes, where it looked, and what it refuses."""

import time

import pytest

gr = pytest.importorskip("gradio")
pytest.importorskip("safetensors")

import lab_models  # noqa: E402

from space.labs.looking import Answer, available, look, make_shelf  # noqa: E402
from space.limits import BadInput  # noqa: E402
from space.tasks import attention_lab  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A shipped model, and a run without attention."""
    folder = tmp_path_factory.mktemp("models")
    lab_models.reader_file(folder)
    lab_models.reader_run(folder / "run", attention="none")
    return folder


@pytest.fixture
def models(folder, monkeypatch):
    """The same, where the lab looks."""
    monkeypatch.setenv("SPACE_CHECKPOINTS", str(folder))
    return folder


@pytest.fixture(scope="module")
def shelf():
    """What is loaded once stays for all tests."""
    return make_shelf()


def last(shelf, tokens, **settings) -> Answer:
    *_, answer = look(shelf, tokens, **settings)
    return answer


def test_the_answer_has_a_probability_and_a_row_of_weights_for_each_symbol(models, shelf):
    reply = attention_lab._reply(last(shelf, " 3, 1 4 "))
    assert reply["model"] == "reverse-additive"
    assert reply["input"] == ["3", "1", "4"]
    assert len(reply["output"]) == len(reply["probabilities"]) == len(reply["attention"])
    assert all(0 < probability <= 1 for probability in reply["probabilities"])
    assert all(len(row) == 3 and 0 <= sum(row) <= 1.001 for row in reply["attention"])


def test_the_probability_of_greedy_writing_is_the_largest_there_is(models, shelf):
    written = last(shelf, "1 2 3 4").written
    assert written is not None
    assert all(probability > 1 / 11 for probability in written.probabilities)


def test_a_model_without_attention_has_no_map(models, shelf):
    answer = last(shelf, "1 2 3", model="reverse-none")
    assert attention_lab._map(answer) == ""
    assert "no attention" in attention_lab._status(answer)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ("", "empty"),
        (None, "must be text"),
        ("1 2 x", "not in the vocabulary"),
        ("1 2 99999999999999999999", "not in the vocabulary"),
        ("<script>alert(1)</script>", "&lt;script&gt;"),
        ("1 " * 9, "the limit is 8; shorten it"),
        ("1" * 1_001, "at most 1,000"),
        (", ,", "empty"),
    ],
)
def test_what_the_model_cannot_read_is_refused_in_words(models, shelf, tokens, said):
    with pytest.raises(BadInput) as error:
        last(shelf, tokens)
    assert said in error.value.message
    assert "raise max_length" not in error.value.message


@pytest.mark.parametrize("model", ["../../etc/passwd", "reverse", "", None, 3])
def test_a_model_is_picked_by_its_key_only(models, model):
    with pytest.raises(BadInput, match="The model must be one of: auto, reverse-additive, reverse-none"):
        look(make_shelf(), "1 2", model=model)


def test_without_a_model_the_page_and_the_endpoint_say_how_to_train_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_CHECKPOINTS", str(tmp_path))
    with pytest.raises(BadInput, match=r"python -m seq2seq\.train"):
        look(make_shelf(), "1 2 3")
    panel = attention_lab._missing()
    assert panel.visible
    assert "python -m seq2seq.train" in panel.value


def test_damaged_weights_are_told_without_their_place(tmp_path, monkeypatch):
    lab_models.reader_run(tmp_path / "run")
    (tmp_path / "run" / "weights.npz").write_bytes(b"broken")
    monkeypatch.setenv("SPACE_CHECKPOINTS", str(tmp_path))
    with pytest.raises(BadInput, match="is damaged") as error:
        last(make_shelf(), "1 2")
    assert str(tmp_path) not in error.value.message


def test_an_answer_stops_when_nobody_waits_for_it(models):
    answers = look(make_shelf(), "1 2 3")
    next(answers)
    started = time.monotonic()
    answers.close()
    assert time.monotonic() - started < 0.5


def test_the_map_escapes_symbols_and_colours_cells_by_weight(models, shelf):
    page = attention_lab._map(last(shelf, "1 2"))
    assert page.count("<td style=") == page.count('scope="row"') * 2
    assert '<th scope="col">1</th><th scope="col">2</th>' in page


def test_the_shipped_model_reverses_and_looks_at_what_it_writes(monkeypatch):
    monkeypatch.delenv("SPACE_CHECKPOINTS", raising=False)
    assert "reverse-additive" in [checkpoint.key for checkpoint in available()]
    reply = attention_lab._reply(last(make_shelf(), "3 1 41 59 26"))
    assert reply["output"] == ["26", "59", "41", "1", "3"]
    assert [row.index(max(row)) for row in reply["attention"]] == [4, 3, 2, 1, 0]
