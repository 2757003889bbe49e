"""Handlers of the Space: requests are counted, errors are one line, closing one stops its work."""

import inspect
import logging
import types

import pytest

gr = pytest.importorskip("gradio")

from space.choosing import Chooser  # noqa: E402
from space.jobs import TooLong  # noqa: E402
from space.limits import BadInput, RateLimit  # noqa: E402
from space.models import ModelStore  # noqa: E402
from space.serving import Space  # noqa: E402


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


def test_an_unexpected_error_shows_its_number_only_and_logs_the_rest(caplog):
    def fail():
        yield 1
        raise RuntimeError("a secret path")

    values = some_space().handler(fail)(request())
    assert next(values) == 1
    with caplog.at_level(logging.ERROR, logger="space"), pytest.raises(gr.Error) as error:
        next(values)
    assert "secret" not in error.value.message
    number = error.value.message.split()[-1].rstrip(".")
    assert number in caplog.text
    assert "a secret path" in caplog.text


@pytest.mark.parametrize("error", [BadInput("Too many <b>lines</b>."), TooLong("It took longer than 2 seconds.")])
def test_expected_errors_are_told_as_they_are(error, caplog):
    def fail():
        raise error
        yield

    with pytest.raises(BadInput):
        list(some_space().handler(fail)(request()))
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
