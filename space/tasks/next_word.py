"""Next word: the likeliest tokens to follow a text, and what the settings of sampling make of their probabilities."""

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from space import limits
from space.models.choosing import AUTO
from space.serving import Space
from space.text.next_words import LONGEST, MOST_K, MOST_ROWS, Candidate, NextWords, predict
from space.ui.widgets import Page, header, key_of, model_picker, on_run, run_and_stop, run_status, status_line

LONGEST_TOKEN = 200
MOST_UNDO = 200
EXAMPLES = ("The capital of France is", "Once upon a time, there was a", "To be or not to", "def fibonacci(n):")

HINT = "<p>The likeliest tokens will stand here, each with its probability.</p>"

# The table is one component: a click anywhere in a row, or Enter on its button, sends the row's token.
ON_LOAD = """
element.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-token]");
  if (row) trigger("click", {token: row.dataset.token});
});
element.addEventListener("keydown", (event) => {
  const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
  if (!step) return;
  const buttons = [...element.querySelectorAll("tr[data-token] button")];
  const next = buttons[buttons.indexOf(document.activeElement) + step];
  if (next) next.focus();
  event.preventDefault();
});
"""


def _build(space: Space) -> None:
    header(PAGE.title, PAGE.lead)
    with gr.Row(equal_height=False):
        with gr.Column():
            text = gr.Textbox(EXAMPLES[0], label="Text", lines=5, max_lines=12, max_length=LONGEST, autofocus=True)
            with gr.Row():
                run, stop = run_and_stop("Predict")
                undo = gr.Button("Undo", interactive=False)
            temperature = gr.Slider(0.1, 2, 1, step=0.1, label="Temperature", info="below 1 sharpens, above 1 flattens")
            top_k = gr.Slider(0, MOST_K, 0, step=1, label="Top k", info="how many tokens can be drawn; 0 for all")
            top_p = gr.Slider(0.05, 1, 1, step=0.05, label="Top p", info="the likeliest that reach it together")
            gr.Examples([[example] for example in EXAMPLES], [text], label="Examples")
            with gr.Accordion("Settings", open=False):
                rows = gr.Slider(1, MOST_ROWS, 10, step=1, label="Rows")
                model = model_picker(space, "next_word")
        with gr.Column():
            table = gr.HTML(HINT, label="Next tokens", js_on_load=ON_LOAD, padding=False, elem_classes="next-tokens")
            status = status_line()
    appended = gr.State(())

    def show(text: str, *settings: Any) -> Iterator[tuple[Any, Any]]:
        temperature, top_k, top_p, rows, model = settings
        for answer in predict(space, text, temperature=temperature, top_k=top_k, top_p=top_p, rows=rows, model=model):
            yield _table(answer) if answer.candidates else gr.skip(), _status(answer)

    def change(text: str, tokens: tuple[str, ...], *settings: Any) -> Iterator[tuple[Any, ...]]:
        # Once: the user may go on typing while the model reads.
        changed = text, tokens, gr.Button(interactive=bool(tokens))
        for shown in show(text, *settings):
            yield *changed, *shown
            changed = (gr.skip(),) * 3

    def append(event: gr.EventData, text: str, tokens: tuple[str, ...], *settings: Any) -> Iterator[tuple[Any, ...]]:
        token = limits.text(
            getattr(event, "token", None), name="The token", longest=LONGEST_TOKEN, shortest=0, strip=False
        )
        return change(text + token, (*tokens, token)[-MOST_UNDO:], *settings)

    def take_back(text: str, tokens: tuple[str, ...], *settings: Any) -> Iterator[tuple[Any, ...]]:
        if not tokens or not text.endswith(tokens[-1]):
            raise limits.BadInput("The text was changed since; there is nothing to take back.")
        return change(text.removesuffix(tokens[-1]), tokens[:-1], *settings)

    settings = [temperature, top_k, top_p, rows, model]
    triggers = [run.click, text.submit, temperature.release, top_k.release, top_p.release, rows.release]
    on_run(space, triggers, show, inputs=[text, *settings], outputs=[table, status], stop=stop, status=status)
    inputs, outputs = [text, appended, *settings], [text, appended, undo, table, status]
    on_run(space, [table.click], append, inputs=inputs, outputs=outputs, stop=stop, status=status)
    on_run(space, [undo.click], take_back, inputs=inputs, outputs=outputs, stop=stop, status=status)
    _publish(space)


def _publish(space: Space) -> None:
    def next_word(
        text: str,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        rows: int = 10,
        model: str = AUTO,
    ) -> Iterator[dict[str, Any]]:
        """Predicts the likeliest next tokens of a text.

        Args:
            text: what has been written so far, up to 4,000 characters.
            temperature: 0.1 to 2; below 1 sharpens the probabilities, above 1 flattens them.
            top_k: how many tokens can be drawn, up to 100; 0 for all.
            top_p: 0.05 to 1; only the likeliest tokens that reach it together can be drawn.
            rows: how many tokens to tell, 1 to 20.
            model: "auto", or a model's key.

        Returns:
            the model that answered and the tokens, the likeliest first, each with its probability, and with the one
            after temperature, top k and top p.
        """
        for answer in predict(space, text, temperature=temperature, top_k=top_k, top_p=top_p, rows=rows, model=model):
            yield {
                "model": key_of(answer.choice),
                "tokens": [
                    {"token": c.token, "probability": c.probability, "sampled": c.sampled} for c in answer.candidates
                ],
            }

    space.endpoint(next_word, name="next_word")


def _visible_token(token: str) -> str:
    return token.replace(" ", "\u2423").replace("\n", "\u23ce").replace("\t", "\u21e5") or "\u2205"


def _table(answer: NextWords) -> str:
    rows = "".join(_row(candidate) for candidate in answer.candidates)
    return (
        '<table class="bars"><caption>Likely next tokens <span>a row appends its token</span></caption>'
        '<thead><tr><th scope="col">Token</th><td></td><th scope="col">Model</th><th scope="col">Sampled</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _row(candidate: Candidate) -> str:
    shown, token = escape(_visible_token(candidate.token)), escape(candidate.token)
    data = f' data-token="{token}"' if candidate.whole else ' title="a part of a character"'
    name = f'<button aria-label="append {token}">{shown}</button>' if candidate.whole else f"<code>{shown}</code>"
    sampled = f"{candidate.sampled:.1%}" if candidate.sampled else "-"
    return (
        f'<tr{data}{"" if candidate.sampled else " class=out"}><th scope="row">{name}</th>'
        f'<td class="bar"><span class="raw" style="width:{candidate.probability:.1%}"></span>'
        f'<span style="width:{candidate.sampled:.1%}"></span></td>'
        f"<td>{candidate.probability:.1%}</td><td>{sampled}</td></tr>"
    )


def _status(answer: NextWords) -> str:
    return run_status(
        answer,
        f"{answer.read:,} tokens read",
        f"the first {answer.unread:,} did not fit" if answer.unread else "",
        f"{answer.kept:,} tokens can be drawn, {answer.kept_probability:.0%} of the probability",
        f"{answer.seconds:.2f} s",
    )


PAGE = Page("Next word", "next-word", "What a language model expects to come next, and how sure it is.", _build)
