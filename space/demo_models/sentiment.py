"""`python -m space.demo_models.sentiment`: teaches MiniLM to tell praise from complaint, by sentences about films."""

import io
import random
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jax_models.command_line import Parser
from jax_models.errors import run_cli
from jax_models.output import locked, prepare_folder
from space.demo_models import everyday
from space.demo_models.adapters import adapt, describe_adapter, load_adapted, load_base, save_adapter
from space.demo_models.base_models import ensure_minilm
from space.demo_models.batches import epoch_after_epoch, in_batches
from space.demo_models.cards import sentiment_card
from space.demo_models.command import AdapterPlan, add_plan_options, plan_of, say, show_progress
from space.demo_models.intervals import wilson_interval
from space.demo_models.provenance import provenance
from space.demo_models.sources import SourceFile, read_source_bytes
from space.demo_models.training import train

PROG = "python -m space.demo_models.sentiment"
DESCRIPTION = """\
Trains a LoRA adapter on MiniLM that tells positive from negative sentences. It learns from 10,662 sentences of film
reviews (Pang and Lee 2005); every tenth line of each file is kept for the test.
"""
EPILOG = """\
DIR holds sentence_polarity.zip, as NLTK distributes it. A stopped run goes on from its last checkpoint: type the
command again.

what lands in OUT:
  adapter/          the weights in peft's format, their labels, the model card, and
                    metrics.json: accuracy on the test and on 40 everyday sentences, intervals, the plan, the time
  checkpoint.pt     to go on from
"""
SOURCE = SourceFile(
    "sentence_polarity.zip",
    "6e1ed4405b65c7eabf1d199a7f7c437091ac21da0ea7467b410a74062574566b",
    "NLTK's sentence_polarity by Pang and Lee 2005, CC BY 4.0 (python -m nltk.downloader sentence_polarity)",
)
LABELS = ("negative", "positive")
FILES = ("sentence_polarity/rt-polarity.neg", "sentence_polarity/rt-polarity.pos")
DROPOUT = 0.1
PLAN = AdapterPlan(steps=598, batch_size=32, rank=32, learning_rate=1e-3)
EVERY = 10
MAX_TOKENS = 128
CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Review:
    """A sentence and its label, an index of `LABELS`."""

    text: str
    label: int


EVERYDAY = [Review(text, 1) for text in everyday.POSITIVE] + [Review(text, 0) for text in everyday.NEGATIVE]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, a source file that is missing or another, or checkpoints there of another run.
        RunError: MiniLM could not be made ready, the training diverged, or something could not be written.
    """
    parser = Parser(prog=PROG, description=DESCRIPTION, epilog=EPILOG)
    add_plan_options(parser, PLAN, out=Path("out/sentiment"))
    options = parser.parse_args(arguments)
    plan = plan_of(options, PLAN)
    training, test = read_reviews(options.data)
    prepare_folder(options.out)
    with locked(options.out):
        metrics = make(training, test, base=ensure_minilm(), plan=plan, out=options.out)
    for name in ("test", "everyday"):
        low, high = metrics[name]["interval"]
        say(f"{name}: {metrics[name]['accuracy']:.1f} % (95 % {low:.1f} to {high:.1f}), n {metrics[name]['n']}")
    say(f"Written: {options.out}")


def read_reviews(folder: Path) -> tuple[list[Review], list[Review]]:
    """What to learn from, and the test: every tenth line of each file. No sentence of the test is in the training.

    Raises:
        UsageError: the source file is missing or is not the known one.
    """
    with zipfile.ZipFile(io.BytesIO(read_source_bytes(folder, SOURCE))) as archive:
        lines = [archive.read(name).decode().splitlines() for name in FILES]
    return divide([[" ".join(line.split()) for line in file] for file in lines])


def divide(files: Sequence[Sequence[str]]) -> tuple[list[Review], list[Review]]:
    """Training and test reviews of one file of sentences per label, each sentence of the training once."""
    test = [Review(text, label) for label, file in enumerate(files) for text in file[EVERY - 1 :: EVERY]]
    held_out = {review.text for review in test}
    training = {Review(text, label): None for label, file in enumerate(files) for text in file if text not in held_out}
    return list(training), test


def make(
    training: Sequence[Review], test: Sequence[Review], *, base: Path, plan: AdapterPlan, out: Path
) -> dict[str, Any]:
    """Trains, tests and writes all of OUT; returns the metrics.

    Raises:
        UsageError: checkpoints of another run are there.
        RunError: the training diverged, or something could not be written.
    """
    from transformers import AutoModelForSequenceClassification

    made_by = provenance()
    model, tokenizer = load_base(base, AutoModelForSequenceClassification, seed=plan.seed, dropout=DROPOUT)
    model = adapt(model, rank=plan.rank, head="classifier", task="SEQ_CLS", seed=plan.seed)
    seconds = train(
        model,
        batches=epoch_after_epoch(lambda epoch: _batches(training, plan, epoch)),
        loss_of=lambda reviews: _loss(model, tokenizer, reviews),
        plan=plan,
        checkpoint=out / CHECKPOINT,
        report=show_progress,
    )
    adapter = out / "adapter"
    save_adapter(model, adapter)
    merged, tokenizer = load_adapted(base, adapter, AutoModelForSequenceClassification)
    score = _score(merged, tokenizer, test)
    del score["wrong"]  # the sentences are not ours to pass on
    metrics = {
        "headline": f"{score['accuracy']:.1f} % right on held-out film reviews",
        "test": score,
        "everyday": _score(merged, tokenizer, EVERYDAY),
        "training_sentences": len(training),
        "command": f"{PROG} --data DIR",
        **made_by,
        "plan": asdict(plan),
        "training_cpu_seconds": round(seconds),
    }
    calibration = {"labels": list(LABELS)}
    describe_adapter(adapter, calibration=calibration, metrics=metrics, card=sentiment_card(metrics))
    return metrics


def probabilities(model: Any, tokenizer: Any, texts: Sequence[str]) -> list[list[float]]:
    """Each text's probability of each label, in the order of `LABELS`."""
    import torch

    model.eval()
    with torch.inference_mode():
        return model(**_encode(tokenizer, texts)).logits.float().softmax(-1).tolist()


def _batches(training: Sequence[Review], plan: AdapterPlan, epoch: int) -> list[list[Review]]:
    rng = random.Random(f"{plan.seed} {epoch}")
    shuffled = rng.sample(training, len(training) // plan.batch_size * plan.batch_size)
    return in_batches(shuffled, length=lambda review: len(review.text), batch_size=plan.batch_size, pool=32, rng=rng)


def _loss(model: Any, tokenizer: Any, reviews: Sequence[Review]) -> Any:
    import torch

    labels = torch.tensor([review.label for review in reviews])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(**_encode(tokenizer, [review.text for review in reviews])).logits.float()
    return torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.05)


def _encode(tokenizer: Any, texts: Sequence[str]) -> Any:
    return tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS, padding="longest", return_tensors="pt")


def _score(model: Any, tokenizer: Any, reviews: Sequence[Review]) -> dict[str, Any]:
    """Accuracy in per cent with Wilson's 95 % interval, and the sentences that came out wrong."""
    ordered = sorted(reviews, key=lambda review: len(review.text))
    wrong = []
    for start in range(0, len(ordered), 64):
        part = ordered[start : start + 64]
        predicted = probabilities(model, tokenizer, [review.text for review in part])
        wrong += [review for review, (no, yes) in zip(part, predicted, strict=True) if (yes > no) != bool(review.label)]
    right, n = len(reviews) - len(wrong), len(reviews)
    return {
        "n": n,
        "right": right,
        "accuracy": 100 * right / n,
        "interval": [100 * bound for bound in wilson_interval(right, n)],
        "wrong": [review.text for review in wrong],
    }


if __name__ == "__main__":
    run_cli(main)
