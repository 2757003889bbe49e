"""Attention lab: the project's own encoder-decoders write token by token, and show where they look."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from space.labs.checkpoints import Checkpoint
from space.labs.looking import LONGEST, Answer, available, look, make_shelf
from space.labs.shelf import Shelf
from space.models.choosing import AUTO
from space.serving import Space
from space.ui.attention_map import map_html, symbols_html
from space.ui.lab_panels import how_to_train, project_badge
from space.ui.widgets import Page, header, on_run, run_and_stop, status_html, status_line

EXAMPLES = {
    "reverse": ("3 1 4 1 5", "10 20 30 40 50 60 70 80", "7 7 7 42 7 7 7", "99 98 97 0 1 2"),
    "copy": ("3 1 4 1 5",),
    "sort": ("31 4 15 92 6 53 5",),
    "dates": ("March 5, 2021", "24th of December 1999"),
}


def _build(space: Space) -> None:
    shelf = make_shelf()
    header(PAGE.title, PAGE.lead)
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=300):
            tokens = gr.Textbox(EXAMPLES["reverse"][0], label="Sequence", max_length=LONGEST, lines=1)
            model = gr.Radio(_choices(), value=AUTO, label="Model")
            with gr.Row():
                run, stop = run_and_stop("Write")
            tasks = {checkpoint.subject for checkpoint in available()} or {"reverse"}
            lines = dict.fromkeys(line for task, lines in EXAMPLES.items() if task in tasks for line in lines)
            gr.Examples([[line] for line in lines], [tokens], label="Examples")
            refresh = gr.Button("Look for models again", size="sm")
        with gr.Column(scale=3, min_width=300):
            missing = _missing()
            answer = gr.HTML(elem_classes="lab-part", padding=False)
            status = status_line()
            attention = gr.HTML(elem_classes="lab-part", padding=False)

    def show(tokens: str, model: str) -> Iterator[tuple[str, str, str]]:
        for found in look(shelf, tokens, model=model):
            yield symbols_html(found.written), _status(found), _map(found)

    inputs, outputs = [tokens, model], [answer, status, attention]
    triggers = [run.click, tokens.submit]
    on_run(space, triggers, show, inputs=inputs, outputs=outputs, stop=stop, status=status, gpu=False)
    refresh.click(
        lambda: (gr.Radio(_choices(), value=AUTO), _missing()),
        outputs=[model, missing],
        api_visibility="private",
        queue=False,
    )
    _publish(space, shelf)


def _publish(space: Space, shelf: Shelf[Any]) -> None:
    def attend(tokens: str, model: str = AUTO) -> Iterator[dict[str, Any]]:
        """Lets an encoder-decoder of this project write its output for a sequence, and shows where it looked.

        Args:
            tokens: whole numbers with spaces between them, such as "3 1 4 1 5" (1 to 20 numbers of 0 to 99 for the
                model that is shipped, which reverses); a text, for a model of texts.
            model: "auto", or a model's key, such as "reverse-additive".

        Returns:
            the model, its input and output symbol by symbol, the probability of each written symbol, and a row of
            attention weights for each.
        """
        for found in look(shelf, tokens, model=model):
            yield _reply(found)

    space.endpoint(attend, name="attention", gpu=False)


def _reply(found: Answer) -> dict[str, Any]:
    if found.written is None:
        return {"model": found.checkpoint.key, "input": [], "output": [], "probabilities": [], "attention": []}
    alignment = found.written.alignment
    return {
        "model": found.checkpoint.key,
        "input": alignment.source,
        "output": alignment.output,
        "probabilities": list(found.written.probabilities),
        "attention": [[round(float(weight), 5) for weight in row] for row in alignment.weights],
    }


def _map(found: Answer) -> str:
    blind = found.checkpoint.key.endswith("-none")
    return "" if blind else map_html(found.written)


def _status(found: Answer) -> str:
    score = "" if found.checkpoint.score is None else f"{100 * found.checkpoint.score:.2f} % exact on unseen sequences"
    badge = project_badge(_title(found.checkpoint), quality=score)
    if found.written is None:
        return status_html(badge, "loading and compiling, the first time only", busy=True)
    return status_html(badge, f"{found.seconds:.2f} s", f"{len(found.written.probabilities)} symbols")


def _title(checkpoint: Checkpoint) -> str:
    task, _, mechanism = checkpoint.key.partition("-")
    return f"LSTM, {task}, " + ("no attention" if mechanism == "none" else f"{mechanism} attention")


def _choices() -> Sequence[tuple[str, str]]:
    return [("Automatic", AUTO), *((_title(checkpoint), checkpoint.key) for checkpoint in available())]


def _missing() -> gr.HTML:
    """How to train a model, shown where there is none."""
    commands = ("python -m seq2seq.train", "python -m seq2seq.train --task dates")
    panel = "" if available() else how_to_train("No model is here yet", *commands)
    return gr.HTML(panel, visible=bool(panel), elem_classes="lab-part", padding=False)


PAGE = Page(
    "Attention lab", "attention-lab", "Type numbers: an LSTM writes them backwards and shows where it looks.", _build
)
