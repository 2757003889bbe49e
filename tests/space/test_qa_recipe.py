"""The recipe for question answering on a tiny random BERT: true code, few steps; and what it measures with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jax_models.errors import UsageError
from space.demo_models.detokenise import detokenise
from space.demo_models.judging import choose_threshold, judge_answers
from space.demo_models.passages import Passage
from space.demo_models.qamr import Qamr, Question
from space.demo_models.span_scores import best_spans
from space.demo_models.squad import exact_match, f1, normalise
from space.demo_models.training import CHECKPOINT, Plan
from space.folders import WEIGHTS

torch = pytest.importorskip("torch")
pytest.importorskip("peft")
PLAN = Plan(steps=8, batch_size=8, rank=2, learning_rate=1e-2, checkpoint_every=3)


@pytest.fixture(scope="module")
def qamr() -> Qamr:
    """Twelve pages of four sentences, a question about each."""
    texts = {
        f"Wiki1k:wikipedia:{title}:0:{number}": f"Anna wrote {number} letters in the year {1900 + title} ."
        for title in range(12)
        for number in range(4)
    }
    questions = tuple(Question(name, "How many letters?", ((2,), (2, 3), (2,))) for name in texts)
    sentences = {name: detokenise(text.split()) for name, text in texts.items()}
    return Qamr(sentences, train=questions[:40], test=questions[40:])


@pytest.fixture(scope="module")
def made(qamr, tiny_models, tmp_path_factory):
    """What an uninterrupted run leaves, and its metrics."""
    from space.demo_models.question_answering import make

    out = tmp_path_factory.mktemp("whole")
    return out, make(qamr, base=tiny_models / "offline" / "minilm-l6", plan=PLAN, out=out)


def weights_of(adapter: Path) -> dict[str, torch.Tensor]:
    """The adapter's tensors."""
    from safetensors.torch import load_file

    return load_file(adapter / "adapter_model.safetensors")


def test_the_recipe_writes_an_adapter_its_calibration_its_metrics_and_its_card(made):
    out, metrics = made
    adapter = out / "adapter"
    assert json.loads((adapter / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert json.loads((adapter / "calibration.json").read_text()) == {
        "no_answer_threshold": metrics["no_answer_threshold"]
    }
    card = (adapter / "README.md").read_text()
    assert card.startswith("---\nlanguage: en\nlicense: apache-2.0\n")
    assert f"| {metrics['test']['among 5 sentences of other pages']['n']} |" in card
    assert all(weight.dtype == torch.float16 for weight in weights_of(adapter).values())
    assert str(out) not in (adapter / "adapter_config.json").read_text()


def test_merged_weights_give_the_logits_of_the_adapter_beside_the_base(made, tiny_models):
    from peft import PeftModel
    from transformers import AutoModelForQuestionAnswering

    from space.demo_models.adapters import load_adapted, load_base

    base, adapter = tiny_models / "offline" / "minilm-l6", made[0] / "adapter"
    merged, tokenizer = load_adapted(base, adapter, AutoModelForQuestionAnswering)
    beside = (
        PeftModel.from_pretrained(load_base(base, AutoModelForQuestionAnswering)[0], str(adapter)).eval().base_model
    )
    untrained, _ = load_base(base, AutoModelForQuestionAnswering)
    batch = tokenizer("Who wrote it?", "Anna wrote it in Rome.", return_tensors="pt")
    with torch.no_grad():
        logits, expected, before = (model(**batch).start_logits for model in (merged, beside, untrained.eval()))
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(logits, before, atol=1e-3)
    assert not merged.training
    assert merged.dtype == torch.float32
    assert not any("lora" in name for name, _ in merged.named_parameters())


def test_a_stopped_run_ends_as_one_that_was_not(made, qamr, tiny_models, tmp_path, monkeypatch):
    from space.demo_models import question_answering
    from space.demo_models.training import Progress

    base = tiny_models / "offline" / "minilm-l6"

    def stop(progress: Progress) -> None:
        if progress.step >= progress.steps // 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(question_answering, "show_progress", stop)
        with pytest.raises(KeyboardInterrupt):
            question_answering.make(qamr, base=base, plan=PLAN, out=tmp_path)
    assert (tmp_path / CHECKPOINT).exists()
    assert not (tmp_path / "adapter").exists()
    question_answering.make(qamr, base=base, plan=PLAN, out=tmp_path)
    ours, whole = weights_of(tmp_path / "adapter"), weights_of(made[0] / "adapter")
    assert ours.keys() == whole.keys()
    assert all(torch.equal(ours[name], whole[name]) for name in whole)


def test_a_checkpoint_of_another_plan_is_refused(made, qamr, tiny_models):
    from space.demo_models.question_answering import make

    with pytest.raises(UsageError, match="other options; delete it, or choose another --out"):
        make(qamr, base=tiny_models / "offline" / "minilm-l6", plan=replace(PLAN, rank=4), out=made[0])


def test_training_brings_the_loss_down(qamr, tiny_models, tmp_path):
    from transformers import AutoModelForQuestionAnswering

    from space.demo_models.adapters import adapt, load_base
    from space.demo_models.passages import Library
    from space.demo_models.qamr import page
    from space.demo_models.reading import in_batches, span_loss, training_passages
    from space.demo_models.training import fit

    model, tokenizer = load_base(tiny_models / "offline" / "minilm-l6", AutoModelForQuestionAnswering, dropout=0.0)
    model = adapt(model, rank=4, head="qa_outputs", task="QUESTION_ANS")
    library = Library.of(qamr.sentences, {page(name) for name in qamr.sentences})
    passages = training_passages(qamr.train, library, seed=0, epoch=0)
    batches = list(in_batches(passages, batch_size=8, seed=0, epoch=0))
    losses = []
    fit(
        model,
        plan=replace(PLAN, steps=60, checkpoint_every=5),
        batches=lambda epoch: batches,
        loss_of=lambda batch: span_loss(model, tokenizer, batch),
        folder=tmp_path,
        report=lambda progress: losses.append(progress.loss),
    )
    assert losses[-1] < losses[0] - 1


def test_answers_are_pieces_of_their_passages_in_the_order_of_the_passages(made, tiny_models):
    from transformers import AutoModelForQuestionAnswering

    from space.demo_models.adapters import load_adapted
    from space.demo_models.reading import answer

    model, tokenizer = load_adapted(
        tiny_models / "offline" / "minilm-l6", made[0] / "adapter", AutoModelForQuestionAnswering
    )
    texts = ["Anna wrote it in Rome.", "A fox.", "Once upon a time there was a small fox."]
    answers = answer(model, tokenizer, [Passage("Who?", text, (), ()) for text in texts], batch_size=2)
    assert all(found.text and found.text in text for found, text in zip(answers, texts, strict=True))


def test_the_best_span_begins_before_it_ends_lies_in_the_text_and_is_not_too_long():
    start = np.array([1.0, 9.0, 0.0, 5.0, 4.0, 0.0])
    end = np.array([0.5, 9.0, 6.0, 0.0, 1.0, 3.0])
    allowed = np.array([False, False, True, True, True, True])
    best, second = best_spans(start, end, allowed, top=2)
    assert (best.first, best.last, best.margin) == (3, 5, 6.5)
    assert (second.first, second.last) == (2, 2)
    (short,) = best_spans(start, end, allowed, max_tokens=2)
    assert (short.first, short.last) == (4, 5)
    assert best_spans(start, end, np.zeros(6, bool)) == []


@pytest.mark.parametrize(
    ("answer", "golds", "exact", "score"),
    [
        ("The Seine.", ("seine",), 1.0, 1.0),
        ("in Paris, France", ("Paris", "in Paris"), 0.0, 0.8),
        ("", ("Paris",), 0.0, 0.0),
        ("", (), 1.0, 1.0),
        ("Paris", (), 0.0, 0.0),
        ("two two", ("two",), 0.0, 2 / 3),
    ],
)
def test_scores_are_those_of_squad(answer, golds, exact, score):
    assert exact_match(answer, golds) == exact
    assert f1(answer, golds) == pytest.approx(score)


def test_normalisation_drops_case_articles_and_punctuation():
    assert normalise("  The U.S.  and an (Other) ") == "us and other"


def test_the_threshold_refuses_where_refusing_is_right():
    from space.demo_models.reading import Answer

    there, absent = Passage("?", "Paris", ((0, 5),), ("Paris",)), Passage("?", "Rome", (), ())
    passages = [there, there, absent, absent]
    answers = [Answer("Paris", 3.0), Answer("Paris", 1.0), Answer("Rome", 0.0), Answer("Rome", -2.0)]
    threshold = choose_threshold(passages, answers)
    assert 0.0 < threshold < 1.0
    judged = judge_answers(passages[:2], answers[:2], groups=["a", "b"], threshold=2.0)
    assert (judged.f1, judged.exact, judged.f1_with_threshold, judged.answered) == (100.0, 100.0, 50.0, 50.0)
    refused = judge_answers(passages[2:], answers[2:], groups=["a", "b"], threshold=threshold)
    assert (refused.f1, refused.f1_with_threshold, refused.answered) == (None, 100.0, 0.0)


SHIPPED = WEIGHTS / "question_answering"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Where was Marie Curie born?", "Warsaw"),
        ("When did she win the Nobel Prize in Physics?", "1903"),
        ("Who was her husband?", "Pierre Curie"),
    ],
)
def test_shipped_weights_read_a_paragraph(minilm, question, answer):
    from transformers import AutoModelForQuestionAnswering

    from space.demo_models.adapters import load_adapted, read_calibration
    from space.demo_models.reading import answer as read

    text = (
        "Marie Curie was born in Warsaw in 1867. She moved to Paris to study physics and mathematics. There she met "
        "her husband, Pierre Curie. In 1903 she won the Nobel Prize in Physics together with him and Henri Becquerel. "
        "The notebooks she used are still radioactive."
    )
    model, tokenizer = load_adapted(minilm, SHIPPED, AutoModelForQuestionAnswering)
    found = read(model, tokenizer, [Passage(question, text, (), ())])[0]
    assert f1(found.text, (answer,)) >= 0.5
    assert found.margin > read_calibration(SHIPPED)["no_answer_threshold"]
