"""`python -m seq2seq.translate`: what a trained model makes of your lines, from a file, a pipe or the keyboard."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jax_models.command_line import Parser, positive
from jax_models.compilation import use_compilation_cache
from jax_models.errors import UsageError, run_cli
from jax_models.output import write_bytes
from seq2seq import plots
from seq2seq.decoding import USUAL_BEAM, align, decode
from seq2seq.pairs import decode_lines
from seq2seq.storage import TrainedModel, load_model

DESCRIPTION = """\
Writes what a model trained by `python -m seq2seq.train` makes of each line: integers with spaces between them, a date,
or a text, as its task has it. Without FILE it reads standard input; from a keyboard it answers line by line.
"""
EPILOG = """\
examples:
  python -m seq2seq.translate --checkpoint out/de-en                      type a line, read the answer; Ctrl-D ends
  python -m seq2seq.translate --checkpoint out/de-en test.de > test.out
  echo "3 1 4 1 5" | python -m seq2seq.translate --checkpoint out/reverse
  echo "14th of March, 2015" | python -m seq2seq.translate --checkpoint out/dates --attention-map out.png
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, no model in the folder, or a line that the model cannot read; then nothing is
            written.
        RunError: the model is damaged.
    """
    parser = Parser(prog="python -m seq2seq.translate", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("file", type=Path, nargs="?", metavar="FILE", help="lines to read, UTF-8 (default: standard input)")
    add("--checkpoint", type=Path, required=True, metavar="DIR", help="the OUT of a training")
    add("--task", metavar="NAME", help="refuse a model of another task")
    add("--beam-size", type=positive, default=USUAL_BEAM, metavar="N", help="1 is greedy search (default: %(default)s)")
    add("--max-length", type=positive, metavar="N", help="longest line, in symbols (default: that of the training)")
    add("--attention-map", type=Path, metavar="PNG", help="draw where the model looks when it writes the last line")
    options = parser.parse_args(arguments)
    use_compilation_cache()
    trained = load_model(options.checkpoint, task=options.task)
    if options.attention_map and trained.config.attention == "none":
        raise UsageError(f"the model in {options.checkpoint} has no attention to draw")
    search: dict[str, Any] = {"beam_size": options.beam_size, "max_length": options.max_length}
    if options.file is None and sys.stdin.isatty():
        last = _answer(trained, _prompted(trained), search)
    else:
        last = _write(trained, _lines(options.file), search)
    if options.attention_map:
        if last is None:
            raise UsageError("there was no line to draw the attention for")
        drawn = plots.draw_attention([align(trained, last, **search)], title=f"Where it looks: {trained.config.task}")
        write_bytes(options.attention_map, drawn)
        print(f"Written: {options.attention_map}", file=sys.stderr)


def _write(trained: TrainedModel, lines: Iterable[str], search: dict[str, Any]) -> object:
    """Writes the outputs of all lines; gives the last sequence."""
    sequences = [trained.vocabulary.parse(line) for line in lines]
    for output in decode(trained, sequences, **search):
        print(trained.vocabulary.format(output))
    return sequences[-1]


def _answer(trained: TrainedModel, lines: Iterable[str], search: dict[str, Any]) -> object:
    """Answers line by line; a line that cannot be read is told and does not end the talk. Gives the last sequence."""
    last = None
    for line in lines:
        sequence = trained.vocabulary.parse(line)
        try:
            (output,) = decode(trained, [sequence], **search)
        except UsageError as error:
            print(f"error: {error}", file=sys.stderr)
            continue
        print(trained.vocabulary.format(output))
        last = sequence
    return last


def _prompted(trained: TrainedModel) -> Iterator[str]:
    print(f"{trained.config.task}: type a line; Ctrl-D ends.", file=sys.stderr)
    while True:
        print("> ", end="", file=sys.stderr, flush=True)
        typed = sys.stdin.buffer.readline()
        if not typed:
            print(file=sys.stderr)
            return
        try:
            yield from decode_lines(typed, "what was typed")
        except UsageError as error:
            print(f"error: {error}", file=sys.stderr)


def _lines(path: Path | None) -> list[str]:
    """The lines of a file or of standard input."""
    name = str(path) if path else "standard input"
    try:
        data = path.read_bytes() if path else sys.stdin.buffer.read()
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror or error}") from error
    lines = decode_lines(data, name)
    if not lines:
        raise UsageError(f"{name} is empty; give at least one line")
    return lines


if __name__ == "__main__":
    run_cli(main)
