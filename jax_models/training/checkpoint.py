"""A run's checkpoints: one per epoch, the last two kept; orbax writes so that a kill leaves the earlier one whole."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from orbax.checkpoint import v1 as ocp

from jax_models.errors import RunError, UsageError
from jax_models.training.distributed import together
from jax_models.training.loop import EpochRecord
from jax_models.training.state import TrainState


class DamagedCheckpoint(RunError):
    """A checkpoint cannot be read, or not as it was written."""


class Checkpoints:
    """The checkpoints of one run in one folder.

    Raises:
        UsageError: the folder holds something else, or the checkpoints of another run; or some processes do not see it.
        DamagedCheckpoint: the newest checkpoint is damaged.
    """

    def __init__(self, directory: Path, run: str) -> None:
        """`run` is the name by which checkpoints know whose they are: equal names, equal weights."""
        self._directory, self._run = Path(directory).absolute(), run
        if self._directory.exists() and not self._directory.is_dir():
            raise UsageError(f"{self._directory} is a file; checkpoints need a folder of that name: move the file away")
        keep: Any = ocp.training.preservation_policies.LatestN(2)
        self._checkpointer = ocp.training.Checkpointer(
            str(self._directory),
            preservation_policy=keep,
            cleanup_tmp_directories=True,
        )
        with together():  # each process writes its part of a checkpoint, and the first puts the parts together
            if not self._directory.is_dir():
                raise UsageError(
                    f"process 0 made {self._directory} and process {jax.process_index()} does not see it; "
                    "checkpoints need a folder that all processes share"
                )

    def check(self) -> tuple[int, dict[str, Any]] | None:
        """The last step, if there is one, and what was saved beside it; quick, so that errors come before long work.

        Raises:
            UsageError: the checkpoints are of another run.
        """
        if self._checkpointer.latest is None:
            return None
        step = self._checkpointer.latest.step
        run = self._read(self._checkpointer.metadata, step).custom_metadata or {}
        if run.get("run") != self._run:
            raise UsageError(
                f"{self._directory} holds checkpoints of {run.get('run', 'another program')}, not of {self._run}; "
                "choose another folder or move that one away"
            )
        return step, run

    def latest(self, state: TrainState) -> tuple[TrainState, list[EpochRecord]]:
        """The last saved state and its history, or `state` and none; `state` gives shapes and placement."""
        found = self.check()
        if found is None:
            return state, []
        step, run = found
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _to_store(state))
        loaded = self._read(self._checkpointer.load, step, abstract)
        loaded = jax.tree.map(lambda given, stored: stored if given.size else given, state, loaded)
        if _digest(loaded) != run.get("digest"):
            raise self._damaged(step)
        return loaded, [EpochRecord(**record) for record in run["history"]]

    def _read(self, read: Callable[..., Any], step: int, *shapes: TrainState) -> Any:
        try:
            return read(step, *shapes)
        except Exception as error:  # by kind of damage KeyError, ValueError and others, with pages of text
            raise self._damaged(step) from error

    def _damaged(self, step: int) -> DamagedCheckpoint:
        folder = self._directory / str(step)
        return DamagedCheckpoint(
            f"{folder} is damaged; move it away, and the run goes on from the checkpoint before it"
        )

    def save(self, state: TrainState, history: list[EpochRecord]) -> None:
        """Writes the state after the last epoch of `history`; returns when it is on the disk.

        Raises:
            RunError: it could not be written; the checkpoint before it is whole.
        """
        records: Any = [dataclasses.asdict(record) for record in history]
        run: Any = {"run": self._run, "history": records, "digest": _digest(state)}
        try:
            self._checkpointer.save(len(history), _to_store(state), force=True, custom_metadata=run)
        except Exception as error:  # a full disk is a ValueError of tensorstore's, of several lines
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise RunError(f"cannot save a checkpoint in {self._directory}: {reason}") from error

    def close(self) -> None:
        """Ends orbax's threads; what was saved is on the disk already."""
        self._checkpointer.close()


def _to_store(state: TrainState) -> TrainState:
    """The state without arrays that have no element: orbax refuses them."""
    return jax.tree.map(lambda leaf: leaf if leaf.size else None, state)


def _digest(state: TrainState) -> str:
    """sha256 of all arrays: orbax checks that files are there, not that their bytes are those that were written."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(state):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        digest.update(np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes())
    return digest.hexdigest()
