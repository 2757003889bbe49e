"""The cells of one sweep on a Ray cluster: an actor each, whose events, row and files come back here."""

import collections
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray  # pyright: ignore[reportMissingImports]

from benchmarks import run_files
from benchmarks.cells import SECONDS_BETWEEN_LOOKS, Event
from benchmarks.launchers.attempt import Attempt
from benchmarks.launchers.folder import read_files, write_files
from benchmarks.launchers.share import Share
from benchmarks.launchers.worker import CellWorker
from benchmarks.progress import title
from benchmarks.results import Row
from benchmarks.signals import held_signals
from jax_models.recipes import TrainConfig

# A cell that takes five workers down is itself the cause. Of one machine that dies it may lose two: the one at work,
# and the next, which Ray still sends there until it knows, some ten seconds later.
TRIES = 5


class Run:
    """The work of one sweep, from when its cells are handed to Ray until the last has its row."""

    def __init__(
        self,
        todo: Sequence[TrainConfig],
        *,
        share: Share,
        request: Mapping[str, Any],
        out: Path,
        keep: Callable[[Row], None],
        stop: threading.Event,
        tell: Callable[[str], object],
    ) -> None:
        """`request` are the arguments of `CellWorker.events` that all cells have in common."""
        self._share, self._request, self._out = share, request, out
        self._keep, self._stop, self._tell = keep, stop, tell
        self._waiting = collections.deque(todo)
        self._at_work: dict[Any, Attempt] = {}
        self._shown: set[str] = set()  # cells whose start the caller has been told
        self._epochs: collections.Counter[str] = collections.Counter()  # the last that the caller has been told
        self._losses: collections.Counter[str] = collections.Counter()

    def events(self) -> Generator[tuple[TrainConfig, Event]]:
        """What happens to the cells, as it happens. Whatever ends the iteration early ends the actors too."""
        try:
            while self._at_work or (self._waiting and not self._stop.is_set()):
                self._hand_out()
                ready, _ = ray.wait(list(self._at_work), timeout=SECONDS_BETWEEN_LOOKS, fetch_local=False)
                for stream in ready:
                    yield from self._follow(self._at_work[stream])
                if self._stop.is_set():
                    yield from self._ask_to_stop()
        finally:
            with held_signals():
                for attempt in list(self._at_work.values()):
                    self._end(attempt)

    def _hand_out(self) -> None:
        """Gives Ray all the cells that it may have: it knows when there is room, on machines that join too."""
        limit = self._share.limit or len(self._waiting) + len(self._at_work)
        while self._waiting and len(self._at_work) < limit and not self._stop.is_set():
            config = self._waiting.popleft()
            checkpoints = f"{run_files.CHECKPOINTS}/{run_files.file_name(config.cell)}@*/**/*"
            # Two threads, for `stop` to be heard. Ray itself repeats nothing: half a stream of events cannot go on.
            options = {**self._share.options, "max_concurrency": 2, "max_restarts": 0, "max_task_retries": 0}
            actor = ray.remote(CellWorker).options(**options).remote()
            stream = actor.events.options(num_returns="streaming").remote(
                config, files=read_files(self._out, checkpoints), **self._request
            )
            self._at_work[stream] = Attempt(config, actor, stream)

    def _follow(self, attempt: Attempt) -> Generator[tuple[TrainConfig, Event]]:
        """Tells what is new of a cell, and draws the consequences."""
        config, event = attempt.config, attempt.read()
        if config.cell not in self._shown:
            self._shown.add(config.cell)
            yield config, {"event": "start"}
        match event["event"]:
            case "start":
                pass
            case "end":
                self._end(attempt)
                with held_signals():
                    self._receive(config, event)
                if event["row"] is None:
                    yield config, {"event": "stopped"}
                elif event["told"]:
                    yield config, {"event": "row", "row": event["row"]}
                else:
                    yield from self._lose(attempt, event["row"]["error"])
            case "lost":
                self._end(attempt)
                yield from self._lose(attempt, event["reason"])
            case "epoch":
                if event["epoch"] > self._epochs[config.cell]:  # who keeps a log gets none twice after a loss
                    self._epochs[config.cell] = event["epoch"]
                    yield config, event
            case _:
                yield config, event

    def _receive(self, config: TrainConfig, end: Event) -> None:
        """Writes what a cell left, and then its row, which vouches for the files.

        Raises:
            RunError: something cannot be written, or is not what was sent.
        """
        write_files(self._out, end["files"])
        if end["told"]:
            row = end["row"]
            for name in ("predictions", "weights"):
                if name in row:
                    run_files.checked_path(self._out, row[name])
            self._keep(row)

    def _lose(self, attempt: Attempt, reason: str) -> Generator[tuple[TrainConfig, Event]]:
        """Has the cell of a lost worker run again, unless there is no more time or it happens too often."""
        config = attempt.config
        self._losses[config.cell] += 1
        if self._stop.is_set():
            yield config, {"event": "stopped"}
        elif self._losses[config.cell] < TRIES:
            self._tell(f"{title(config)}: its worker was lost ({reason}); the cell runs again")
            self._waiting.appendleft(config)
        else:
            row = attempt.lost_row(reason, losses=TRIES)
            with held_signals():
                self._keep(row)
            yield config, {"event": "row", "row": row}

    def _ask_to_stop(self) -> Generator[tuple[TrainConfig, Event]]:
        """Cells at work end after their epoch, the others do not begin."""
        for attempt in [attempt for attempt in self._at_work.values() if not attempt.asked_to_stop]:
            attempt.asked_to_stop = True
            if attempt.begun:
                attempt.actor.stop.remote()
                yield attempt.config, {"event": "stopping"}
            else:
                self._end(attempt)

    def _end(self, attempt: Attempt) -> None:
        """Frees what the cell had of a machine; its process there ends with the actor's."""
        del self._at_work[attempt.stream]
        ray.kill(attempt.actor)
