"""What a run leaves behind: examples, figures, metrics, and the last lines on the screen."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from jax_models.output import write_bytes, write_text
from seq2seq import plots
from seq2seq.decoding import Alignment, align
from seq2seq.learning import FitResult
from seq2seq.machine import surroundings
from seq2seq.scoring import Score
from seq2seq.storage import TrainedModel
from seq2seq.text_scores import TextScore
from seq2seq.vocabulary import PAD

EXAMPLE_LENGTHS = {"dates": (8, 13, 18)}  # of the sources that are shown; longer ones do not fit a line or a figure
USUAL_LENGTHS = (4, 7, 10)
EXAMPLE_WORDS = range(5, 11)


def choose_examples(trained: TrainedModel, judged: Score | TextScore) -> list[Alignment]:
    """A few test sources of readable lengths, with what the model wrote and where it looked."""
    if isinstance(judged, TextScore):
        readable = [text for text in judged.sources if len(text.split()) in EXAMPLE_WORDS] or [judged.sources[0]]
        texts = readable[:: -(-len(readable) // len(USUAL_LENGTHS))]
        return [align(trained, text, beam_size=judged.beam_size, cut=True) for text in texts]
    lengths = (judged.source != PAD).sum(1)
    usual = EXAMPLE_LENGTHS.get(trained.config.task, USUAL_LENGTHS)
    wanted = [length for length in usual if (lengths == length).any()] or [int(lengths.max())]
    rows = [judged.source[np.flatnonzero(lengths == length)[(lengths == length).sum() // 2]] for length in wanted]
    return [align(trained, trained.vocabulary.decode(row)) for row in rows]


def write_run(
    fitted: FitResult, judged: Score | TextScore, *, examples: Sequence[Alignment], out: Path, metrics: str
) -> None:
    """Writes figures, `metrics.json` and, for texts, the outputs that were judged."""
    config = fitted.trained.config
    name = f"{config.task}, attention {config.attention}, seed {config.seed}"
    figures = {"curves": plots.draw_curves(fitted.history, title=f"Learning: {name}", exact=config.task != "pairs")}
    if isinstance(judged, Score):
        figures["lengths"] = plots.draw_lengths(judged.by_length(), title=f"Unseen sequences: {name}")
    else:
        write_text(out / "outputs.txt", "\n".join(judged.outputs) + "\n")
    if config.attention != "none":
        figures["attention"] = plots.draw_attention(examples, title=f"Where it looks: {name}")
    (out / "figures").mkdir(exist_ok=True)
    for figure, data in figures.items():
        write_bytes(out / "figures" / f"{figure}.png", data)
    write_text(out / "metrics.json", metrics)


def describe(fitted: FitResult, judged: Score | TextScore, *, wall_seconds: float) -> dict[str, Any]:
    """What `metrics.json` holds: fractions, BLEU and chrF of 100, seconds, losses in nats per token."""
    config = fitted.trained.config
    return {
        "run": config.run,
        **judged.metrics,
        "train_seconds": fitted.train_seconds,
        "compile_seconds": fitted.compile_seconds,
        "wall_seconds": wall_seconds,
        "params": fitted.num_params,
        "training_pairs_left_out": fitted.left_out,
        "config": dataclasses.asdict(config),
        "history": [dataclasses.asdict(record) for record in fitted.history],
        **surroundings(),
    }


def show(fitted: FitResult, judged: Score | TextScore, *, examples: Sequence[Alignment], console: Console) -> None:
    """Prints the examples and the result."""
    for example in examples:
        lines = [f"\n  source {example.source_text}", f"  output {example.output_text}"]
        console.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)
        if fitted.trained.config.attention != "none" and len(example.output):
            places = " ".join(f"{int(row.argmax()) + 1}" for row in example.weights)
            console.print(f"  looks at {places} of {len(example.source)}", highlight=False, style="dim", soft_wrap=True)
    if fitted.left_out:
        console.print(f"\n{fitted.left_out:,} pairs were too long to train on.", highlight=False, soft_wrap=True)
    console.print(
        f"\n{judged.summary}; {fitted.num_params:,} parameters, {fitted.train_seconds:.0f} s of training",
        highlight=False,
        soft_wrap=True,
    )
