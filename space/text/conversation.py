"""The history of a chat: what of a client's is believed, and how much of it a model can still read."""

from bisect import bisect_left
from typing import TYPE_CHECKING

from space import limits
from space.limits import BadInput
from space.models.store import Loaded
from space.text.prompts import Message, chat_prompt

if TYPE_CHECKING:
    import torch

ROLES = ("user", "assistant")
MOST_MESSAGES = 200
LONGEST_MESSAGE = 8_000
LONGEST_TOGETHER = 100_000


def checked(history: object) -> list[Message]:
    """A client's history as messages with a known role and clean text; empty ones are left out.

    Raises:
        BadInput: it has another form, or is too long.
    """
    if not isinstance(history, list):
        raise BadInput("The history must be a list of messages.")
    if len(history) > MOST_MESSAGES:
        raise BadInput(f"The history has {len(history):,} messages; at most {MOST_MESSAGES} are allowed.")
    messages = [_message(given) for given in history]
    together = sum(len(message["content"]) for message in messages)
    if together > LONGEST_TOGETHER:
        raise BadInput(f"The history has {together:,} characters; at most {LONGEST_TOGETHER:,} are allowed.")
    return [message for message in messages if message["content"]]


def bounded(history: list[Message]) -> list[Message]:
    """The end of a history that is short enough to be kept, with room for a message and its answer."""
    kept = history[-(MOST_MESSAGES - 2) :]
    while sum(len(message["content"]) for message in kept) > LONGEST_TOGETHER - 2 * LONGEST_MESSAGE:
        kept = kept[1:]
    return history if len(kept) == len(history) else _from_a_question(kept)


def fit(loaded: Loaded, history: list[Message], *, system: str, message: str, room: int) -> "tuple[torch.Tensor, int]":
    """The prompt, shape (1, tokens), and how many messages had to be left out at the front of the history.

    Args:
        room: tokens to keep free for the answer.

    Raises:
        BadInput: not even the message alone fits.
    """
    head = [{"role": "system", "content": system}] if system else []
    asked = {"role": "user", "content": message}

    def rest(dropped: int) -> list[Message]:
        return _from_a_question(history[dropped:]) if dropped else history

    def prompt(dropped: int) -> "torch.Tensor":
        return chat_prompt(loaded, [*head, *rest(dropped), asked])

    most = loaded.context - room
    dropped = bisect_left(range(len(history) + 1), True, key=lambda dropped: prompt(dropped).shape[1] <= most)
    if dropped > len(history):
        raise BadInput(f"The message alone takes more than the {most:,} tokens that the model can read; shorten it.")
    return prompt(dropped), len(history) - len(rest(dropped))


def _message(given: object) -> Message:
    if not isinstance(given, dict):
        raise BadInput('Each message of the history must be like {"role": "user", "content": "Hello"}.')
    role = limits.one_of(given.get("role"), ROLES, name="The role of a message")
    content = limits.text(given.get("content"), name="A message of the history", longest=LONGEST_MESSAGE, shortest=0)
    return {"role": role, "content": content}


def _from_a_question(history: list[Message]) -> list[Message]:
    """Without answers whose question is gone."""
    first = next((place for place, message in enumerate(history) if message["role"] == "user"), len(history))
    return history[first:]
