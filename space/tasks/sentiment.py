"""Sentiment: is a text positive or negative, which words say so, and the same for many lines or a CSV file."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from space import limits
from space.models.choosing import AUTO
from space.serving import Space
from space.text.sentiment import (
    LONGEST,
    MOST_CHARACTERS,
    MOST_TEXTS,
    Analyses,
    analyse,
    analyse_many,
    analyse_sheet,
    judged_sheet,
)
from space.text.spreadsheets import MOST_BYTES, MOST_ROWS, read_sheet, write_sheet
from space.ui.sentiment_view import verdict_html, verdicts_html, words_html
from space.ui.widgets import Page, header, key_of, model_picker, on_run, run_and_stop, run_status, status_line

EXAMPLES = (
    "A warm, funny film that never loses its nerve, even when the plot does.",
    "I wanted to like it, but two hours of this was not worth the price of a ticket.",
    "The acting is good; the script isn't.",
)
DETECTED = ("Detect automatically", "")
LINES = "What a lovely surprise.\nDull from start to finish.\nNot bad at all.\nI would not watch it again."


def _build(space: Space) -> None:
    header(PAGE.title, PAGE.lead)
    with gr.Tab("One text"):
        one = _build_one()
    with gr.Tab("Many lines"):
        many = _build_many()
    with gr.Tab("CSV file"):
        table = _build_csv()
    with gr.Accordion("Settings", open=False):
        model = model_picker(space, "sentiment")
    for connect in (one, many, table):
        connect(space, model)
    _publish(space)


Connect = Callable[[Space, gr.Dropdown], None]


def _build_one() -> Connect:
    with gr.Row(equal_height=False):
        with gr.Column():
            text = gr.Textbox(EXAMPLES[0], label="Text", lines=4, max_length=LONGEST, autofocus=True)
            with gr.Row():
                run, stop = run_and_stop("Judge")
            gr.Examples([[example] for example in EXAMPLES], [text], label="Examples")
        with gr.Column():
            result = gr.HTML(label="Verdict", elem_classes="sentiment")
            status = status_line()

    def connect(space: Space, model: gr.Dropdown) -> None:
        def show(text: str, model: str) -> Iterator[tuple[str, str]]:
            for so_far in analyse(space, text, model=model):
                step = f"{so_far.seconds:.2f} s" if so_far.words else f"weighing words, {100 * so_far.done:.0f} %"
                line = run_status(so_far, step, busy=not so_far.words)
                found = words_html(so_far.text, so_far.words) if so_far.verdict else ""
                yield verdict_html(so_far.verdict) + found, line

        inputs, outputs = [text, model], [result, status]
        on_run(space, [run.click, text.submit], show, inputs=inputs, outputs=outputs, stop=stop, status=status)

    return connect


def _build_many() -> Connect:
    with gr.Row(equal_height=False):
        with gr.Column():
            lines = gr.Textbox(LINES, label="Texts, one a line", lines=10, max_lines=20, max_length=MOST_CHARACTERS)
            with gr.Row():
                run, stop = run_and_stop("Judge all lines")
        with gr.Column():
            result = gr.HTML(label="Verdicts", elem_classes="sentiment")
            status = status_line()

    def connect(space: Space, model: gr.Dropdown) -> None:
        def show(lines: str, model: str) -> Iterator[tuple[str, str]]:
            text = limits.text(lines, name="The text", longest=MOST_CHARACTERS + MOST_TEXTS)
            texts = [line.strip() for line in text.split("\n") if line.strip()]
            for so_far in analyse_many(space, texts, model=model):
                yield _verdicts(so_far), _progress(so_far)

        inputs, outputs = [lines, model], [result, status]
        on_run(space, [run.click], show, inputs=inputs, outputs=outputs, stop=stop, status=status)

    return connect


def _build_csv() -> Connect:
    with gr.Row(equal_height=False):
        with gr.Column():
            file = gr.File(
                label=f"CSV file, up to {MOST_ROWS:,} rows and {MOST_BYTES // 1_000_000} MB",
                file_types=[".csv", ".tsv", ".txt"],
                type="binary",
                height=150,
            )
            named = gr.Checkbox(value=True, label="The first row holds the names of the columns")
            column = gr.Dropdown([DETECTED], value="", label="Column with the texts")
            with gr.Row():
                run, stop = run_and_stop("Judge the file")
        with gr.Column():
            result = gr.HTML(label="Verdicts", elem_classes="sentiment")
            status = status_line()
            download = gr.DownloadButton("Download with labels", visible=False)

    def look(data: bytes | None, named: bool) -> Iterator[tuple[Any, Any]]:
        if data is None:
            yield gr.Dropdown(choices=[DETECTED], value=""), gr.DownloadButton(visible=False)
            return
        sheet = read_sheet(data, named=named)
        yield (
            gr.Dropdown(choices=list(sheet.header), value=sheet.header[sheet.column()]),
            gr.DownloadButton(visible=False),
        )

    def connect(space: Space, model: gr.Dropdown) -> None:
        def show(data: bytes | None, named: bool, column: str, model: str) -> Iterator[tuple[Any, ...]]:
            sheet = read_sheet(data, named=named)
            so_far = None
            for so_far in analyse_sheet(space, sheet, column=sheet.column(column), model=model):
                yield "", _progress(so_far), gr.DownloadButton(visible=False)  # the table comes once: it is long
            if so_far and so_far.done:
                path = save_bytes_to_cache(
                    write_sheet(judged_sheet(sheet, so_far)), "sentiment.csv", download.GRADIO_CACHE
                )
                kind = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[sheet.delimiter]
                line = run_status(so_far, f"{so_far.seconds:.1f} s", f"{sheet.encoding}, {kind}")
                yield _verdicts(so_far), line, gr.DownloadButton(value=path, visible=True)

        gr.on(
            [file.change, named.change],
            space.handler(look),
            inputs=[file, named],
            outputs=[column, download],
            api_visibility="private",
            show_progress="hidden",
        )
        inputs, outputs = [file, named, column, model], [result, status, download]
        on_run(space, [run.click], show, inputs=inputs, outputs=outputs, stop=stop, status=status)

    return connect


def _verdicts(so_far: Analyses) -> str:
    return verdicts_html(so_far.texts, so_far.verdicts, most=MOST_TEXTS) if so_far.choice else ""


def _progress(so_far: Analyses) -> str:
    total = sum(1 for text in so_far.texts if text)
    if so_far.done < total:
        return run_status(so_far, f"{so_far.done:,} of {total:,}", f"{so_far.seconds:.1f} s", busy=True)
    rate = f"{total / max(so_far.seconds, 1e-9):.0f} texts/s"
    return run_status(so_far, f"{total:,} texts", f"{so_far.seconds:.1f} s", rate)


def _publish(space: Space) -> None:
    def sentiment(text: str, model: str = AUTO) -> Iterator[dict[str, Any]]:
        """Judges whether a text is positive or negative, and says how much each word counts.

        Args:
            text: up to 4,000 characters.
            model: "auto", or a model's key.

        Returns:
            the model that answered, the label, its probability, and the words with their weights in logits: above 0
            they speak for positive, below 0 for negative; together they make the difference to a text of masked words.
        """
        for so_far in analyse(space, text, model=model):
            yield {
                "model": key_of(so_far.choice),
                "label": so_far.verdict.label if so_far.verdict else None,
                "probability": so_far.verdict.probability if so_far.verdict else None,
                "words": [{"word": word.text, "weight": word.weight} for word in so_far.words],
            }

    def sentiment_many(texts: list[str], model: str = AUTO) -> Iterator[dict[str, Any]]:
        """Judges whether texts are positive or negative.

        Args:
            texts: up to 200, of up to 4,000 characters each and 100,000 together.
            model: "auto", or a model's key.

        Returns:
            the model that answered, and for each text its label and probability, in the order given.
        """
        for so_far in analyse_many(space, texts, model=model):
            yield {
                "model": key_of(so_far.choice),
                "results": [
                    {"label": verdict.label, "probability": verdict.probability} if verdict else None
                    for verdict in so_far.verdicts
                ],
            }

    space.endpoint(sentiment, name="sentiment")
    space.endpoint(sentiment_many, name="sentiment_many")


PAGE = Page("Sentiment", "sentiment", "Is a text positive or negative, and which words say so.", _build)
