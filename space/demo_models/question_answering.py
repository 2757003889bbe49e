"""`python -m space.demo_models.question_answering`: teaches MiniLM to find answers in a text, or to say it has none."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jax_models.command_line import Parser, positive
from jax_models.errors import run_cli
from jax_models.output import locked, prepare_folder
from space.demo_models.adapters import adapt, describe_adapter, load_adapted, load_base, save_adapter
from space.demo_models.base_models import ensure_minilm
from space.demo_models.cards import question_answering_card
from space.demo_models.command import add_plan_options, plan_of, say, show_progress
from space.demo_models.judging import Judged, choose_threshold, judge_answers
from space.demo_models.passages import Company, Library, Passage, hide
from space.demo_models.qamr import Qamr, Question, page, read_qamr
from space.demo_models.reading import MOST_DISTRACTORS, answer, in_batches, span_loss, training_passages
from space.demo_models.training import Plan, fit

PROG = "python -m space.demo_models.question_answering"
DESCRIPTION = """\
Trains a LoRA adapter on MiniLM that marks the answer to a question in a text, or finds that there is none. It learns
from QAMR (Michael et al. 2018): questions about single sentences, which it hides among other sentences.
"""
EPILOG = """\
DIR holds qamr_dev.tsv, qamr_test.tsv and qamr_wiki_sentences.tsv. It learns from the first; pages of the second are
seen in the test only. A stopped run goes on from its last checkpoint: type the command again.

what lands in OUT:
  adapter/          the weights in peft's format, the margin from which an answer is given, the model card, and
                    metrics.json: scores on the test with their intervals, the plan, the time
  checkpoint.pt     to go on from
"""
DROPOUT = 0.0
PLAN = Plan(steps=1000, batch_size=24, rank=64, learning_rate=2e-3)
VALIDATION_SHARE = 0.1
DISTRACTORS = 5
TEST_QUESTIONS = 2_000
CALIBRATION_QUESTIONS = 400


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
    options = parser.parse_args(arguments)
    plan = plan_of(options, PLAN)
    qamr = read_qamr(options.data)
    prepare_folder(options.out)
    with locked(options.out):
        metrics = make(qamr, base=ensure_minilm(), plan=plan, out=options.out, test_questions=options.test_questions)
    headline = metrics["test"][HEADLINE]
    low, high = headline["f1_interval"]
    say(f"F1 {headline['f1']:.1f} (95 % {low:.1f} to {high:.1f}), exact {headline['exact']:.1f}, n {headline['n']}")
    say(f"Written: {options.out}")


def make(qamr: Qamr, *, base: Path, plan: Plan, out: Path, test_questions: int = TEST_QUESTIONS) -> dict[str, Any]:
    """Trains, calibrates, tests and writes all of OUT; returns the metrics.

    Raises:
        UsageError: checkpoints of another run are there.
        RunError: the training diverged, or something could not be written.
    """
    from transformers import AutoModelForQuestionAnswering

    training, validation, test = split(qamr)
    model, tokenizer = load_base(base, AutoModelForQuestionAnswering, seed=plan.seed, dropout=DROPOUT)
    model = adapt(model, rank=plan.rank, head="qa_outputs", task="QUESTION_ANS", seed=plan.seed)
    seconds = fit(
        model,
        plan=plan,
        batches=lambda epoch: _batches(training, plan, epoch),
        # peft's own forward leaves out the token types, which tell question and passage apart.
        loss_of=lambda passages: span_loss(model.base_model, tokenizer, passages),
        folder=out,
        report=show_progress,
    )
    adapter = out / "adapter"
    save_adapter(model, adapter)
    merged, tokenizer = load_adapted(base, adapter, AutoModelForQuestionAnswering)
    threshold = calibrate(merged, tokenizer, validation, seed=plan.seed)
    results = {}
    for name, setting in SETTINGS.items():
        asked = test_questions if name == HEADLINE else max(1, test_questions // 3)
        results[name] = _test(merged, tokenizer, test, setting, questions=asked, threshold=threshold)
    metrics = {
        "headline": f"F1 {results[HEADLINE].f1:.1f} on held-out questions (QAMR)",
        "test": {name: asdict(judged) for name, judged in results.items()},
        "test_sentences": len({question.sentence_id for question in test.questions}),
        "no_answer_threshold": threshold,
        "questions": {"training": len(training.questions), "validation": len(validation.questions)},
        "most_distractors": MOST_DISTRACTORS,
        "command": f"{PROG} --data DIR --test-questions {test_questions}",
        "plan": asdict(plan),
        "training_cpu_seconds": round(seconds),
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


def calibrate(model: Any, tokenizer: Any, validation: Split, *, seed: int) -> float:
    """The margin from which an answer is given: best on as many passages with the answer as without, on validation."""
    rng = random.Random(f"{seed} calibration")
    companies: tuple[Company, ...] = ("others", "neighbours")
    passages = [
        hide(item, validation.library, rng, distractors=DISTRACTORS, company=rng.choice(companies), answerable=there)
        for item in _draw(validation.questions, CALIBRATION_QUESTIONS, rng)
        for there in (True, False)
    ]
    return choose_threshold(passages, answer(model, tokenizer, passages))


def _test(model: Any, tokenizer: Any, test: Split, setting: Setting, *, questions: int, threshold: float) -> Judged:
    rng = random.Random(f"test {setting}")
    asked = _draw(test.questions, questions, rng)
    passages = [hide(question, test.library, rng, **asdict(setting)) for question in asked]
    answers = answer(model, tokenizer, passages)
    return judge_answers(passages, answers, groups=[item.sentence_id for item in asked], threshold=threshold)


def _draw(questions: Sequence[Question], most: int, rng: random.Random) -> list[Question]:
    return rng.sample(questions, min(most, len(questions)))


def _batches(training: Split, plan: Plan, epoch: int) -> Iterator[list[Passage]]:
    passages = training_passages(training.questions, training.library, seed=plan.seed, epoch=epoch)
    return in_batches(passages, batch_size=plan.batch_size, seed=plan.seed, epoch=epoch)


def _part(qamr: Qamr, questions: Sequence[Question], pages: set[str]) -> Split:
    kept = tuple(question for question in questions if page(question.sentence_id) in pages)
    return Split(kept, Library.of(qamr.sentences, pages))


if __name__ == "__main__":
    run_cli(main)
