"""One attempt at a cell on a Ray cluster, and what is known when it is lost."""

import dataclasses
import datetime
from typing import Any

import ray  # pyright: ignore[reportMissingImports]
from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

from benchmarks.cells import Event, identity
from benchmarks.results import SCHEMA, Row
from jax_models.recipes import TrainConfig


@dataclasses.dataclass(eq=False)
class Attempt:
    """An actor for a cell. It has begun when its first event is here; until then it waits for room on a machine."""

    config: TrainConfig
    actor: Any
    stream: Any
    begun: datetime.datetime | None = None
    asked_to_stop: bool = False

    def read(self) -> Event:
        """The next event; {"event": "lost"} with the "reason" if there will be none."""
        try:
            event: Any = ray.get(next(self.stream))
        except (RayError, StopIteration) as error:  # of the worker's own code too: a full disk is the machine's fault
            return {"event": "lost", "reason": _in_a_line(error)}
        self.begun = self.begun or _now()
        return event

    def lost_row(self, reason: str, *, losses: int) -> Row:
        """The row of a cell that is given up after it has lost so many workers."""
        finished = _now()
        started = self.begun or finished
        return {
            "schema": SCHEMA,
            "status": "failed",
            "error": f"lost {losses} workers, the last because: {reason}",
            **identity(self.config),
            "wall_seconds": (finished - started).total_seconds(),
            "started": started.isoformat(timespec="seconds"),
            "finished": finished.isoformat(timespec="seconds"),
        }


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _in_a_line(error: Exception) -> str:
    """What an error says first; of an error in the worker's code, its kind too, and not Ray's traceback of it."""
    cause = getattr(error, "cause", None)
    lines = [line.strip() for line in str(cause or error).splitlines() if line.strip()]
    return ": ".join([type(cause).__name__] * bool(cause) + lines[:1]) or type(error).__name__
