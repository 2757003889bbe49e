"""Runs of Weights & Biases, with their files in `OUT/tracking/wandb`.

They go to its server if the user is logged in, else only to the folder, from where `wandb sync` brings them there
later; WANDB_MODE decides otherwise.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb  # pyright: ignore[reportMissingImports]

from benchmarks.tracking.fields import group, settings
from benchmarks.tracking.tracker import Begin
from jax_models.errors import UsageError
from jax_models.recipes import TrainConfig

SECONDS_TO_WAIT = 60.0
"""For the server, when a run begins and when it ends; no other cell can start meanwhile."""


def connect(*, folder: Path, project: str) -> Begin:
    """Opens runs of a project, with their files in a folder.

    Raises:
        UsageError: WANDB_MODE asks for the server, and the user is not logged in there.
    """
    mode = _mode()

    def begin(config: TrainConfig, *, resumed: bool) -> WandbRun:
        folder.mkdir(parents=True, exist_ok=True)
        run_id = config.cell.replace("/", "-")
        if not resumed:  # of a resumed run `wandb sync` joins the parts
            for old in folder.glob(f"wandb/offline-run-????????_??????-{run_id}"):
                shutil.rmtree(old)
        run = wandb.init(
            project=project,
            dir=folder,
            id=run_id,
            name=config.cell,
            group=group(config),
            config=settings(config),
            mode=mode,
            resume="allow",  # the server takes no epoch twice
            reinit="create_new",  # others go on beside this one
            settings=wandb.Settings(
                silent=True,
                console="off",
                x_disable_stats=True,  # this process only waits for those that train
                init_timeout=SECONDS_TO_WAIT,
                finish_timeout=SECONDS_TO_WAIT,
                finish_timeout_raises=True,
            ),
        )
        return WandbRun(run)

    return begin


class WandbRun:
    """A run of Weights & Biases."""

    def __init__(self, run: Any) -> None:
        """Takes what `wandb.init` gave."""
        self._run = run

    def log(self, values: Mapping[str, float], *, epoch: int) -> None:
        """Adds one point to each curve."""
        self._run.log(dict(values), step=epoch)

    def end(self, values: Mapping[str, str | int | float], *, went_well: bool) -> None:
        """Adds the single values to the run's summary, and ends it as finished or as failed."""
        self._run.summary.update(dict(values))
        self._run.finish(exit_code=0 if went_well else 1)


def _mode() -> str:
    """Never asks: a question would wait, in the middle of the display, for an answer that may not come."""
    chosen = os.environ.get("WANDB_MODE")
    if chosen not in (None, "online"):
        return chosen
    if wandb.login(prompt=False, verify=False):
        return "online"
    if chosen:
        raise UsageError("WANDB_MODE is online, and nobody is logged in: run wandb login, or set WANDB_MODE=offline")
    return "offline"
