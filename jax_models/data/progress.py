"""What the user sees while data is found and prepared: progress bars and notes on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


class Reporter:
    """Shows bars (only if asked for) and notes (always: a note tells of damage or of a wait)."""

    def __init__(self, *, bars: bool) -> None:
        self._console = Console(stderr=True)
        self._bars = bars

    def note(self, message: str) -> None:
        """Prints one line that the user should see even without bars."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def bar(self, description: str, *, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """A progress bar while the block runs; yields the function that advances it. Without a total it pulses.

        Where standard error is a file or a pipe, one line stands for the bar.
        """
        live = self._bars and self._console.is_terminal
        if self._bars and not live:
            self.note(description)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console, transient=True, disable=not live) as progress:
            task = progress.add_task(description, total=total)
            yield lambda amount: progress.advance(task, amount)
