"""The two errors a user can cause or meet, and the one place where a command line turns them into an exit code."""

import sys
from collections.abc import Callable
from typing import NoReturn


class UsageError(ValueError):
    """The request itself is wrong: says what was given, what is allowed and what to type next. Exit code 2."""


class RunError(RuntimeError):
    """The request was right and the run failed (no data, full disk, divergence). Exit code 1."""


def run_cli(main: Callable[[], int | None]) -> NoReturn:
    """Runs a command line and exits: 0, or 2 after a `UsageError`, 1 after a `RunError` or `OSError`, 130 after Ctrl-C.

    Each error is one line on standard error, without a traceback; any other exception is a bug and keeps its traceback.
    """
    try:
        code = main() or 0
    except UsageError as error:
        code = _say(error, 2)
    except (RunError, OSError) as error:
        code = _say(error, 1)
    except KeyboardInterrupt:
        code = _say("interrupted; finished work is kept, run the same command to go on", 130)
    sys.exit(code)


def _say(message: object, code: int) -> int:
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    return code
