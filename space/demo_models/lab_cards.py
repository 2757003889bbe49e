"""The model card of the attention lab's weights, written from the descriptions inside the files."""

from pathlib import Path
from typing import Any

from jax_models.output import write_text
from jax_models.weight_files import load_weights

COMMAND = "python -m space.demo_models.labs"

ATTENTION = """\
---
license: apache-2.0
library_name: flax
tags: [sequence-to-sequence, attention, jax, flax]
---
# A model that reverses integers, for the attention lab

An LSTM encoder-decoder with additive attention (arXiv 1409.0473), trained by `{command}`
with the settings of `python -m seq2seq.train`, seed 0. It reads 1 to 20 integers of 0 to 99 and writes them from
the last to the first. Weights are float32; the metadata has the configuration and the vocabulary.

| file | task | parameters | exact match | wrong | n | commit |
|---|---|---|---|---|---|---|
{rows}

n are sequences that the training never draws: a hash of the sequence keeps them apart. All data is drawn at random;
there is no source and no licence to name.
"""


def write_card(folder: Path) -> None:
    """Writes README.md beside the attention lab's weights.

    Raises:
        RunError: a file is damaged, or the card cannot be written.
    """
    rows = [_attention_row(file, load_weights(file)[1]) for file in sorted(folder.glob("*.safetensors"))]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    write_text(folder / "README.md", ATTENTION.format(command=COMMAND, rows=lines))


def _attention_row(file: Path, about: dict[str, Any]) -> tuple[str, ...]:
    test = about["test"]
    exact = f"{100 * test['exact_match']:.2f} %"
    parameters, task = f"{about['num_params']:,}", about["config"]["task"]
    count, commit = f"{about['test_size']:,}", (about["commit"] or "unknown")[:7]
    return (f"`{file.name}`", task, parameters, exact, f"{test['errors']:,}", count, commit)
