"""The weights of the best epoch so far, for early stopping. In a folder they survive a kill."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_models.errors import RunError
from jax_models.output import replacing
from jax_models.training.loop import EpochRecord

FILE = "best.npz"


class Best:
    """The variables with the lowest validation loss among those offered."""

    def __init__(self, folder: Path | None, run: str) -> None:
        """What a stopped run of that name left in the folder still counts.

        Raises:
            RunError: the file there is damaged.
        """
        self._folder, self._run = folder, run
        self._loss, self._leaves = float("inf"), []
        if folder and (folder / FILE).exists():
            try:
                with np.load(folder / FILE) as file:
                    if str(file["run"]) == run:
                        self._loss = float(file["loss"])
                        self._leaves = [file[str(number)] for number in range(len(file.files) - 2)]
            except Exception as error:  # by kind of damage BadZipFile, KeyError, ValueError and others
                raise RunError(f"{folder / FILE} is damaged; move {folder} away, and train again") from error

    def offer(self, variables: Any, *, loss: float) -> None:
        """Keeps the variables if their loss is the lowest."""
        if loss < self._loss:
            self._loss, self._leaves = loss, [np.asarray(leaf) for leaf in jax.tree.leaves(variables)]
            if self._folder:
                self._folder.mkdir(parents=True, exist_ok=True)
                arrays: dict[str, Any] = {str(number): leaf for number, leaf in enumerate(self._leaves)}
                with replacing(self._folder / FILE) as file:
                    np.savez(file, run=self._run, loss=loss, **arrays)

    def check(self, history: Sequence[EpochRecord]) -> None:
        """Raises: RunError, if an epoch of the history was better than what is kept: the file was lost."""
        if history and self._loss > min(record.validation_loss for record in history):
            raise RunError(f"{FILE} in {self._folder} is missing or old; move {self._folder} away, and train again")

    def variables(self, *, like: Any) -> Any:
        """The best, in the structure of others that were offered."""
        return jax.tree.unflatten(jax.tree.structure(like), [*map(jnp.asarray, self._leaves)])
