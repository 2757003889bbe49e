"""`python -m space.demo_models.question_answering`: teaches MiniLM to find answers in a text, or to say it has none."""

import contextlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jax_models.command_line import Parser, positive
from jax_models.errors import RunError, run_cli
from jax_models.output import locked, prepare_folder
from space.demo_models.adapters import METRICS, adapt, describe_adapter, load_adapted, load_base, save_adapter
from space.demo_models.answering.judging import Judged, choose_threshold, judge_answers
from space.demo_models.answering.passages import Company, Library, Passage, hide
from space.demo_models.answering.qamr import Qamr, Question, page, read_qamr
from space.demo_models.answering.reading import MOST_DISTRACTORS, answer, span_loss, training_passages
from space.demo_models.base_models import ensure_minilm
from space.demo_models.batches import epoch_after_epoch, in_batches
from space.demo_models.cards import question_answering_card
from space.demo_models.command import AdapterPlan, add_plan_options, plan_of, say, show_progress
from space.demo_models.provenance import provenance
from space.demo_models.training import train
from space.models.catalog import MODELS
from space.models.choosing import Choice
from space.models.store import Loaded

PROG = "python -m space.demo_models.question_answering"
DESCRIPTION = """\
Trains a LoRA adapter on MiniLM that marks the answer to a question in a text, or finds that there is none. It learns
from QAMR (Michael et al. 2018): questions about single sentences, which it hides among other sentences.
"""
EPILOG = """\
DIR holds qamr_dev.tsv, qamr_test.tsv and qamr_wiki_sentences.tsv. It learns from the first; pages of the second are
seen in the test only. A stopped run goes on from its last checkpoint: type the command again.

what lands in OUT:
  adapter/          the weights in peft's format, the margin above which an answer is given, the model card, and
                    metrics.json: scores on the test with their intervals, the plan, the time
  checkpoint.pt     to go on from

--measure DIR trains nothing: it measures the adapter in DIR, for example space/weights/question_answering, as the app
reads with it, and writes its margin, metrics.json and card anew.
"""
DROPOUT = 0.0
PLAN = AdapterPlan(steps=1000, batch_size=24, rank=64, learning_rate=2e-3)
VALIDATION_SHARE = 0.1
DISTRACTORS = 5
TEST_QUESTIONS = 2_000
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Split:
    """Questions and the sentences of their passages; no page is in two parts."""

    questions: tuple[Question, ...]
    library: Library


@dataclass(frozen=True)
class Setting:
    """How the test hides the sentence: `distractors` others in this `company`, or leaves it out."""

    distractors: int
    company: Company
    answerable: bool = True


HEADLINE = "among 5 sentences of other pages"
SETTINGS = {
    HEADLINE: Setting(DISTRACTORS, "others"),
    "among its 8 neighbours on the page": Setting(8, "neighbours"),
    "not there, 6 sentences of other pages": Setting(6, "others", answerable=False),
    "not there, its 8 neighbours on the page": Setting(8, "neighbours", answerable=False),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, source files that are missing or others, or checkpoints there of another run.
        RunError: MiniLM could not be made ready, the training diverged, or something could not be written.
    """
    parser = Parser(prog=PROG, description=DESCRIPTION, epilog=EPILOG)
    add_plan_options(parser, PLAN, out=Path("out/question_answering"))
    parser.add_argument(
        "--test-questions",
        type=positive,
        default=TEST_QUESTIONS,
        metavar="N",
        help=f"drawn for the test, a third of them for each of its side settings (default: {TEST_QUESTIONS})",
    )
    parser.add_argument("--measure", type=Path, metavar="DIR", help="measure the adapter in DIR, and train nothing")
    options = parser.parse_args(arguments)
    plan, adapter = plan_of(options, PLAN), options.measure or options.out / "adapter"
    qamr, base = read_qamr(options.data), ensure_minilm()
    if options.measure is None:
        prepare_folder(options.out)
    with contextlib.nullcontext() if options.measure else locked(options.out):
        training = None if options.measure else teach(qamr, base=base, plan=plan, out=options.out)
        metrics = measure(qamr, base=base, adapter=adapter, training=training, test_questions=options.test_questions)
    for name, scores in metrics["test"].items():
        low, high = scores["f1_with_threshold_interval"]
        say(f"{name}: F1 {scores['f1_with_threshold']:.1f} (95 % {low:.1f} to {high:.1f}), n {scores['n']}")
    say(f"{metrics['headline']}. Written: {adapter}")


def teach(qamr: Qamr, *, base: Path, plan: AdapterPlan, out: Path) -> dict[str, Any]:
    """Trains an adapter and writes it to OUT/adapter; returns what its metrics shall say of the training.

    Raises:
        UsageError: checkpoints of another run are there.
        RunError: the training diverged, or something could not be written.
    """
    from transformers import AutoModelForQuestionAnswering

    made_by = provenance()
    training, validation, _ = split(qamr)
    model, tokenizer = load_base(base, AutoModelForQuestionAnswering, seed=plan.seed, dropout=DROPOUT)
    model = adapt(model, rank=plan.rank, head="qa_outputs", task="QUESTION_ANS", seed=plan.seed)
    seconds = train(
        model,
        batches=epoch_after_epoch(lambda epoch: _batches(training, plan, epoch)),
        # peft's own forward leaves out the token types, which tell question and passage apart.
        loss_of=lambda passages: span_loss(model.base_model, tokenizer, passages),
        plan=plan,
        checkpoint=out / CHECKPOINT,
        report=show_progress,
    )
    save_adapter(model, out / "adapter")
    return {
        "command": f"{PROG} --data DIR",
        **made_by,
        "cpu_seconds": round(seconds),
        "questions": {"training": len(training.questions), "validation": len(validation.questions)},
        "most_distractors": MOST_DISTRACTORS,
        "plan": asdict(plan),
    }


def measure(
    qamr: Qamr,
    *,
    base: Path,
    adapter: Path,
    training: dict[str, Any] | None = None,
    test_questions: int = TEST_QUESTIONS,
) -> dict[str, Any]:
    """Calibrates and tests an adapter as the app reads with it, and describes it in its folder; returns the metrics.

    Args:
        training: what the metrics say of it; None leaves what they said.

    Raises:
        RunError: the folder holds no adapter or no metrics, or something could not be written.
    """
    from transformers import AutoModelForQuestionAnswering

    made_by = provenance()
    few = "" if test_questions == TEST_QUESTIONS else f" --test-questions {test_questions}"
    training = training or _read_training(adapter)
    _, validation, test = split(qamr)
    model, tokenizer = load_adapted(base, adapter, AutoModelForQuestionAnswering)
    loaded = Loaded(Choice(MODELS["minilm-qa"], ""), model, tokenizer, 0, adapter)
    threshold = calibrate(loaded, validation, seed=training["plan"]["seed"])
    results = {}
    for name, setting in SETTINGS.items():
        asked = test_questions if name == HEADLINE else max(1, test_questions // 3)
        results[name] = _test(loaded, test, setting, questions=asked, threshold=threshold)
    scores = results[HEADLINE]
    metrics = {
        "headline": f"QAMR: F1 {scores.f1:.1f} always answering, {scores.f1_with_threshold:.1f} where it may refuse",
        "test": {name: asdict(judged) for name, judged in results.items()},
        "test_sentences": len({question.sentence_id for question in test.questions}),
        "no_answer_threshold": threshold,
        "command": f"{PROG} --data DIR --measure space/weights/question_answering{few}",
        **made_by,
        "training": training,
    }
    calibration = {"no_answer_threshold": threshold}
    describe_adapter(adapter, calibration=calibration, metrics=metrics, card=question_answering_card(metrics))
    return metrics


def split(qamr: Qamr) -> tuple[Split, Split, Split]:
    """Training, validation (a tenth of the pages with questions) and test, by pages.

    Pages without questions lend training their sentences as distractors.
    """
    test_pages = {page(question.sentence_id) for question in qamr.test}
    asked = sorted({page(question.sentence_id) for question in qamr.train} - test_pages)
    validation_pages = set(random.Random(0).sample(asked, max(1, round(VALIDATION_SHARE * len(asked)))))
    training_pages = {page(name) for name in qamr.sentences} - test_pages - validation_pages
    return (
        _part(qamr, qamr.train, training_pages),
        _part(qamr, qamr.train, validation_pages),
        _part(qamr, qamr.test, test_pages),
    )


def calibrate(loaded: Loaded, validation: Split, *, seed: int) -> float:
    """The margin above which an answer is given: best on as many passages with the answer as without, on validation."""
    rng = random.Random(f"{seed} calibration")
    companies: tuple[Company, ...] = ("others", "neighbours")
    passages = [
        hide(item, validation.library, rng, distractors=DISTRACTORS, company=rng.choice(companies), answerable=there)
        for item in validation.questions
        for there in (True, False)
    ]
    return choose_threshold(passages, answer(loaded, passages))


def _test(loaded: Loaded, test: Split, setting: Setting, *, questions: int, threshold: float) -> Judged:
    rng = random.Random(f"test {setting}")
    asked = rng.sample(test.questions, min(questions, len(test.questions)))
    passages = [hide(question, test.library, rng, **asdict(setting)) for question in asked]
    groups = [question.sentence_id for question in asked]
    return judge_answers(passages, answer(loaded, passages), groups=groups, threshold=threshold)


def _read_training(adapter: Path) -> dict[str, Any]:
    try:
        return json.loads((adapter / METRICS).read_text(encoding="utf-8"))["training"]
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{adapter / METRICS} does not say how the adapter was trained; train it anew") from error


def _batches(training: Split, plan: AdapterPlan, epoch: int) -> list[list[Passage]]:
    passages = training_passages(training.questions, training.library, seed=plan.seed, epoch=epoch)
    rng = random.Random(f"{plan.seed} {epoch} batches")
    return in_batches(passages, length=lambda passage: len(passage.text), batch_size=plan.batch_size, pool=64, rng=rng)


def _part(qamr: Qamr, questions: Sequence[Question], pages: set[str]) -> Split:
    kept = tuple(question for question in questions if page(question.sentence_id) in pages)
    return Split(kept, Library.of(qamr.sentences, pages))


if __name__ == "__main__":
    run_cli(main)
