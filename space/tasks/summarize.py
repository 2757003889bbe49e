"""Summarize: the gist of a text, pasted or uploaded."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from space.models.choosing import AUTO
from space.serving import Space
from space.text.summaries import LENGTHS, LONGEST, Summary, summarize
from space.ui.widgets import (
    Page,
    header,
    key_of,
    model_picker,
    on_run,
    run_and_stop,
    run_status,
    status_line,
    text_upload,
)  # fmt: skip

EXAMPLES = (
    "The city council voted on Tuesday night to close the old harbour road to cars from the first of May, after "
    "two years of debate and a trial that ran through last summer. During the trial, traffic on the neighbouring "
    "Quay Street rose by eight per cent, less than half of what the city's own engineers had predicted, while the "
    "number of people walking along the water doubled. Shop owners, who had opposed the plan at first, were "
    "divided: a survey of 140 businesses found that 61 reported higher sales, 44 saw no change, and 35 said they "
    "had lost customers who used to arrive by car. The road will stay open to buses, bicycles, emergency vehicles "
    "and deliveries before ten in the morning. The council set aside 3.2 million euros to widen the pavement, "
    "plant ninety trees and build a covered stop for the ferry.",
    "Sea otters were hunted for their fur until, by 1911, fewer than two thousand were left in the wild. Where "
    "they disappeared, the kelp forests went too. Otters eat sea urchins, and urchins eat kelp. Without otters "
    "the urchins multiplied and grazed the forests down to bare rock, and with the kelp went the fish, crabs and "
    "seals that had lived in it. Ecologists call an animal with such an outsized effect a keystone species. When "
    "otters were brought back to parts of the coast in the 1970s, the kelp returned within a few years.",
)


def _build(space: Space) -> None:
    header(PAGE.title, PAGE.lead)
    with gr.Row(equal_height=False):
        with gr.Column():
            text = gr.Textbox(
                EXAMPLES[0], label="Text", lines=12, max_lines=18, max_length=LONGEST, placeholder="Paste a text."
            )
            length = gr.Radio(list(LENGTHS), value="medium", label="Length")
            with gr.Row():
                run, stop = run_and_stop("Summarize")
                text_upload(space, text, longest=LONGEST)
            gr.Examples([[example] for example in EXAMPLES], [text], label="Examples")
            with gr.Accordion("Settings", open=False):
                model = model_picker(space, "summarize")
        with gr.Column():
            summary = gr.Textbox(label="Summary", lines=8, max_lines=24, interactive=False, buttons=["copy"])
            status = status_line()
            windows_read = gr.Textbox(label="Summaries of the windows", visible=False, interactive=False, max_lines=20)

    def show(text: str, length: str, model: str) -> Iterator[tuple[Any, ...]]:
        for answer in summarize(space, text, length=length, model=model):
            notes = gr.Textbox("\n\n".join(answer.notes), visible=bool(answer.notes))
            yield answer.text, _status(answer), notes

    inputs, outputs = [text, length, model], [summary, status, windows_read]
    on_run(space, [run.click, text.submit], show, inputs=inputs, outputs=outputs, stop=stop, status=status)
    _publish(space)


def _publish(space: Space) -> None:
    def endpoint(text: str, length: str = "medium", model: str = AUTO) -> Iterator[dict[str, Any]]:
        """Summarizes a text; a long one by windows, then their summaries together.

        Args:
            text: up to 60,000 characters.
            length: "short", "medium" or "long".
            model: "auto", or a model's key.

        Returns:
            the model that answered, the summary, the number of words in and out, the numbers in it that are not in the
            text, and how many windows were read. Until the last reply the summary is unfinished.
        """
        for answer in summarize(space, text, length=length, model=model):
            yield {
                "model": key_of(answer.choice),
                "summary": answer.text,
                "words_in": answer.words_in,
                "words_out": answer.words_out,
                "new_numbers": list(answer.new_numbers),
                "windows": max(len(answer.notes), answer.windows),
                "done": answer.done,
            }

    space.endpoint(endpoint, name="summarize")


def _status(answer: Summary) -> str:
    place = f"window {answer.window} of {answer.windows}" if answer.windows > 1 else ""
    if answer.combining and not answer.done:
        place = f"combining {len(answer.notes)} summaries" + (f", {place}" if place else "")
    if answer.done and answer.notes:
        place = f"{len(answer.notes)} windows"
    words = f"{answer.words_in:,} words to {answer.words_out:,} ({answer.ratio:.0%})"
    numbers = f"not in the text: {', '.join(answer.new_numbers)}" if answer.new_numbers else ""
    rate = f"{answer.rate:.0f} tokens/s" if answer.rate else ""
    return run_status(answer, place, words, numbers, f"{answer.seconds:.1f} s", rate, busy=not answer.done)


PAGE = Page("Summarize", "summarize", "The gist of a text, however long: nothing of it is left unread.", _build)
