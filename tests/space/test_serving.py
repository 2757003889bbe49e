"""Handlers of the Space: requests are counted, errors are one line, closing one stops its work."""

import asyncio
import inspect
import logging
import types

import pytest

gr = pytest.importorskip("gradio")

from gradio.state_holder import SessionState  # noqa: E402

from space.jobs import TooLong  # noqa: E402
from space.limits import BadInput, RateLimit  # noqa: E402
from space.models.choosing import Chooser  # noqa: E402
from space.models.store import ModelStore  # noqa: E402
from space.serving import GuardedBlocks, Space  # noqa: E402


def some_space(per_minute: int = 0) -> Space:
    """A Space that holds no model."""
    chooser = Chooser("offline", cached=lambda spec: None)
    return Space(
        ModelStore(chooser, load=lambda choice: pytest.fail("no model is needed"), budget=0), RateLimit(per_minute)
    )


def request() -> gr.Request:
    """What Gradio hands a handler."""
    return gr.Request(request=types.SimpleNamespace(client=types.SimpleNamespace(host="1.1.1.1"), headers={}))  # type: ignore[arg-type]


def test_values_pass_through():
    def count(last: int):
        yield from range(last)

    assert list(some_space().handler(count)(request(), 3)) == [0, 1, 2]


def test_gradio_sees_a_typed_generator_that_takes_the_request():
    def count(last: int, step: int = 1):
        yield last + step

    handler = some_space().handler(count)
    assert inspect.isgeneratorfunction(handler)
    assert list(inspect.signature(handler).parameters) == ["request", "last", "step"]
    assert handler.__annotations__["request"] is gr.Request


def run(handler, *values: object) -> dict:
    """One event of an app with that handler, through Gradio's own way."""
    with GuardedBlocks(analytics_enabled=False) as app:
        box = gr.Slider(0, 10)
        box.change(handler, inputs=[box] * len(values), outputs=box)
    return asyncio.run(app.process_api(0, list(values), state=SessionState(app), request=request()))


def test_an_unexpected_error_shows_its_number_only_and_logs_the_rest(caplog):
    def fail(value: float):
        raise RuntimeError("a secret path")

    with caplog.at_level(logging.ERROR, logger="space"), pytest.raises(gr.Error) as error:
        run(fail, 1)
    assert "secret" not in error.value.message
    number = error.value.message.split()[-1].rstrip(".")
    assert number in caplog.text
    assert "a secret path" in caplog.text


def test_a_value_that_a_component_cannot_read_is_an_error_with_a_number():
    with pytest.raises(gr.Error, match="the log has it as"):
        run(lambda value: value, "no number")


@pytest.mark.parametrize("error", [BadInput("Too many lines."), TooLong("It took longer than 2 seconds.")])
def test_expected_errors_are_told_as_they_are(error, caplog):
    def fail(value: float):
        raise error

    with pytest.raises(BadInput) as told:
        run(fail, 1)
    assert told.value.message == getattr(error, "message", str(error))
    assert told.value.title == ("It took too long" if isinstance(error, TooLong) else "Please check your input")
    assert caplog.text == ""


def test_requests_are_counted_against_their_client():
    def one():
        yield 1

    handler = some_space(per_minute=1).handler(one)
    assert list(handler(request())) == [1]
    with pytest.raises(BadInput, match="requests a minute"):
        list(handler(request()))


def test_closing_a_handler_closes_what_it_wraps():
    closed = []

    def forever():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    values = some_space().handler(forever)(request())
    next(values)
    values.close()
    assert closed == [True]


def test_an_endpoint_and_its_tool_have_the_same_name():
    def count_words(text: str):
        """Counts words."""
        yield {"words": len(text.split())}

    with gr.Blocks() as app:
        some_space().endpoint(count_words, name="words")
    (block,) = app.fns.values()
    assert (block.api_name, block.fn.__name__) == ("words", "words")
