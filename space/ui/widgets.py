"""Pieces that every page uses, so that all of them look and behave the same."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

import gradio as gr

from space import limits
from space.models.catalog import GB, MB, ModelSpec, Task
from space.models.choosing import AUTO, Choice
from space.serving import LANES, Space
from space.text.uploads import decode

BUSY = '<span class="busy" aria-hidden="true"></span>'
ENDED = f"(line) => line.replace({BUSY!r}, 'Stopped · ')"  # in the browser; a line without the dot stays


@dataclass(frozen=True)
class Page:
    """One page of the app.

    Attributes:
        title: in the navigation bar.
        path: in the address.
        lead: one sentence that says what it does.
        build: lays it out and publishes its endpoint; called inside the page.
    """

    title: str
    path: str
    lead: str
    build: Callable[[Space], None]


def header(title: str, lead: str) -> None:
    """The heading of a page."""
    gr.HTML(f'<h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>', elem_classes="page-header", padding=False)


def model_picker(space: Space, task: Task) -> gr.Dropdown:
    """The choice of a task's model, each with its size and licence."""
    choices = [("Automatic", AUTO), *((model_label(spec), spec.key) for spec in space.store.chooser.allowed(task))]
    return gr.Dropdown(choices, value=AUTO, label="Model", filterable=False)


def model_label(spec: ModelSpec) -> str:
    """Name, size and licence of a model."""
    size = f"{spec.size / GB:.1f} GB" if spec.size >= GB else f"{spec.size / MB:.0f} MB"
    return f"{spec.title} · {size} · {spec.licence}"


def run_and_stop(label: str) -> tuple[gr.Button, gr.Button]:
    """The buttons that begin a page's work and end it; Esc presses the second."""
    return gr.Button(label, variant="primary"), gr.Button("Stop", variant="secondary", elem_classes="stop")


def text_upload(space: Space, box: gr.Textbox, *, longest: int) -> None:
    """A button that puts the text of a file, of up to `longest` characters, into a box."""

    def load(data: bytes) -> Iterator[str]:
        text, _ = decode(data, name="The file", most=4 * longest)
        yield limits.text(text, name="The file", longest=longest)

    upload = gr.UploadButton("Upload text", file_types=[".txt", ".md"], type="binary")
    upload.upload(space.handler(load), upload, box, api_visibility="private", show_progress="hidden")


class Answering(Protocol):
    """What every task that uses a model of the catalogue tells of a request."""

    @property
    def choice(self) -> Choice | None:
        """The model that answers; None while none is loaded."""
        ...

    @property
    def waits_for(self) -> str:
        """What the request waits for meanwhile."""
        ...


def key_of(choice: Choice | None) -> str | None:
    """The model's name in the replies of endpoints."""
    return choice.spec.key if choice else None


def run_status(answer: Answering, *details: str, busy: bool = False) -> str:
    """The line under a run: what it waits for, and the details once a model answers."""
    if answer.choice is None:
        return status_html(None, answer.waits_for, busy=True)
    return status_html(answer.choice, *details, busy=busy)


def status_html(choice: Choice | None, *details: str, busy: bool = False) -> str:
    """The line under a result: a badge with the model that answers and how good it is, then what is known of the run.

    Args:
        choice: None while none is loaded.
        details: short texts, for example "1.2 s" or "31 tokens/s".
        busy: whether work goes on.
    """
    badge = ""
    if choice:
        spec = choice.spec
        kind, quality = ("offline" if spec.offline else "hub"), f" · {spec.quality}" if spec.quality else ""
        badge = (
            f'<span class="badge badge-{kind}" title="{escape(choice.why)}">{kind}</span> '
            f"<strong>{escape(spec.title)}</strong>{escape(quality)}"
        )
    rest = " · ".join(escape(detail) for detail in details if detail)
    return f'<div class="status">{BUSY if busy else ""}{" · ".join(part for part in (badge, rest) if part)}</div>'


def status_line() -> gr.HTML:
    """Where `status_html` goes."""
    return gr.HTML(status_html(None, "Ready"), elem_classes="status-line", padding=False)


def on_run(
    space: Space,
    triggers: Sequence[Callable[..., Any]],
    function: Callable[..., Iterator[Any]],
    *,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    stop: gr.Button,
    status: gr.HTML,
    gpu: bool = True,
) -> Any:
    """Runs a page's generator when a trigger (`button.click`, `box.submit`) fires, in the queue of computing requests.

    `stop` ends it. Ended so or by an error, the status line says "Stopped" and keeps what is known of the run. `gpu`
    says whether it uses PyTorch models. Not part of the API: endpoints are published by `Space.endpoint`.
    """
    event = gr.on(
        list(triggers),
        space.handler(function, gpu=gpu),
        inputs=list(inputs),
        outputs=list(outputs),
        api_visibility="private",
        concurrency_id="compute",
        concurrency_limit=LANES,
        show_progress="hidden",
        trigger_mode="once",
    )
    stop.click(None, cancels=[event], api_visibility="private")
    event.failure(None, status, status, js=ENDED, api_visibility="private")  # a cancelled event counts as failed, too
    return event
