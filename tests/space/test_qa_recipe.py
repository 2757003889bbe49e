"""The recipe for question answering on a tiny random BERT: true code, few steps; and what it measures with."""

import json
import math
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from jax_models.errors import RunError, UsageError  # noqa: E402
from space.demo_models.answering.detokenise import detokenise  # noqa: E402
from space.demo_models.answering.judging import choose_threshold, judge_answers  # noqa: E402
from space.demo_models.answering.passages import Passage  # noqa: E402
from space.demo_models.answering.qamr import Qamr, Question  # noqa: E402
from space.demo_models.answering.squad import exact_match, f1, normalise  # noqa: E402
from space.demo_models.command import AdapterPlan  # noqa: E402
from space.demo_models.question_answering import CHECKPOINT, HEADLINE, measure, teach  # noqa: E402
from space.folders import WEIGHTS  # noqa: E402

PLAN = AdapterPlan(steps=8, batch_size=8, rank=2, learning_rate=1e-2, checkpoint_every=3)
SHIPPED = WEIGHTS / "question_answering"


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
def base(tiny_models) -> Path:
    """A tiny MiniLM."""
    return tiny_models / "offline" / "minilm-l6"


@pytest.fixture(scope="module")
def made(qamr, base, tmp_path_factory):
    """What an uninterrupted run leaves, and its metrics."""
    out = tmp_path_factory.mktemp("whole")
    training = teach(qamr, base=base, plan=PLAN, out=out)
    return out, measure(qamr, base=base, adapter=out / "adapter", training=training)


def read_with(adapter: Path, base: Path):
    """An adapter in memory, as the app has it."""
    from transformers import AutoModelForQuestionAnswering

    from space.demo_models.adapters import load_adapted
    from space.models.catalog import MODELS
    from space.models.choosing import Choice
    from space.models.store import Loaded

    model, tokenizer = load_adapted(base, adapter, AutoModelForQuestionAnswering)
    return Loaded(Choice(MODELS["minilm-qa"], ""), model, tokenizer, 0, adapter)


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
    scores = metrics["test"][HEADLINE]
    assert f"| {scores['n']} | {scores['f1']:.1f} (" in card
    assert f"F1 {scores['f1']:.1f} always" in metrics["headline"]
    assert f"{scores['f1_with_threshold']:.1f} where it may refuse" in metrics["headline"]
    assert all(weight.dtype == torch.float16 for weight in weights_of(adapter).values())
    assert str(out) not in (adapter / "adapter_config.json").read_text()


def test_merged_weights_give_the_logits_of_the_adapter_beside_the_base(made, base):
    from peft import PeftModel
    from transformers import AutoModelForQuestionAnswering

    from space.demo_models.adapters import load_adapted, load_base

    adapter = made[0] / "adapter"
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


def test_an_adapter_is_measured_anew_without_training(made, qamr, base, tmp_path):
    adapter = tmp_path / "adapter"
    shutil.copytree(made[0] / "adapter", adapter)
    metrics = json.loads((adapter / "metrics.json").read_text())
    (adapter / "metrics.json").write_text(json.dumps({"training": metrics["training"]}))
    (adapter / "calibration.json").write_text('{"no_answer_threshold": 99.0}')
    again = measure(qamr, base=base, adapter=adapter)
    assert json.loads(json.dumps(again)) == metrics
    for name in ("calibration.json", "metrics.json", "README.md", "adapter_model.safetensors"):
        assert (adapter / name).read_bytes() == (made[0] / "adapter" / name).read_bytes()


def test_an_adapter_that_does_not_say_how_it_was_trained_is_not_measured(made, qamr, base, tmp_path):
    with pytest.raises(RunError, match="does not say how the adapter was trained"):
        measure(qamr, base=base, adapter=tmp_path)


def test_a_stopped_run_ends_as_one_that_was_not(made, qamr, base, tmp_path, monkeypatch):
    from space.demo_models import question_answering
    from space.demo_models.training import Progress

    def stop(progress: Progress) -> None:
        if progress.step >= progress.steps // 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(question_answering, "show_progress", stop)
        with pytest.raises(KeyboardInterrupt):
            teach(qamr, base=base, plan=PLAN, out=tmp_path)
    assert (tmp_path / CHECKPOINT).exists()
    assert not (tmp_path / "adapter").exists()
    teach(qamr, base=base, plan=PLAN, out=tmp_path)
    ours, whole = weights_of(tmp_path / "adapter"), weights_of(made[0] / "adapter")
    assert ours.keys() == whole.keys()
    assert all(torch.equal(ours[name], whole[name]) for name in whole)


def test_a_checkpoint_of_another_plan_is_refused(made, qamr, base):
    with pytest.raises(UsageError, match="other options; delete it, or choose another --out"):
        teach(qamr, base=base, plan=replace(PLAN, rank=4), out=made[0])


def test_training_brings_the_loss_down(qamr, base, tmp_path):
    import itertools

    from transformers import AutoModelForQuestionAnswering

    from space.demo_models.adapters import adapt, load_base
    from space.demo_models.answering.passages import Library
    from space.demo_models.answering.qamr import page
    from space.demo_models.answering.reading import span_loss, training_passages
    from space.demo_models.batches import in_batches
    from space.demo_models.training import train

    model, tokenizer = load_base(base, AutoModelForQuestionAnswering, dropout=0.0)
    model = adapt(model, rank=4, head="qa_outputs", task="QUESTION_ANS")
    library = Library.of(qamr.sentences, {page(name) for name in qamr.sentences})
    passages = training_passages(qamr.train, library, seed=0, epoch=0)
    batches = in_batches(passages, length=lambda one: len(one.text), batch_size=8, pool=64, rng=random.Random(0))
    losses = []
    train(
        model,
        batches=itertools.cycle(batches),
        loss_of=lambda batch: span_loss(model, tokenizer, batch),
        plan=replace(PLAN, steps=60, checkpoint_every=5),
        checkpoint=tmp_path / CHECKPOINT,
        report=lambda progress: losses.append(progress.loss),
    )
    assert losses[-1] < losses[0] - 1


def test_the_recipe_reads_as_the_app_does(made, base, qamr):
    from space.demo_models.answering.reading import answer
    from space.jobs import Job
    from space.text.answers import no_answer_threshold
    from space.text.spans import choose, read, spans_of, split

    adapter = made[0] / "adapter"
    loaded, threshold = read_with(adapter, base), made[1]["no_answer_threshold"]
    few, many = "Anna wrote it in Rome. ", "Anna wrote it in Rome; the fox did not. " * 60
    shown = []
    for text in (few, many):
        windows = split(loaded, "Who wrote it?", text)
        logits = [pair for two in read(loaded, windows, job=Job(math.inf)) for pair in zip(*two, strict=True)]
        spans = [spans_of(windows, row, *pair, against_null=True) for row, pair in enumerate(logits)]
        shown.append((len(windows), choose(text, spans, threshold=no_answer_threshold(loaded, windows=len(windows)))))
    assert shown[0][0] == 1 < shown[1][0]
    answers = answer(loaded, [Passage("Who wrote it?", text, (), ()) for text in (few, many)])
    for ours, (_, found) in zip(answers, shown, strict=True):
        assert ours.text == found.candidates[0].text
        assert (ours.margin > threshold) == found.answered
        odds = math.log(found.candidates[0].probability / found.no_answer)
        assert ours.margin - threshold == pytest.approx(odds, abs=1e-6)


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
    from space.demo_models.answering.reading import Answer

    there, absent = Passage("?", "Paris", ((0, 5),), ("Paris",)), Passage("?", "Rome", (), ())
    passages = [there, there, absent, absent]
    answers = [Answer("Paris", 3.0), Answer("Paris", 1.0), Answer("Rome", 0.0), Answer("Rome", -2.0)]
    threshold = choose_threshold(passages, answers)
    assert 0.0 < threshold < 1.0
    judged = judge_answers(passages[:2], answers[:2], groups=["a", "b"], threshold=2.0)
    assert (judged.f1, judged.exact, judged.f1_with_threshold, judged.answered) == (100.0, 100.0, 50.0, 50.0)
    refused = judge_answers(passages[2:], answers[2:], groups=["a", "b"], threshold=threshold)
    assert (refused.f1, refused.f1_with_threshold, refused.answered) == (None, 100.0, 0.0)


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
    from space.calibration import read_calibration
    from space.demo_models.answering.reading import answer as read

    text = (
        "Marie Curie was born in Warsaw in 1867. She moved to Paris to study physics and mathematics. There she met "
        "her husband, Pierre Curie. In 1903 she won the Nobel Prize in Physics together with him and Henri Becquerel. "
        "The notebooks she used are still radioactive."
    )
    (found,) = read(read_with(SHIPPED, minilm), [Passage(question, text, (), ())])
    assert f1(found.text, (answer,)) >= 0.5
    assert found.margin > read_calibration(SHIPPED)["no_answer_threshold"]
