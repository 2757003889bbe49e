"""Which model answers: the hub's where it can be had, otherwise the one that works offline. The page says which, and why."""

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from space.catalog import MODELS, TASKS, ModelSpec, Task
from space.limits import BadInput

Mode = Literal["auto", "hub", "offline"]
MODES: tuple[Mode, ...] = get_args(Mode)
AUTO = "auto"
PROBE_SECONDS = 3.0


class NotReady(BadInput):
    """A model is not on this machine. The text says what to type."""


@dataclass(frozen=True)
class Choice:
    """The model that will answer.

    Attributes:
        spec: which.
        why: the reason, for the badge.
    """

    spec: ModelSpec
    why: str


def mode_from_environment() -> Mode:
    """What `SPACE_MODELS` says; `auto` if it says nothing.

    Raises:
        ValueError: it says something else.
    """
    value = os.environ.get("SPACE_MODELS", "").strip().lower() or "auto"
    if value not in MODES:
        raise ValueError(f"SPACE_MODELS is {value!r}; it must be one of {', '.join(MODES)}")
    return value  # type: ignore[return-value]


def hub_answers(address: str = "huggingface.co", port: int = 443) -> bool:
    """Whether the hub can be reached, asked for at most `PROBE_SECONDS`, name lookup included."""
    answer: list[bool] = []

    def ask() -> None:
        try:
            with socket.create_connection((address, port), timeout=PROBE_SECONDS):
                answer.append(True)
        except OSError:
            answer.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(answer and answer[0])


@dataclass
class Chooser:
    """Chooses the model of a task.

    Attributes:
        mode: `hub` and `offline` say which catalogue; `auto` prefers the hub's model where it is in the local cache or
            the hub answers, and falls back to the offline one.
        cached: the folder of a hub model in the local cache, or None.
        probe: whether the hub answers; asked at most once.
    """

    mode: Mode
    cached: Callable[[ModelSpec], Path | None]
    probe: Callable[[], bool] = hub_answers

    @cached_property
    def online(self) -> bool:
        """Whether the hub answers."""
        return self.probe()

    def allowed(self, task: Task) -> tuple[ModelSpec, ...]:
        """What the picker of a task offers."""
        models = TASKS[task]
        keys = {"auto": models.keys, "hub": models.hub, "offline": (models.offline,)}[self.mode]
        return tuple(MODELS[key] for key in keys)

    def choose(self, task: Task, picked: str = AUTO) -> Choice:
        """The model that answers `task`.

        Raises:
            BadInput: `picked` is not one of the task's models.
        """
        models = TASKS[task]
        if picked != AUTO:
            names = (AUTO, *(spec.key for spec in self.allowed(task)))
            if not isinstance(picked, str) or picked not in names:
                raise BadInput(f"The model must be one of: {', '.join(names)}.")
            return Choice(MODELS[picked], "picked")
        default, offline = MODELS[models.hub[0]], MODELS[models.offline]
        if self.mode == "offline":
            return Choice(offline, "offline models only")
        if self.mode == "hub":
            return Choice(default, "hub models only")
        if self.cached(default):
            return Choice(default, "in the local cache")
        if self.online:
            return Choice(default, "from the hub")
        return Choice(offline, "the hub does not answer")
