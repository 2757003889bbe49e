"""What pages and endpoints share: the app's parts, and handlers that count requests and turn errors into one line."""

import functools
import inspect
import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from space.jobs import TooLong
from space.limits import BadInput, RateLimit, client_of
from space.models import ModelStore

log = logging.getLogger("space")
LANES = 2  # requests that compute at the same time; the others queue


@dataclass(frozen=True)
class Space:
    """The parts of the app that pages use."""

    store: ModelStore
    rate: RateLimit

    def handler(self, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """Wraps a generator of a page or endpoint: counts the request against its client, and turns any error into one
        line for the user. An unexpected one is logged under an id, and only the id is shown.

        Raises:
            gr.Error: in all of these cases.
        """

        @functools.wraps(function)
        def guarded(request: gr.Request, *values: Any, **named: Any) -> Iterator[Any]:
            try:
                self.rate.take(client_of(request))
                yield from function(*values, **named)
            except gr.Error:
                raise
            except TooLong as error:
                raise BadInput(str(error)) from None
            except Exception:
                number = secrets.token_hex(4)
                log.exception("error %s in %s", number, function.__qualname__)
                raise gr.Error(
                    f"Something went wrong here; the log has it as {number}.", print_exception=False
                ) from None

        # Gradio fills in the request by its type; the page or client gives the others.
        request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
        signature = inspect.signature(function)
        guarded.__signature__ = signature.replace(parameters=[request, *signature.parameters.values()])  # type: ignore[attr-defined]
        guarded.__annotations__ = {"request": gr.Request, **function.__annotations__}
        return guarded

    def endpoint(self, function: Callable[..., Iterator[dict[str, Any]]], *, name: str) -> None:
        """Publishes a generator of replies as a named, typed API endpoint; its docstring is the description."""
        guarded = self.handler(function)
        # The documentation shows what one reply is, not that several come.
        guarded.__signature__ = inspect.signature(guarded).replace(return_annotation=dict)  # type: ignore[attr-defined]
        gr.api(guarded, api_name=name, concurrency_id="compute", concurrency_limit=LANES)
