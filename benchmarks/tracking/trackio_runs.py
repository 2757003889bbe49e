"""Runs in trackio's database in `OUT/tracking/trackio`, to look at with `trackio show --project PROJECT`.

trackio reads TRACKIO_DIR when it is imported: a process has one place for its runs. What the user has set wins, as do
TRACKIO_SPACE_ID and TRACKIO_SERVER_URL, with which runs go to a server; there, old runs stay beside those begun anew.
"""

import contextlib
import contextvars
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.tracking.fields import group, settings
from benchmarks.tracking.tracker import Begin
from jax_models.recipes import TrainConfig


def connect(*, folder: Path, project: str) -> Begin:
    """Opens runs of a project in a folder."""
    os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))
    import trackio  # pyright: ignore[reportMissingImports]

    def begin(config: TrainConfig, *, resumed: bool) -> TrackioRun:
        if not resumed:
            _delete(trackio, project, config.cell)
        # `init` ends the run that is current in its context: in a context of its own there is none.
        with _silence():
            run = contextvars.Context().run(
                trackio.init,
                project,
                name=config.cell,
                group=group(config),
                config=settings(config),
                resume="allow",
                embed=False,
                auto_log_gpu=False,  # this process only waits for those that train
                auto_log_cpu=False,
            )
        return TrackioRun(run, config)

    return begin


class TrackioRun:
    """A run of trackio's, which sends values from a thread of its own and says itself, in warnings, what it cannot."""

    def __init__(self, run: Any, config: TrainConfig) -> None:
        """Takes what `trackio.init` gave."""
        self._run, self._last = run, config.epochs

    def log(self, values: Mapping[str, float], *, epoch: int) -> None:
        """Adds one point to each curve."""
        self._run.log(dict(values), step=epoch)

    def end(self, values: Mapping[str, str | int | float], *, went_well: bool) -> None:
        """Adds the single values to the last epoch, as trackio has no others; its runs end alike, well or not."""
        self._run.log(dict(values), step=self._last)
        with _silence():
            self._run.finish()


def _delete(trackio: Any, project: str, name: str) -> None:
    with contextlib.suppress(ValueError):  # there is no such project yet
        for run in trackio.Api().runs(project):
            if run.name == name:
                run.delete()


def _silence() -> contextlib.AbstractContextManager[Any]:
    """Keeps greetings out of the display of the sweep."""
    return contextlib.redirect_stdout(io.StringIO())
