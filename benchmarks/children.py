"""A child process that is asked one thing and answers in JSON lines: its memory, threads and settings are its own."""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jax_models.errors import RunError

Message = dict[str, Any]
"""What a child says: {"event": its kind, ...}. An "error" event, with the text in "error", ends the answer."""


def messages(
    command: Sequence[str], request: Message, *, what: str, environment: Mapping[str, str]
) -> Iterator[Message]:
    """Runs a command, hands it the request as a line of JSON, and yields what it says.

    The child ends when the caller wants no more.

    Args:
        what: the work in words, for the error.

    Raises:
        RunError: it failed.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=dict(environment),
        )
        with process:
            try:
                stdin: Any = process.stdin
                stdin.write(json.dumps(request) + "\n")
                stdin.close()
                for line in process.stdout or ():
                    message = json.loads(line)
                    if message["event"] == "error":
                        raise RunError(f"{what} failed: {message['error']}")
                    yield message
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            errors.seek(0)
            reason = (errors.read().strip().splitlines() or [f"it ended with code {process.returncode}"])[-1]
            raise RunError(f"{what} failed: {reason}")
