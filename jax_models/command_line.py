"""What the command lines share: options that are wrong are reported in one line, like every other error of a user."""

import argparse
from typing import NoReturn

from jax_models.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `UsageError` for a wrong option and keeps the line breaks of its texts."""

    def __init__(self, *, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raises: UsageError, with what argparse found and where help is."""
        raise UsageError(f"{message.removeprefix('argument ')}; see {self.prog} --help")


def positive(text: str) -> int:
    """An option's whole number, at least 1: give it to `add_argument` as `type`."""
    return _whole_number(text, smallest=1)


def not_negative(text: str) -> int:
    """An option's whole number, at least 0: give it to `add_argument` as `type`."""
    return _whole_number(text, smallest=0)


def _whole_number(text: str, *, smallest: int) -> int:
    if not text.strip().lstrip("+-").isdecimal() or (number := int(text)) < smallest:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {smallest}")
    return number
