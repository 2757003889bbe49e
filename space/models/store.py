"""Loaded models: brought in when first used, shared by all users, bounded in bytes; the least recently used leave."""

import contextlib
import ctypes
import gc
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from space.jobs import Job, Stopped
from space.models.catalog import ModelSpec, Task
from space.models.choosing import AUTO, Choice, Chooser, NotReady

BEAT_SECONDS = 0.05
PATIENCE_SECONDS = 180.0  # so long a request waits for a model; a download goes on without it
LONGEST_WAIT = 2 * PATIENCE_SECONDS  # for its model and then for other users; put onto the request's deadline

Say = Callable[[str], None]


@dataclass
class Loaded:
    """A model in memory.

    Attributes:
        choice: which, and why it was chosen.
        model: the transformers model, or the diffusers pipeline.
        tokenizer: the transformers tokenizer; None for a pipeline.
        size: bytes of its weights.
        folder: where its files lie.
    """

    choice: Choice
    model: Any
    tokenizer: Any
    size: int
    folder: Path
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def spec(self) -> ModelSpec:
        """Its entry in the catalogue."""
        return self.choice.spec

    @property
    def context(self) -> int:
        """How many tokens it can read at once."""
        config = self.model.config
        longest = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 512
        if config.model_type == "roberta":  # counts positions from the one after the padding's
            longest -= config.pad_token_id + 1
        return min(longest, self.tokenizer.model_max_length)


@dataclass
class _Arrival:
    """A model on its way into memory.

    Attributes:
        stage: what goes on, for people.
        wanted: how many requests want it; at none it is given up.
    """

    stage: str = "loading the model"
    wanted: int = 0
    failure: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


@dataclass
class ModelStore:
    """The models in memory.

    A model comes in by a thread of its own, at most once at a time, while others are used; two are never loaded at the
    same time, because transformers sets global state as it loads.

    Attributes:
        chooser: says which model answers a task.
        load: brings one from its files into memory.
        budget: most bytes of weights that stay in memory together; one model always may.
        fetch: brings the files of a model onto this machine if they are not there, and says how far it is. Saying may
            raise `Stopped`, which ends it.
    """

    chooser: Chooser
    load: Callable[[Choice], Loaded]
    budget: int
    fetch: Callable[[ModelSpec, Say], object] = lambda spec, say: None
    _models: OrderedDict[str, Loaded] = field(default_factory=OrderedDict)
    _users: Counter[str] = field(default_factory=Counter)
    _arrivals: dict[str, _Arrival] = field(default_factory=dict)
    _state: threading.Condition = field(default_factory=threading.Condition)
    _loading: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def use(
        self, task: Task, picked: str = AUTO, *, job: Job[Any], on_wait: Say = lambda said: None
    ) -> Iterator[Loaded]:
        """The model for `task`, held for this job alone until the end of the `with`.

        One at a time: a job that asked for a second could wait for room that it takes itself.

        Args:
            on_wait: is told what the job waits for, such as "downloading 120 of 242 MB". The wait does not count
                against the job's deadline.

        Raises:
            BadInput: `picked` is not one of the task's models.
            NotReady: its files cannot be had, and no other model may answer.
            Stopped: the job was stopped while it waited.
        """
        with contextlib.ExitStack() as held:
            with job.waiting(LONGEST_WAIT):
                choice, loaded = self._obtain(task, picked, job=job, say=on_wait)
                held.callback(self._leave, choice.spec.key)
                _acquire(loaded.lock, job, on_wait)
                held.callback(loaded.lock.release)
            yield replace(loaded, choice=choice)

    def preload(self, task: Task) -> None:
        """Brings the model of a task into memory in this thread, before there are requests.

        Raises:
            NotReady: its files cannot be had.
        """
        choice = self.chooser.choose(task)
        arrival = self._arrivals.setdefault(choice.spec.key, _Arrival(wanted=1))
        self._bring(choice, arrival)
        if arrival.failure:
            raise arrival.failure

    @property
    def in_memory(self) -> tuple[str, ...]:
        """Keys of the models in memory, the least recently used first."""
        with self._state:
            return tuple(self._models)

    def _obtain(self, task: Task, picked: str, *, job: Job[Any], say: Say) -> tuple[Choice, Loaded]:
        choice = self.chooser.choose(task, picked, check=job.check)
        try:
            return choice, self._enter(choice, job, say)
        except NotReady as error:
            choice = self.chooser.fall_back(task, picked, failed=choice, error=error)
        try:
            return choice, self._enter(choice, job, say)
        except NotReady as error:
            raise NotReady(f"{choice.why} {error.message}") from None

    def _enter(self, choice: Choice, job: Job[Any], say: Say) -> Loaded:
        """The model, brought in if need be, with one user more."""
        key = choice.spec.key
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            with self._state:
                if loaded := self._models.get(key):
                    self._users[key] += 1
                    self._models.move_to_end(key)
                    return loaded
                if key not in self._arrivals:
                    self._arrivals[key] = _Arrival()
                    threading.Thread(
                        target=self._bring, args=(choice, self._arrivals[key]), daemon=True, name=f"load {key}"
                    ).start()
                arrival = self._arrivals[key]
                arrival.wanted += 1
            self._await(arrival, until=until, job=job, say=say)

    def _await(self, arrival: _Arrival, *, until: float, job: Job[Any], say: Say) -> None:
        said = ""
        try:
            while not arrival.done.wait(BEAT_SECONDS):
                job.check()
                if time.monotonic() > until:  # it goes on, for the next request
                    raise NotReady(f"It is not here yet ({arrival.stage}); please come back in a few minutes.")
                if said != arrival.stage:
                    said = arrival.stage
                    say(said)
        except Stopped:
            with self._state:
                arrival.wanted -= 1
            raise
        if arrival.failure and not isinstance(arrival.failure, Stopped):
            raise arrival.failure

    def _bring(self, choice: Choice, arrival: _Arrival) -> None:
        spec = choice.spec

        def say(stage: str) -> None:
            arrival.stage = stage
            with self._state:
                if not arrival.wanted:
                    raise Stopped

        try:
            self.fetch(spec, say)
            with self._loading:
                self._make_room(spec.size, say)
                say("loading the model")
                loaded = self.load(choice)
                with self._state:
                    self._models[spec.key] = loaded
                self._make_room(0, say, keep=spec.key)  # weights of two bytes a number may take four in memory
        except BaseException as error:
            arrival.failure = error
        finally:
            with self._state:
                del self._arrivals[spec.key]
            arrival.done.set()

    def _leave(self, key: str) -> None:
        with self._state:
            self._users[key] -= 1
            self._state.notify_all()

    def _make_room(self, size: int, say: Say, *, keep: str = "") -> None:
        """Drops models that nobody uses, the least recently used first; waits for users where that is not enough."""
        dropped = False
        try:
            with self._state:
                while self._models and sum(loaded.size for loaded in self._models.values()) + size > self.budget:
                    idle = [key for key in self._models if not self._users[key] and key != keep]
                    if idle:
                        del self._models[idle[0]]
                        dropped = True
                    elif keep:
                        break
                    else:
                        say("waiting until other users leave room in memory")
                        self._state.wait(BEAT_SECONDS)
        finally:
            if dropped:
                return_memory()


def _acquire(lock: threading.Lock, job: Job[Any], say: Say) -> None:
    if lock.acquire(blocking=False):
        return
    say("waiting for another user of the model")
    while not lock.acquire(timeout=BEAT_SECONDS):
        job.check()


def return_memory() -> None:
    """Gives freed memory back to the system: Python's cycles, then the C library's free lists (glibc only)."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()  # does nothing where no GPU was used
