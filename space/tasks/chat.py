"""Chat: a conversation with an instruction-tuned model, kept in the user's browser."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.context import Context

from space import limits
from space.models.choosing import AUTO
from space.serving import Space
from space.text.conversation import bounded, checked
from space.text.prompts import Message
from space.text.replies import DEFAULT, LONGEST, LONGEST_SYSTEM, MOST_TOKENS, PRESETS, SYSTEM, Reply, reply
from space.ui.widgets import (
    Page,
    header,
    key_of,
    model_picker,
    on_run,
    run_and_stop,
    run_status,
    status_html,
    status_line,
)

EXAMPLES = (
    "Why is the sky blue?",
    "Write a polite note that I will be late.",
    "Give me three names for a grey cat.",
)
STORAGE = "classic-architectures-chat"

Talk = Callable[..., Iterator[tuple[Any, ...]]]


def _build(space: Space) -> None:
    header(PAGE.title, PAGE.lead)
    # Plain JSON, unlike the Chatbot's own value, which could carry files and components of a client's making. The
    # secret is no secret: it keeps the browser's copy readable after the app has started anew.
    kept = gr.BrowserState({"system": SYSTEM, "messages": []}, storage_key=STORAGE, secret=STORAGE)
    with gr.Row(equal_height=False, elem_classes="chat"):
        with gr.Column(scale=3):
            shown = gr.Chatbot(
                label="Conversation",
                height=480,
                editable="user",
                buttons=["copy", "copy_all"],
                allow_tags=False,
                placeholder="Ask something, or take one of these.",
                examples=[{"text": example} for example in EXAMPLES],
            )
            status = status_line()
            message = gr.Textbox(
                label="Message", lines=1, max_lines=8, max_length=LONGEST, placeholder="Enter sends", autofocus=True
            )
            with gr.Row():
                send, stop = run_and_stop("Send")
                clear = gr.Button("Clear")
        with gr.Column(scale=1, min_width=260):
            settings = _settings(space)
    system, outputs = settings[0], [shown, kept, status]
    ask, example, retry, edit = _talks(space)
    run = functools.partial(on_run, space, stop=stop, status=status)
    runs = [
        run([send.click, message.submit], ask, inputs=[message, kept, *settings], outputs=[*outputs, message]),
        run([shown.example_select], example, inputs=[kept, *settings], outputs=outputs),
        run([shown.retry], retry, inputs=[kept, *settings], outputs=outputs),
        run([shown.edit], edit, inputs=[kept, *settings], outputs=outputs),
    ]
    quick = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
    shown.undo(_undo, [kept, system], [*outputs, message], cancels=runs, **quick)
    gr.on([clear.click, shown.clear], _forget, system, [*outputs, message], cancels=runs, **quick)
    assert Context.root_block is not None  # inside the page
    Context.root_block.load(_restore, kept, [shown, system], **quick)
    _publish(space)


def _settings(space: Space) -> list[Component]:
    """System prompt, temperature, top p, repetition penalty, longest answer and model."""
    system = gr.Textbox(SYSTEM, label="System prompt", lines=3, max_length=LONGEST_SYSTEM)
    preset = gr.Radio(list(PRESETS), value="balanced", label="Sampling")
    with gr.Accordion("Settings", open=False):
        sliders: list[Component] = [
            gr.Slider(0, 2, DEFAULT.temperature, step=0.05, label="Temperature"),
            gr.Slider(0.05, 1, DEFAULT.top_p, step=0.05, label="Top p"),
            gr.Slider(1, 2, DEFAULT.repetition_penalty, step=0.05, label="Repetition penalty"),
        ]
        longest = gr.Slider(16, MOST_TOKENS, 256, step=16, label="Longest answer, in tokens")
        model = model_picker(space, "chat")
    preset.input(_sliders, preset, sliders, api_visibility="private", queue=False, show_progress="hidden")
    return [system, *sliders, longest, model]


def _talks(space: Space) -> tuple[Talk, ...]:
    """What asking, taking an example, retrying and editing do; each tells the conversation, its copy and the status."""

    def talk(history: list[Message], message: object, *settings: Any) -> Iterator[tuple[Any, ...]]:
        system, temperature, top_p, penalty, longest, model = settings
        message = limits.text(message, name="The message", longest=LONGEST)
        before = bounded(history)
        forgotten = len(history) - len(before)
        asked = [*before, {"role": "user", "content": message}]
        for answer in reply(
            space, message, history=before, system=system, temperature=temperature, top_p=top_p,
            repetition_penalty=penalty, max_tokens=longest, model=model,
        ):  # fmt: skip
            said = [{"role": "assistant", "content": answer.text}] if answer.text else []
            messages = [*asked, *said]
            yield _bubbles(messages), {"system": system, "messages": messages}, _status(answer, forgotten)

    def ask(message: str, kept: object, *settings: Any) -> Iterator[tuple[Any, ...]]:
        box: Any = ""  # emptied once: the user may go on typing while the model answers
        for told in talk(_stored(kept), message, *settings):
            yield *told, box
            box = gr.skip()

    def example(event: gr.SelectData, kept: object, *settings: Any) -> Iterator[tuple[Any, ...]]:
        chosen = event.value.get("text") if isinstance(event.value, dict) else event.value
        return talk(_stored(kept), chosen, *settings)

    def retry(event: gr.RetryData, kept: object, *settings: Any) -> Iterator[tuple[Any, ...]]:
        before, asked = _until(_stored(kept), event.index)
        return talk(before, asked, *settings)

    def edit(event: gr.EditData, kept: object, *settings: Any) -> Iterator[tuple[Any, ...]]:
        before, _ = _until(_stored(kept), event.index)
        return talk(before, event.value, *settings)

    return ask, example, retry, edit


def _undo(event: gr.UndoData, kept: object, system: str) -> tuple[Any, ...]:
    before, asked = _until(_stored(kept), event.index)
    return _bubbles(before), {"system": system, "messages": before}, status_html(None, "Taken back"), asked


def _forget(system: str) -> tuple[Any, ...]:
    return [], {"system": system, "messages": []}, status_html(None, "Ready"), ""


def _restore(kept: object) -> tuple[Any, ...]:
    return _bubbles(_stored(kept)), _stored_system(kept)


def _publish(space: Space) -> None:
    def chat(
        message: str,
        history: list[dict[str, str]] | None = None,
        system: str = SYSTEM,
        temperature: float = DEFAULT.temperature,
        top_p: float = DEFAULT.top_p,
        repetition_penalty: float = DEFAULT.repetition_penalty,
        max_tokens: int = 256,
        seed: int = -1,
        model: str = AUTO,
    ) -> Iterator[dict[str, Any]]:
        """Answers a message of a conversation.

        Args:
            message: up to 4,000 characters.
            history: earlier messages, the oldest first, each {"role": "user" or "assistant", "content": text}; at most
                200, with 8,000 characters each and 100,000 together.
            system: the system prompt, up to 2,000 characters.
            temperature: 0 (always the likeliest token) to 2.
            top_p: 0.05 to 1.
            repetition_penalty: 1 (none) to 2.
            max_tokens: 1 to 512.
            seed: -1 for a new one; the reply names it.
            model: "auto", or a model's key.

        Returns:
            the model that answered, the answer so far, the seed, the tokens read, written and left, and how many of the
            oldest messages did not fit into what the model reads.
        """
        answers = reply(
            space, message, history=history or [], system=system, temperature=temperature, top_p=top_p,
            repetition_penalty=repetition_penalty, max_tokens=max_tokens, seed=seed, model=model,
        )  # fmt: skip
        for answer in answers:
            yield {
                "model": key_of(answer.choice),
                "answer": answer.text,
                "seed": answer.seed,
                "prompt_tokens": answer.prompt_tokens,
                "tokens": answer.tokens,
                "context_left": answer.context_left,
                "dropped_messages": answer.dropped,
                "done": answer.done,
            }

    space.endpoint(chat, name="chat")


def _stored(kept: object) -> list[Message]:
    """The history that a browser kept; none if it is not one of this page's."""
    try:
        return checked(kept.get("messages") if isinstance(kept, dict) else None)
    except limits.BadInput:
        return []


def _stored_system(kept: object) -> str:
    system = kept.get("system") if isinstance(kept, dict) else None
    return system if isinstance(system, str) and len(system) <= LONGEST_SYSTEM else SYSTEM


def _until(history: list[Message], place: object) -> tuple[list[Message], str]:
    """What came before the user's message at `place`, and that message.

    Raises:
        BadInput: there is none.
    """
    place = limits.whole(place, name="The message's place", low=0, high=max(len(history) - 1, 0))
    if place >= len(history) or history[place]["role"] != "user":
        raise limits.BadInput("This message is not in the conversation any more.")
    return history[:place], history[place]["content"]


def _bubbles(messages: list[Message]) -> list[dict[str, Any]]:
    # As blocks, because Gradio changes the indentation of plain text.
    return [
        {"role": message["role"], "content": [{"type": "text", "text": message["content"]}]} for message in messages
    ]


def _sliders(name: str) -> tuple[float, float, float]:
    preset = PRESETS[limits.one_of(name, tuple(PRESETS), name="Sampling")]
    return preset.temperature, preset.top_p, preset.repetition_penalty


def _status(answer: Reply, forgotten: int) -> str:
    if not answer.tokens:
        return run_status(answer, "reading", busy=True)
    missing = answer.dropped + forgotten
    return run_status(
        answer,
        f"prompt {answer.prompt_tokens:,} tokens",
        f"written {answer.tokens:,}",
        f"context left {answer.context_left:,}",
        f"{answer.rate:.0f} tokens/s" if answer.rate else "",
        f"first token {answer.first_seconds:.2f} s",
        f"{answer.seconds:.1f} s",
        f"the oldest {missing} messages no longer fit and were left out" if missing else "",
        busy=not answer.done,
    )


PAGE = Page("Chat", "chat", "Talk with a small language model; the conversation stays in your browser.", _build)
