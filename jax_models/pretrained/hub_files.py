"""Files of the Hugging Face hub through the package huggingface_hub, which need not be installed for anything else."""

import socket
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jax_models.errors import UsageError


def library() -> Any:
    """The package huggingface_hub.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise UsageError("this needs the package huggingface_hub: pip install huggingface-hub") from error
    return huggingface_hub


def hub_errors() -> tuple[type[Exception], ...]:
    """What the functions below, and huggingface_hub, raise when something cannot be had."""
    from huggingface_hub import errors

    return (errors.HfHubHTTPError, errors.HTTPError, errors.HFValidationError, OSError)  # type: ignore[attr-defined]


def hub_file(repo: str, name: str, *, revision: str | None = None, repo_type: str | None = None) -> Path:
    """A file that does not change: from the cache if it is there.

    Raises:
        UsageError: huggingface_hub is not installed.
        hub_errors(): it cannot be had.
    """
    hub = library()
    where = {"revision": revision, "repo_type": repo_type}
    try:
        return Path(hub.hf_hub_download(repo, name, local_files_only=True, **where))
    except FileNotFoundError:
        check_network()
        return Path(hub.hf_hub_download(repo, name, **where))


def hub_repository(repo: str, *, revision: str | None, names: Sequence[str]) -> Path:
    """A folder with these files of a repository as they are now, or without network as the cache has them.

    Raises:
        UsageError: huggingface_hub is not installed.
        hub_errors(): they cannot be had.
    """
    hub = library()
    try:
        check_network()
    except OSError as no_network:
        try:
            return Path(hub.snapshot_download(repo, revision=revision, allow_patterns=names, local_files_only=True))
        except FileNotFoundError:
            raise no_network from None
    return Path(hub.snapshot_download(repo, revision=revision, allow_patterns=names))


def check_network() -> None:
    """Finds out at once that there is none; huggingface_hub tries for half a minute and tells of every time.

    Raises:
        OSError: the hub's name cannot be looked up, and there is no proxy that might know it.
    """
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname
    if not urllib.request.getproxies():
        try:
            socket.getaddrinfo(host, "https")
        except OSError as error:
            raise OSError(f"there is no network, {host} cannot be looked up") from error
