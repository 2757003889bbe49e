"""Checks of what a user asks for: each failure is a `UsageError` that says what is allowed."""

import difflib
from collections.abc import Iterable

from jax_models.errors import UsageError

LARGEST_SEED = 2**32  # the keys of jax.random hold no more


def check_choice(kind: str, name: str, allowed: Iterable[str]) -> None:
    """Raises: UsageError, if `name` is none of the allowed names."""
    allowed = list(allowed)
    if name not in allowed:
        raise UsageError(f"unknown {kind} {name!r}; choose from: {' '.join(allowed)}")


def did_you_mean(name: str, allowed: Iterable[str], *, cutoff: float = 0.6) -> str:
    """What follows a name that is not allowed: ", did you mean NEAREST", or nothing if none is near."""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=cutoff)
    return f", did you mean {close[0]}" if close else ""


def check_at_least(smallest: int, name: str, value: int) -> None:
    """Raises: UsageError, if the number is smaller."""
    if value < smallest:
        raise UsageError(f"{name.replace('_', ' ')} is {value}; it must be at least {smallest}")


def check_seed(seed: int) -> None:
    """Raises: UsageError, if the seed is negative or has more than 32 bits."""
    check_at_least(0, "seed", seed)
    if seed >= LARGEST_SEED:
        raise UsageError(f"seed is {seed}; it must be less than {LARGEST_SEED}")
