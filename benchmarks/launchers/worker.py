"""One cell on a machine of a Ray cluster: the same child process as on this machine, in a folder of its own there.

A child, and not the worker itself, because malloc's settings and the cores must be there when a process starts, and
because it ends with the worker: when the worker is killed, the child's standard input closes.
"""

import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import benchmarks
from benchmarks import run_files
from benchmarks.cells import SECONDS_BETWEEN_LOOKS, CellProcess, Event, cell_environment
from benchmarks.launchers.folder import Files, place, read_files, write_files
from jax_models.recipes import TrainConfig


class CellWorker:
    """A Ray actor for one cell, to be asked for its `events` once. `stop` can be called meanwhile."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def stop(self) -> None:
        """Asks the cell to end when its epoch is done and saved; at once if it does not train yet."""
        self._asked.set()

    def events(
        self, config: TrainConfig, *, platform: str, cores: int, data_dir: Path | None, files: Files
    ) -> Iterator[Event]:
        """Trains the cell and tells how it goes on.

        Args:
            cores: how many processor cores it is held to; 0 for all.
            data_dir: a path on this machine.
            files: the checkpoints that it goes on from.

        Yields:
            {"event": "start"}, the events of the cell's process, and last {"event": "end"} with the "row", None if the
            cell was stopped; whether the process lived to "tell" how it went; and the "files" that it left.
        """
        yield {"event": "start"}
        with place(cores) as (folder, own_cores):
            write_files(folder, files)
            environment = worker_environment(platform)
            process = CellProcess(config, out=folder, data_dir=data_dir, environment=environment, cores=own_cores)
            try:
                while not process.ended:
                    if select.select([process], [], [], SECONDS_BETWEEN_LOOKS)[0]:
                        for event in process.read():  # noqa: UP028 - Ray sends values in, and a list takes none
                            yield event
                    if self._asked.is_set() and not process.stopped:
                        process.stop()
                told = process.has_result
                row = process.row() if told or not process.stopped else None
            finally:
                process.end()
            if row and row["status"] != "failed":
                run_files.drop_checkpoints(folder, [config.cell])
            end = {"event": "end", "row": row, "told": told, "files": read_files(folder)}
        yield end  # the caller may end this process upon it: nothing is to be done any more


def worker_environment(platform: str) -> dict[str, str]:
    """The environment of a cell's process on this machine: it finds this code, and no device that Ray did not give."""
    here = str(Path(benchmarks.__file__).parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    device = {"JAX_PLATFORMS": "cpu"} if platform == "cpu" else {}
    return cell_environment(platform) | device | {"PYTHONPATH": os.pathsep.join(paths)}
