"""Question answering: a piece of the user's text that answers a question, shown where it stands, or that none does."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from space.models.choosing import AUTO
from space.serving import Space
from space.text.answers import LONGEST_CONTEXT, LONGEST_QUESTION, MOST_ANSWERS, Reading, answer
from space.ui.answers_view import SCROLL, answer_html, candidates_html, passage_html
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

LIGHTHOUSE = (
    "The Eddystone Lighthouse stands on dangerous rocks 14 kilometres south of Rame Head in Cornwall. The first tower, "
    "built by Henry Winstanley between 1696 and 1698, was made of wood and swept away with its builder by the Great "
    "Storm of 1703. John Rudyerd's tower of oak and granite followed in 1709 and burned down in 1755, when the roof of "
    "the lantern caught fire. The engineer John Smeaton then built a tower of granite blocks joined by dovetails, and "
    "rediscovered a lime that sets under water. It was lit in 1759 by 24 candles. By 1877 the sea had worn away the "
    "rock below it, and James Douglass designed the tower that is still in use; its light was electrified in 1959 and "
    "has worked without keepers since 1982."
)
EXAMPLES = (
    ("When did the second tower burn down?", LIGHTHOUSE),
    ("Who built the tower of granite blocks?", LIGHTHOUSE),
    ("How many visitors come every year?", LIGHTHOUSE),
)


def _build(space: Space) -> None:
    header(PAGE.title, PAGE.lead)
    with gr.Row(equal_height=False):
        with gr.Column():
            question = gr.Textbox(EXAMPLES[0][0], label="Question", max_length=LONGEST_QUESTION, autofocus=True)
            context = gr.Textbox(LIGHTHOUSE, label="Text", lines=9, max_lines=16, max_length=LONGEST_CONTEXT)
            with gr.Row():
                run, stop = run_and_stop("Answer")
                text_upload(space, context, longest=LONGEST_CONTEXT)
            gr.Examples([list(example) for example in EXAMPLES], [question, context], label="Examples")
            with gr.Accordion("Settings", open=False):
                top_k = gr.Slider(1, MOST_ANSWERS, value=3, step=1, label="Number of answers")
                model = model_picker(space, "question_answering")
        with gr.Column():
            result = gr.HTML(label="Answer", elem_classes="answering", js_on_load=SCROLL)
            status = status_line()

    def show(question: str, context: str, top_k: int, model: str) -> Iterator[tuple[str, str]]:
        for so_far in answer(space, question, context, top_k=top_k, model=model):
            yield _result(so_far), _status(so_far)

    inputs, outputs = [question, context, top_k, model], [result, status]
    on_run(space, [run.click, question.submit], show, inputs=inputs, outputs=outputs, stop=stop, status=status)
    _publish(space)


def _result(so_far: Reading) -> str:
    found = so_far.found
    return answer_html(found) + passage_html(so_far.context, found) + candidates_html(found) if found else ""


def _status(so_far: Reading) -> str:
    windows = f"{so_far.windows} window{'s' if so_far.windows > 1 else ''}"
    if so_far.found is None:
        return run_status(so_far, f"read {so_far.done} of {windows}", busy=True)
    return run_status(so_far, windows, f"{so_far.seconds:.2f} s")


def _publish(space: Space) -> None:
    def answer_question(question: str, context: str, top_k: int = 3, model: str = AUTO) -> Iterator[dict[str, Any]]:
        """Finds the piece of a text that answers a question, or says that none does.

        Args:
            question: up to 500 characters.
            context: the text, up to 50,000 characters.
            top_k: how many candidates, 1 to 10.
            model: "auto", or a model's key.

        Returns:
            the model that answered, the answer (null if the text has none), the candidates, the likeliest first, each
            with the places of its first character and after its last in the text, and its probability as the score, and
            in how many windows the text was read.
        """
        for so_far in answer(space, question, context, top_k=top_k, model=model):
            found = so_far.found
            yield {
                "model": key_of(so_far.choice),
                "answer": found.candidates[0].text if found and found.answered else None,
                "answers": [
                    {"text": one.text, "start": one.start, "end": one.end, "score": one.probability}
                    for one in (found.candidates if found else ())
                ],
                "windows": so_far.windows,
            }

    space.endpoint(answer_question, name="answer")


PAGE = Page(
    "Question answering",
    "question-answering",
    "Ask a text a question: the answer is shown where it stands, or that there is none.",
    _build,
)
