"""Sentiment: verdicts, the weight of each word, many texts, tables; on a tiny DistilBERT loaded as the real one is."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("gradio")

from space.jobs import Job, Stopped  # noqa: E402
from space.limits import BadInput  # noqa: E402
from space.text.attribution import attribute, integrated_gradients, masked, weigh_words, words_of  # noqa: E402
from space.text.polarity import Polarity, judge, windows_of  # noqa: E402
from space.text.sentiment import (  # noqa: E402
    MOST_TEXTS,
    Verdict,
    Word,
    analyse,
    analyse_many,
    analyse_sheet,
    judged_sheet,
)
from space.text.spreadsheets import read_sheet  # noqa: E402
from space.ui.sentiment_view import verdict_html, verdicts_html, words_html  # noqa: E402

TEXT = "I loved this film, it wasn't dull; the food (warm!) was wonderful."


def a_job() -> Job:
    """A job that nobody stops."""
    return Job(deadline=math.inf)


@pytest.fixture(scope="module")
def loaded(tiny_space):
    """A classifier whose random weights are enlarged, so that it is far from linear."""
    with tiny_space.store.use("sentiment", job=a_job()) as found:
        bent = copy.copy(found)
        bent.model = copy.deepcopy(found.model)
    with torch.no_grad():
        for name, weight in bent.model.named_parameters():
            if weight.dim() == 2:
                weight.mul_(40 if "classifier" in name else 4)
    return bent


def margin(loaded, ids: torch.Tensor) -> float:
    """What the attribution explains, straight from the model."""
    with torch.no_grad():
        logits = loaded.model(input_ids=ids).logits[0]
    return float(logits[1] - logits[0])


def test_weights_of_all_words_add_up_to_the_difference_that_the_text_makes(loaded):
    (window,) = windows_of(loaded, [TEXT])
    words = attribute(loaded, TEXT, job=a_job(), points=256)
    difference = margin(loaded, torch.tensor([window.inputs["input_ids"]])) - margin(loaded, masked(loaded, window))
    size = sum(abs(word.weight) for word in words)
    assert size > 0.5
    assert sum(word.weight for word in words) == pytest.approx(difference, abs=0.003 * size)


def test_weights_are_the_path_integral_of_the_gradient(loaded):
    """Against a plain midpoint sum of 2,000 steps."""
    (window,) = windows_of(loaded, ["a dull film"])
    ids = torch.tensor([window.inputs["input_ids"]])
    embed = loaded.model.get_input_embeddings()
    start, end = embed(masked(loaded, window)).detach(), embed(ids).detach()
    total = torch.zeros_like(end)
    for step in range(20):
        alphas = (torch.arange(100) + 100 * step + 0.5)[:, None, None] / 2_000
        points = (start + alphas * (end - start)).requires_grad_()
        logits = loaded.model(inputs_embeds=points).logits
        (slope,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), points)
        total += slope.sum(0, keepdim=True) / 2_000
    expected = ((end - start) * total).sum(-1)[0]
    found = integrated_gradients(loaded, window, polarity=Polarity.of(loaded), points=64, job=a_job())
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-2)


def test_special_tokens_weigh_nothing_and_the_mask_stands_for_every_piece(loaded):
    (window,) = windows_of(loaded, [TEXT])
    ids = masked(loaded, window)[0].tolist()
    tokenizer = loaded.tokenizer
    assert ids[0] == tokenizer.cls_token_id
    assert ids[-1] == tokenizer.sep_token_id
    assert set(ids[1:-1]) == {tokenizer.mask_token_id}
    weights = integrated_gradients(loaded, window, polarity=Polarity.of(loaded), points=4, job=a_job())
    assert weights[0] == weights[-1] == 0


def test_words_are_whole_and_keep_their_place():
    words = words_of("It isn't well-made... 3.5 stars?! né 日本 👍")
    assert [word.text for word in words] == [
        "It", "isn't", "well-made", "...", "3.5", "stars", "?!", "né", "日本", "👍",
    ]  # fmt: skip
    assert all("It isn't well-made... 3.5 stars?! né 日本 👍"[w.start : w.end] == w.text for w in words)


def test_pieces_of_a_word_are_put_together_even_if_they_begin_with_its_space():
    words = words_of("so unhappy!")
    found = weigh_words(words, [(0, 0), (0, 2), (2, 5), (5, 10), (10, 11), (0, 0)], [9.0, 1.0, 2.0, 3.0, 4.0, 9.0])
    assert [(word.text, word.weight) for word in found] == [("so", 1.0), ("unhappy", 5.0), ("!", 4.0)]


def test_a_long_text_is_judged_and_weighed_whole(loaded):
    text = " ".join([TEXT] * 20)
    windows = windows_of(loaded, [text])
    assert len(windows) > 1
    covered = {place for window in windows for start, end in window.offsets for place in range(start, end)}
    assert covered == {place for place, letter in enumerate(text) if not letter.isspace()}
    assert sum(window.share for window in windows) == pytest.approx(1)
    words = attribute(loaded, text, job=a_job(), points=24)
    expected = sum(
        window.share
        * (margin(loaded, torch.tensor([window.inputs["input_ids"]])) - margin(loaded, masked(loaded, window)))
        for window in windows
    )
    assert sum(word.weight for word in words) == pytest.approx(expected, abs=2e-2)


def test_verdicts_do_not_depend_on_the_company(loaded):
    texts = [TEXT, "dull", " ".join([TEXT] * 20), "What a waste of an evening", "x"]
    alone = [judge(loaded, [text], job=a_job())[0] for text in texts]
    torch.testing.assert_close(torch.stack(judge(loaded, texts, job=a_job())), torch.stack(alone), atol=1e-4, rtol=1e-4)


def test_label_and_probability_are_those_of_the_softmax(loaded):
    logits = judge(loaded, [TEXT], job=a_job())[0]
    with torch.no_grad():
        direct = loaded.model(**loaded.tokenizer(TEXT, return_tensors="pt")).logits[0].softmax(-1)
    verdict = Polarity.of(loaded).verdict(logits)
    assert verdict.label == ("positive" if direct[1] > direct[0] else "negative")
    assert verdict.probability == pytest.approx(float(direct.max()), abs=1e-5)


def test_a_classifier_without_positive_and_negative_is_refused_with_its_classes(loaded):
    other = copy.copy(loaded)
    other.model = copy.deepcopy(loaded.model)
    other.model.config.id2label = {0: "LABEL_0", 1: "LABEL_1"}
    with pytest.raises(BadInput, match="label_0, label_1"):
        judge(other, [TEXT], job=a_job())


def test_a_neutral_class_is_a_verdict_of_its_own(loaded):
    other = copy.copy(loaded)
    other.model = copy.deepcopy(loaded.model)
    other.model.config.id2label = {0: "Neg", 1: "Neutral", 2: "Pos"}
    polarity = Polarity.of(other)
    assert polarity.verdict(torch.tensor([0.0, 5.0, 0.0])).label == "neutral"
    assert float(polarity.margin(torch.tensor([1.0, 5.0, 3.0]))) == 2.0


def test_a_stopped_job_ends_weighing_and_judging(loaded):
    job: Job = Job(deadline=0.0)
    with pytest.raises(Stopped):
        attribute(loaded, TEXT, job=job)
    with pytest.raises(Stopped):
        judge(loaded, [TEXT], job=job)


def test_analysis_shows_the_verdict_first_then_the_words(tiny_space):
    steps = list(analyse(tiny_space, TEXT))
    assert steps[0].verdict is None
    assert any(step.verdict and not step.words for step in steps)
    last = steps[-1]
    assert [word.text for word in last.words][:4] == ["I", "loved", "this", "film"]
    assert all(word.weight is not None for word in last.words)
    assert last.choice.spec.key == "distilbert-sst2"


def test_many_texts_keep_their_order(tiny_space):
    texts = [TEXT, "dull", "I hated the food."]
    last = list(analyse_many(tiny_space, texts))[-1]
    alone = [list(analyse(tiny_space, text))[-1].verdict for text in texts]
    assert [verdict.label for verdict in last.verdicts] == [verdict.label for verdict in alone]
    assert [v.probability for v in last.verdicts] == pytest.approx([v.probability for v in alone], abs=1e-5)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "at least one"),
        ("text", "in a list"),
        (None, "in a list"),
        (["a"] * (MOST_TEXTS + 1), "at most 200"),
        (["a", ""], "Text 2 is empty"),
        (["a", 3], "Text 2 must be text"),
        (["a", "b" * 4_001], "Text 2 has 4,001 characters"),
        (["b" * 4_000] * 26, "at most 100,000"),
    ],
)
def test_texts_out_of_the_limits_are_refused(tiny_space, texts, said):
    with pytest.raises(BadInput) as error:
        analyse_many(tiny_space, texts)
    assert said in error.value.message


@pytest.mark.parametrize("text", ["", None, "x" * 4_001, ["x"]])
def test_a_text_out_of_the_limits_is_refused_before_a_model_is_touched(tiny_space, text):
    with pytest.raises(BadInput):
        analyse(tiny_space, text)


def test_a_table_gets_label_and_probability_and_empty_cells_get_none(tiny_space):
    sheet = read_sheet(b'id,text\n1,wonderful film\n2,\n3,"a dull, terrible evening"\n')
    last = list(analyse_sheet(tiny_space, sheet, column=1))[-1]
    judged = judged_sheet(sheet, last)
    assert judged.header == ("id", "text", "label", "probability")
    assert judged.rows[1] == ("2", "", "", "")
    assert {judged.rows[0][2], judged.rows[2][2]} <= {"positive", "negative"}
    assert 0.5 <= float(judged.rows[0][3]) <= 1


def test_a_column_without_text_is_refused(tiny_space):
    with pytest.raises(BadInput, match="'text' holds no text"):
        analyse_sheet(tiny_space, read_sheet(b"id,text\n1,\n2, \n"), column=1)


def test_a_lone_surrogate_or_markup_in_a_table_does_no_harm(tiny_space):
    sheet = read_sheet("text,n\n<script>alert(1)</script>,1\n\u202etxet,2\n".encode())
    last = list(analyse_sheet(tiny_space, sheet, column=0))[-1]
    assert last.done == 2


def test_html_escapes_what_users_wrote_and_marks_sign_and_strength():
    text = "<b>bad</b> & good"
    words = [Word(w.text, w.start, w.end, {"bad": -2.0, "good": 1.0}.get(w.text, 0.0)) for w in words_of(text)]
    html = words_html(text, words)
    assert "<b>" not in html
    assert "&lt;b&gt;" in html.replace("</span>", "").replace('<span class="word', "") or "&lt;" in html
    assert '<span class="word negative" style="--w:1.00" title="−2.00">bad</span>' in html
    assert '<span class="word positive" style="--w:0.50" title="+1.00">good</span>' in html
    table = verdicts_html(["<i>x</i>"], [Verdict("<u>", 0.5)], most=10)
    assert "<i>" not in table
    assert "<u>" not in table
    assert "<u>" not in verdict_html(Verdict("<u>", 0.5))
