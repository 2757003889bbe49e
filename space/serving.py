"""What pages and endpoints share: the app's parts, and handlers that count requests and turn errors into one line."""

import functools
import inspect
import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.exceptions import InvalidPathError

from space.gpu import on_gpu
from space.jobs import TooLong
from space.limits import BadInput, RateLimit, TookTooLong, client_of
from space.models.store import ModelStore

log = logging.getLogger("space")
LANES = 2  # requests that compute at the same time; the others queue


@dataclass(frozen=True)
class Space:
    """The parts of the app that pages use."""

    store: ModelStore
    rate: RateLimit

    def handler(self, function: Callable[..., Iterator[Any]], *, gpu: bool = False) -> Callable[..., Iterator[Any]]:
        """A generator of a page or endpoint that counts the request against its client first.

        Args:
            gpu: whether it uses PyTorch models, and so a borrowed GPU on a ZeroGPU Space.

        Raises:
            TooOften: the client has used up its requests.
        """

        work = on_gpu(function) if gpu else function

        @functools.wraps(function)
        def counted(request: gr.Request, *values: Any, **named: Any) -> Iterator[Any]:
            self.rate.take(client_of(request))
            yield from work(*values, **named)

        # Gradio fills in the request by its type; the page or client gives the others.
        request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request)
        signature = inspect.signature(function)
        counted.__signature__ = signature.replace(parameters=[request, *signature.parameters.values()])  # type: ignore[attr-defined]
        counted.__annotations__ = {"request": gr.Request, **function.__annotations__}
        return counted

    def endpoint(self, function: Callable[..., Iterator[dict[str, Any]]], *, name: str, gpu: bool = True) -> None:
        """Publishes a generator of replies as a named, typed API endpoint; its docstring is the description."""
        counted = self.handler(function, gpu=gpu)
        # The documentation shows what one reply is, not that several come.
        counted.__signature__ = inspect.signature(counted).replace(return_annotation=dict)  # type: ignore[attr-defined]
        counted.__name__ = name  # names the MCP tool
        gr.api(counted, api_name=name, concurrency_id="compute", concurrency_limit=LANES)


class GuardedBlocks(gr.Blocks):
    """An app whose errors are one line for the user.

    What was not expected, in a handler or in the values on their way in and out, is logged under a number, and only the
    number is shown.
    """

    async def process_api(self, block_fn: BlockFunction | int, inputs: list[Any], **named: Any) -> dict[str, Any]:
        """Gradio's way through every event, queued or not.

        Raises:
            gr.Error: for any failure.
        """
        try:
            if not named.get("iterator"):
                inputs = [_writable(value) for value in inputs]
                _check_values(self.fns[block_fn] if isinstance(block_fn, int) else block_fn, inputs)
            return await super().process_api(block_fn, inputs, **named)
        except gr.Error:
            raise
        except TooLong as error:
            raise TookTooLong(str(error)) from None
        except InvalidPathError:
            raise BadInput(_UPLOADED) from None
        except Exception:
            number = secrets.token_hex(4)
            log.exception("error %s", number)
            raise gr.Error(f"Something went wrong here; the log has it as {number}.", print_exception=False) from None


_UPLOADED = "A file must be one that was uploaded here."


def _writable(value: Any) -> Any:
    """A value without halves of characters (lone surrogates), which JSON can bring and no reply can carry."""
    if isinstance(value, str):
        return value.encode("utf-8", "ignore").decode()
    if isinstance(value, dict):
        return {_writable(name): _writable(inner) for name, inner in value.items()}
    return [_writable(inner) for inner in value] if isinstance(value, list) else value


def _check_values(function: BlockFunction, values: list[Any]) -> None:
    """Refuses a wrong number of values, and files that Gradio would fetch from an address.

    Raises:
        BadInput: for these.
    """
    if len(values) != len(function.inputs):
        raise BadInput(f"{function.api_name or 'This'} takes {len(function.inputs)} values, not {len(values)}.")
    places = list(values)
    while places:
        value = places.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and "://" in path:
                raise BadInput(_UPLOADED)
            places += value.values()
        elif isinstance(value, list | tuple):
            places += value
