"""The Hugging Face hub: which of its models are on this machine, and how the others come here.

Only safetensors, configurations and tokenizers are fetched; never pickles or code. The branch `main` is resolved to a
commit at the first download and written to a lock file; from then on it is that commit, until the file is deleted.
"""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock
from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  (of httpx or httpx2, as the client's version has it)
    RepositoryNotFoundError,
)

from space.folders import models_folder
from space.models.catalog import MB, ModelSpec
from space.models.choosing import NotReady
from space.models.hub_files import complete, wanted

TIMEOUT_SECONDS = 10.0
_COMMIT = re.compile(r"[0-9a-f]{40}")

Say = Callable[[str], None]


def lock_file() -> Path:
    """Where the commit of each downloaded repository is written: `revisions.lock.json` in the models' folder."""
    return models_folder() / "revisions.lock.json"


def cached_folder(spec: ModelSpec) -> Path | None:
    """The folder of a hub model in the local cache, if all of its files are there; no network is used."""
    if spec.repo is None:
        return None
    cache = Path(constants.HF_HUB_CACHE) / f"models--{spec.repo.replace('/', '--')}"
    revision = _locked().get(spec.repo)
    if revision is None:
        main = cache / "refs" / "main"
        revision = main.read_text().strip() if main.is_file() else ""
    folder = cache / "snapshots" / revision
    return folder if revision and complete(folder, spec.kind) else None


def download(spec: ModelSpec, say: Say) -> Path:
    """Brings a hub model into the local cache, unless it is there.

    Args:
        say: is told how far it is; what it raises ends the download. Files that are whole by then stay for the next.

    Raises:
        NotReady: it cannot be had; the text says why.
    """
    if folder := cached_folder(spec):
        return folder
    if constants.HF_HUB_OFFLINE:
        raise NotReady("It is not in the local cache, and HF_HUB_OFFLINE is set.")
    say("asking the hub")
    try:
        _fetch(spec, say)
    except (HTTPError, OSError) as error:
        raise NotReady(_reason(error)) from error
    if folder := cached_folder(spec):
        return folder
    raise NotReady(f"The repository {spec.repo} has no complete set of safetensors.")


def _fetch(spec: ModelSpec, say: Say) -> None:
    from space.models.loading import dtype  # imports PyTorch

    assert spec.repo is not None
    revision = _locked().get(spec.repo)
    info = HfApi().model_info(spec.repo, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
    if not revision:
        revision = _lock(spec.repo, str(info.sha))
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    names = wanted(spec.kind, tuple(sizes), half=dtype().itemsize == 2)
    if not any(name.endswith(".safetensors") for name in names):
        raise NotReady(f"The repository {spec.repo} has no safetensors, and other weights are not loaded.")
    meter = _Meter(sum(sizes[name] for name in names), say)
    Path(constants.HF_HUB_CACHE).mkdir(parents=True, exist_ok=True)
    missing = (
        name for name in names if not isinstance(try_to_load_from_cache(spec.repo, name, revision=revision), str)
    )
    if sum(sizes[name] for name in missing) > shutil.disk_usage(constants.HF_HUB_CACHE).free:
        raise OSError(errno.ENOSPC, "the disk has no room for the files that are missing")
    for name in names:
        hf_hub_download(spec.repo, name, revision=revision, etag_timeout=TIMEOUT_SECONDS, tqdm_class=meter.bar())
        meter.finish(sizes[name])


class _Meter:
    """Counts the bytes of all files that come."""

    def __init__(self, total: int, say: Say) -> None:
        self.total, self.say = total, say
        self.finished = 0

    def tell(self, current: int) -> None:
        self.say(f"downloading {(self.finished + current) / MB:.0f} of {self.total / MB:.0f} MB")

    def finish(self, size: int) -> None:
        self.finished += size
        self.tell(0)

    def bar(self) -> Any:
        """What huggingface_hub takes for the class of a progress bar."""
        meter = self

        class Bar:
            def __init__(self, *_: Any, initial: int = 0, **__: Any) -> None:
                self.count = initial
                meter.tell(self.count)

            def update(self, count: float | None = 1) -> None:
                self.count += int(count or 0)
                meter.tell(self.count)

            def __enter__(self) -> "Bar":
                return self

            def __exit__(
                self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
            ) -> None:
                pass

        return Bar


def _reason(error: Exception) -> str:
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
            return "The disk is full."
        if isinstance(cause, GatedRepoError):
            return "Its repository is gated: accept its terms on the hub's page, then set HF_TOKEN."
        if isinstance(cause, RepositoryNotFoundError):
            return "The hub has no such repository, or not for everyone."
        if isinstance(cause, HfHubHTTPError):
            return f"The hub says {cause.response.status_code}."
    if isinstance(error, PermissionError):
        return "The cache's folder cannot be written."
    return "The hub does not answer."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _locked() -> dict[str, str]:
    """The commit of every repository that was downloaded.

    Raises:
        NotReady: the lock file is damaged.
    """
    path = lock_file()
    try:
        revisions = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        revisions = None
    if not isinstance(revisions, dict) or not all(_COMMIT.fullmatch(str(commit)) for commit in revisions.values()):
        raise NotReady(f"The lock file {path.name} is damaged; delete it to take the newest revisions.")
    return revisions


def _lock(repo: str, revision: str) -> str:
    """Writes down the commit of a repository, unless another process was faster; returns the one that counts."""
    if not _COMMIT.fullmatch(revision):
        raise NotReady("The hub did not say which commit it has.")
    path = lock_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".guard")):
        revisions = {repo: revision, **_locked()}
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(json.dumps(revisions, indent=1, sort_keys=True) + "\n")
        os.replace(file.name, path)
    return revisions[repo]
