"""Pieces that every page uses, so that all of them look and behave the same."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from space.models.catalog import GB, MB, ModelSpec, Task
from space.models.choosing import AUTO, Choice
from space.serving import LANES, Space


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
    dot = '<span class="busy" aria-hidden="true"></span>' if busy else ""
    return f'<div class="status">{dot}{" · ".join(part for part in (badge, rest) if part)}</div>'


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
    stop: gr.Button | None = None,
    gpu: bool = True,
) -> Any:
    """Runs a page's generator when a trigger (`button.click`, `box.submit`) fires, in the queue of computing requests.

    `stop` ends it; `gpu` says whether it uses PyTorch models. Not part of the API: endpoints are published by
    `Space.endpoint`.
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
    if stop is not None:
        stop.click(None, cancels=[event], api_visibility="private")
    return event
