"""Which model answers: the hub's where it can be had, otherwise the offline one. The page says which, and why."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from space.limits import BadInput
from space.models.catalog import MODELS, TASKS, ModelSpec, Task

Mode = Literal["auto", "hub", "offline"]
MODES: tuple[Mode, ...] = get_args(Mode)
AUTO = "auto"
PROBE_SECONDS = 3.0
RETRY_SECONDS = 300.0  # so long a hub model that could not be had is not tried again
_BEAT_SECONDS = 0.05


class NotReady(BadInput):
    """A model cannot be had. The text says why, or what to type."""

    heading = "The model cannot be had"


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


def hub_answers() -> bool:
    """Whether the hub can be reached, by the client that downloads (its proxy, its mirror, `HF_HUB_OFFLINE`)."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage]  (of httpx or httpx2)
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        return get_session().head(constants.ENDPOINT, timeout=PROBE_SECONDS).status_code < 500
    except (HTTPError, OSError):
        return False


@dataclass
class Chooser:
    """Chooses the model of a task.

    Attributes:
        mode: `hub` and `offline` say which catalogue; `auto` prefers the hub's model where it is in the local cache or
            the hub answers, and falls back to the offline one.
        cached: the folder of a hub model in the local cache, or None; `NotReady` counts as a failure of the model.
        probe: whether the hub answers; asked at most once, and waited for at most `PROBE_SECONDS`.
        now: the time in seconds.
    """

    mode: Mode
    cached: Callable[[ModelSpec], Path | None]
    probe: Callable[[], bool] = hub_answers
    now: Callable[[], float] = time.monotonic
    _question: "_Question | None" = None
    _failures: "dict[str, _Failure]" = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def allowed(self, task: Task) -> tuple[ModelSpec, ...]:
        """What the picker of a task offers."""
        models = TASKS[task]
        keys = {"auto": models.keys, "hub": models.hub, "offline": (models.offline,)}[self.mode]
        return tuple(MODELS[key] for key in keys)

    def choose(self, task: Task, picked: str = AUTO, *, check: Callable[[], None] = lambda: None) -> Choice:
        """The model that answers `task`.

        Args:
            check: called while it waits for the hub's answer; what it raises ends the wait.

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
        try:
            folder = self.cached(default)
        except NotReady as error:
            return Choice(offline, _because(default, error))
        if reason := self._recent_failure(default, folder):
            return Choice(offline, reason)
        if folder:
            return Choice(default, "in the local cache")
        if self._online(check):
            return Choice(default, "from the hub")
        return Choice(offline, "the hub does not answer")

    def fall_back(self, task: Task, picked: str, *, failed: Choice, error: NotReady) -> Choice:
        """The offline model of `task`, now that the one chosen cannot be had.

        The failure counts for `RETRY_SECONDS`, unless the model's files come here or change their place before.

        Raises:
            NotReady: `error`, where nothing else may answer: the user picked the model, or the mode allows no other.
        """
        if self.mode != "auto" or picked != AUTO or failed.spec.offline:
            raise error
        failure = _Failure(self.now(), _because(failed.spec, error), self.cached(failed.spec))
        with self._lock:
            self._failures[failed.spec.key] = failure
        return Choice(MODELS[TASKS[task].offline], failure.reason)

    def _recent_failure(self, spec: ModelSpec, folder: Path | None) -> str | None:
        failure = self._failures.get(spec.key)
        if failure and failure.folder == folder and self.now() - failure.when < RETRY_SECONDS:
            return failure.reason
        return None

    def _online(self, check: Callable[[], None]) -> bool:
        with self._lock:
            self._question = self._question or _Question(self.probe)
        return self._question.answer(check)


@dataclass(frozen=True)
class _Failure:
    """A hub model that could not be had, and the folder of its files then."""

    when: float
    reason: str
    folder: Path | None


def _because(spec: ModelSpec, error: NotReady) -> str:
    return f"{spec.title} could not be had: {error.message}"


class _Question:
    """A question to the network. It has a thread of its own, because looking up a name can hang for minutes."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self.until = time.monotonic() + PROBE_SECONDS
        self.answered = threading.Event()
        self.yes = False
        threading.Thread(target=self._run, args=(ask,), daemon=True, name="probe").start()

    def _run(self, ask: Callable[[], bool]) -> None:
        self.yes = ask()
        self.answered.set()

    def answer(self, check: Callable[[], None]) -> bool:
        """Yes or no, no as long as nothing came; waits until `PROBE_SECONDS` after the question was put."""
        while not self.answered.wait(_BEAT_SECONDS) and time.monotonic() < self.until:
            check()
        return self.yes
