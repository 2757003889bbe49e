"""Child processes that take requests and answer in JSON lines: their memory, threads and settings are their own."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from jax_models.errors import RunError

Message = dict[str, Any]
"""What a child says: {"event": its kind, ...}. An "error" event, with the text in "error", ends the answer."""


class Child(contextlib.AbstractContextManager["Child"]):
    """A command at work. Leaving the context closes its input, upon which it must end; on an error it is killed."""

    def __init__(self, command: Sequence[str], *, what: str, environment: Mapping[str, str]) -> None:
        """Starts it.

        Args:
            what: the work in words, for the error.
        """
        self.what = what
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - `__exit__` closes it
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=dict(environment),
        )

    def ask(self, **request: Any) -> Message:
        """Hands over a request as a line of JSON and waits for the one message that answers it.

        Raises:
            RunError: it failed.
        """
        self.tell(request)
        message = next(self.messages(), None)
        if message is None:
            raise self._failure()
        return message

    def tell(self, request: Message) -> None:
        """Hands over a request as a line of JSON."""
        stdin: Any = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it died: there will be no answer
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()

    def messages(self) -> Iterator[Message]:
        """What it says, as it comes, until it ends.

        Raises:
            RunError: it said that it failed.
        """
        stdout: Any = self._process.stdout
        while line := stdout.readline():
            message = json.loads(line)
            if message["event"] == "error":
                raise RunError(f"{self.what} failed: {message['error']}")
            yield message

    def _failure(self) -> RunError:
        code = self._process.wait()
        self._errors.seek(0)
        reason = (self._errors.read().strip().splitlines() or [f"it ended with code {code}"])[-1]
        return RunError(f"{self.what} failed: {reason}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for its end.

        Raises:
            RunError: it failed.
        """
        with self._errors:
            if kind:
                self._process.kill()
            with self._process:  # closes its input and waits
                pass
            if self._process.returncode and not kind:
                raise self._failure()


def messages(
    command: Sequence[str], request: Message, *, what: str, environment: Mapping[str, str]
) -> Iterator[Message]:
    """Runs a command, hands it one request, and yields what it says; it ends when the caller wants no more.

    Raises:
        RunError: it failed.
    """
    with Child(command, what=what, environment=environment) as child:
        child.tell(request)
        yield from child.messages()
