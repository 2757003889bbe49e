"""Next word: the likeliest tokens to follow a text, with their probabilities."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from space import limits
from space.choosing import AUTO, Choice
from space.jobs import Job, watch
from space.serving import Space
from space.widgets import Page, header, model_picker, on_run, status_html, status_line

LONGEST = 4_000
SECONDS = 60.0
ROWS = 20
EXAMPLES = ("The capital of France is", "Once upon a time, there was a", "To be or not to", "def fibonacci(n):")


@dataclass(frozen=True)
class Candidate:
    """A token that may come next, as text, with its probability."""

    token: str
    probability: float


@dataclass(frozen=True)
class NextWords:
    """The answer so far: `candidates` is empty while the model is loaded."""

    candidates: tuple[Candidate, ...] = ()
    choice: Choice | None = None
    seconds: float = 0.0


def predict(
    space: Space, text: str, *, temperature: float = 1.0, top_k: int = 10, model: str = AUTO
) -> Iterator[NextWords]:
    """The `top_k` likeliest tokens after `text`, at `temperature`.

    Raises:
        BadInput: the text or a number is out of its limits.
    """
    text = limits.text(text, name="The text", longest=LONGEST)
    temperature = limits.number(temperature, name="Temperature", low=0.1, high=2.0)
    top_k = limits.whole(top_k, name="Top k", low=1, high=ROWS)

    def work(job: Job[NextWords]) -> None:
        with space.store.use("next_word", model, job=job) as loaded:
            import torch

            started = time.monotonic()
            ids = loaded.tokenizer(text, return_tensors="pt").input_ids[:, -loaded.context :]
            with torch.inference_mode():
                logits = loaded.model(ids).logits[0, -1]
            probabilities = torch.softmax(logits.float() / temperature, dim=-1)
            top = torch.topk(probabilities, top_k)
            candidates = tuple(
                Candidate(loaded.tokenizer.decode([token]), probability)
                for probability, token in zip(top.values.tolist(), top.indices.tolist(), strict=True)
            )
            job.tell(NextWords(candidates, loaded.choice, time.monotonic() - started))

    return watch(work, first=NextWords(), seconds=SECONDS)


def _build(space: Space) -> None:
    header(PAGE.title, PAGE.lead)
    with gr.Row(equal_height=False):
        with gr.Column():
            text = gr.Textbox(EXAMPLES[0], label="Text", lines=4, max_length=LONGEST, autofocus=True)
            with gr.Row():
                run = gr.Button("Predict", variant="primary")
                stop = gr.Button("Stop", variant="secondary", elem_classes="stop")
            gr.Examples([[example] for example in EXAMPLES], [text], label="Examples")
            with gr.Accordion("Settings", open=False):
                temperature = gr.Slider(0.1, 2.0, value=1.0, step=0.1, label="Temperature")
                top_k = gr.Slider(1, ROWS, value=10, step=1, label="Top k")
                model = model_picker(space, "next_word")
        with gr.Column():
            bars = gr.HTML(label="Next tokens")
            status = status_line()
            with gr.Row(elem_classes="candidates"):
                buttons = [gr.Button(visible=False, size="sm", min_width=60) for _ in range(ROWS)]
    tokens = gr.State(())

    def show(text: str, temperature: float, top_k: int, model: str) -> Iterator[tuple[Any, ...]]:
        for answer in predict(space, text, temperature=temperature, top_k=int(top_k), model=model):
            found = [candidate.token for candidate in answer.candidates]
            labels = [gr.Button(_visible_token(token), visible=True) for token in found]
            hidden = [gr.Button(visible=False)] * (ROWS - len(found))
            busy = not found
            line = status_html(answer.choice, "loading the model" if busy else f"{answer.seconds:.2f} s", busy=busy)
            yield _bars(answer.candidates), line, found, *labels, *hidden

    on_run(
        space,
        [run.click, text.submit],
        show,
        inputs=[text, temperature, top_k, model],
        outputs=[bars, status, tokens, *buttons],
        stop=stop,
    )
    for place, button in enumerate(buttons):
        button.click(
            lambda text, tokens, place=place: text + tokens[place],
            inputs=[text, tokens],
            outputs=text,
            api_visibility="private",
            queue=False,
        )

    def next_word(text: str, temperature: float = 1.0, top_k: int = 10, model: str = AUTO) -> Iterator[dict[str, Any]]:
        """Predicts the likeliest next tokens of a text.

        Args:
            text: what has been written so far, up to 4,000 characters.
            temperature: 0.1 to 2; below 1 sharpens the probabilities, above 1 flattens them.
            top_k: how many tokens, 1 to 20.
            model: "auto", or a model's key.

        Returns:
            the model that answered and the tokens with their probabilities, the likeliest first.
        """
        for answer in predict(space, text, temperature=temperature, top_k=top_k, model=model):
            yield {
                "model": answer.choice.spec.key if answer.choice else None,
                "tokens": [{"token": c.token, "probability": c.probability} for c in answer.candidates],
            }

    space.endpoint(next_word, name="next_word")


def _visible_token(token: str) -> str:
    return token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "∅"


def _bars(candidates: tuple[Candidate, ...]) -> str:
    most = max((candidate.probability for candidate in candidates), default=1.0)
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(_visible_token(c.token))}</code></th>'
        f'<td class="bar"><span style="width:{100 * c.probability / most:.1f}%"></span></td>'
        f"<td>{100 * c.probability:.1f} %</td></tr>"
        for c in candidates
    )
    return f'<table class="bars"><caption>Likely next tokens</caption>{rows}</table>' if rows else ""


PAGE = Page("Next word", "next-word", "What a language model expects to come next, and how sure it is.", _build)
