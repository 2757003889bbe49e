"""What a request may ask for: lengths, numbers, how often. It holds on the server, whatever the page allows."""

import math
import os
import secrets
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape

import gradio as gr
from starlette.requests import HTTPConnection

MAX_SEED = 2**31 - 1
MOST_CLIENTS = 10_000  # whose requests are counted; the one that was quiet longest is forgotten
_KEPT_CONTROLS = {"\n", "\t"}
_BIDI_OVERRIDES = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class BadInput(gr.Error):
    """A request that cannot be served as it is. The text says what was wrong and what is allowed.

    Attributes:
        heading: over the text, on the page.
    """

    heading = "Please check your input"

    def __init__(self, message: str) -> None:
        super().__init__(escape(message, quote=False), print_exception=False, title=self.heading)


class TooOften(BadInput):
    """A client has used up its requests."""

    heading = "Too many requests"


class TookTooLong(BadInput):
    """The work for a request passed its deadline."""

    heading = "It took too long"


def text(value: object, *, name: str, longest: int, shortest: int = 1, strip: bool = True) -> str:
    """A user's text, without control characters and overrides of its direction.

    Args:
        strip: whether white space at the ends goes; where the text is to be continued it has a meaning.

    Raises:
        BadInput: it is no text, empty, or longer than `longest` characters.
    """
    if not isinstance(value, str):
        raise BadInput(f"{name} must be text.")
    if len(value) > longest:
        raise BadInput(f"{name} has {len(value):,} characters; at most {longest:,} are allowed.")
    lines = value.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(letter for letter in lines if is_kept(letter))
    kept = kept.strip() if strip else kept
    if len(kept.strip()) < shortest:
        raise BadInput(f"{name} is empty." if not kept.strip() else f"{name} needs at least {shortest} characters.")
    return kept


def is_kept(letter: str) -> bool:
    """Whether `text` keeps this character."""
    if letter in _KEPT_CONTROLS:
        return True
    return unicodedata.category(letter) not in {"Cc", "Cs"} and letter not in _BIDI_OVERRIDES


def number(value: object, *, name: str, low: float, high: float) -> float:
    """A number within its range.

    Raises:
        BadInput: it is none, not finite or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadInput(f"{name} must be a number from {low:g} to {high:g}.")
    return float(value)


def whole(value: object, *, name: str, low: int, high: int) -> int:
    """A whole number within its range.

    Raises:
        BadInput: it is none or out of range.
    """
    given = number(value, name=name, low=low, high=high)
    if given != int(given):
        raise BadInput(f"{name} must be a whole number from {low} to {high}.")
    return int(given)


def seed(value: object) -> int:
    """The seed of a run's random numbers; -1 stands for a new one.

    Raises:
        BadInput: it is no whole number, or out of range.
    """
    given = whole(value, name="The seed", low=-1, high=MAX_SEED)
    return given if given >= 0 else secrets.randbelow(MAX_SEED + 1)


def one_of(value: object, choices: tuple[str, ...], *, name: str) -> str:
    """One of the names that are allowed.

    Raises:
        BadInput: it is another.
    """
    if not isinstance(value, str) or value not in choices:
        raise BadInput(f"{name} must be one of: {', '.join(choices)}.")
    return value


@dataclass
class RateLimit:
    """So many requests a minute from one client, in short bursts or evenly (a token bucket a client).

    Attributes:
        per_minute: how many; 0 for no limit.
    """

    per_minute: int
    now: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, client: str) -> None:
        """Counts one request.

        Raises:
            TooOften: the client has used up its requests.
        """
        if not self.per_minute:
            return
        with self._lock:
            now = self.now()
            left, then = self._buckets.pop(client, (float(self.per_minute), now))
            left = min(self.per_minute, left + (now - then) * self.per_minute / 60)
            self._buckets[client] = (left - 1 if left >= 1 else left, now)
            while len(self._buckets) > MOST_CLIENTS:
                self._buckets.popitem(last=False)
        if left < 1:
            wait = math.ceil((1 - left) * 60 / self.per_minute)
            raise TooOften(f"At most {self.per_minute} requests a minute from one place; try again in {wait} s.")


def client_of(request: gr.Request | HTTPConnection | None) -> str:
    """The address that asks. The forwarded one is believed only on a Space, where a proxy of Hugging Face sets it."""
    if request is None or request.client is None:
        return "unknown"
    if os.environ.get("SPACE_ID") and (forwarded := request.headers.get("x-forwarded-for")):
        return forwarded.split(",")[-1].strip()
    return request.client.host
