"""Where a data set's files come from: the user's own files, the official hosts, packages of public registries.

A source hands over the official files by name, or says in a few words why it cannot. `gather` asks the sources in order
and takes the first complete set whose sha256 are the catalog's.
"""

import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

import requests

from jax_models.data.catalog import DATASETS, DatasetSpec
from jax_models.data.formats import Unreadable, may_hold, unpack
from jax_models.data.progress import Reporter
from jax_models.errors import RunError

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 8.0  # names, connection and headers together; a resolver without a network can hang for longer
READ_SECONDS = 10.0
SLOWEST_BYTES_PER_SECOND = 50_000
_CHUNK = 1 << 18


class Unavailable(Exception):
    """The source cannot give the files; the text says why in a few words."""


@runtime_checkable
class Source(Protocol):
    """One place that may have the files. `label` names it to the user."""

    @property
    def label(self) -> str: ...

    def fetch(self, spec: DatasetSpec, reporter: Reporter) -> dict[str, bytes]:
        """The official files by name, decompressed. Raises `Unavailable`."""
        ...


def gather(spec: DatasetSpec, sources: Sequence[Source], reporter: Reporter) -> tuple[dict[str, bytes], str]:
    """The verified official files and the label of the source that had them.

    Raises:
        RunError: no source had them; the message gives each source's reason and the ways out.
    """
    reasons = []
    for source in sources:
        try:
            files = source.fetch(spec, reporter)
            if wrong := _wrong_files(spec, files):
                raise Unavailable(f"{', '.join(wrong)} missing or not the official contents (sha256)")
        except Unavailable as reason:
            reasons.append(f"{source.label}: {reason}")
        else:
            return {name: files[name] for name in spec.files}, source.label
    raise RunError(
        f"{spec.title} was found nowhere. Tried {'; '.join(reasons) or 'nothing'}. Ways out: download "
        f"{_download_names(spec)} elsewhere and run `python -m jax_models.data {spec.name} --files FOLDER`, "
        f"or point --data-dir or TFDS_DATA_DIR at data that TFDS has prepared, or run it again with a network."
    )


def _wrong_files(spec: DatasetSpec, files: dict[str, bytes]) -> list[str]:
    return [name for name, truth in spec.files.items() if hashlib.sha256(files.get(name, b"")).hexdigest() != truth]


def _download_names(spec: DatasetSpec) -> str:
    return "cifar-10-binary.tar.gz" if spec.layout == "cifar" else ", ".join(f"{name}.gz" for name in spec.files)


@dataclass(frozen=True)
class LocalFiles:
    """Files the user already has.

    Attributes:
        folder: where to look, with its subfolders.
        depth: how many levels down.
    """

    folder: Path
    depth: int = 3

    @property
    def label(self) -> str:
        return f"files in {self.folder}"

    def fetch(self, spec: DatasetSpec, reporter: Reporter) -> dict[str, bytes]:
        """Opens every file whose name fits and keeps what has the right sha256; names what has a wrong one."""
        found: dict[str, bytes] = {}
        for path in self._candidates(spec):
            try:
                files = unpack(spec, path.name, path.read_bytes())
            except (Unreadable, OSError) as error:
                reporter.note(f"{path} cannot be read and is skipped: {error}")
                continue
            for name, data in files.items():
                digest = hashlib.sha256(data).hexdigest()
                if spec.files.get(name) == digest:
                    found[name] = data
                elif not any(digest in other.files.values() for other in DATASETS.values()):
                    reporter.note(f"{path} is damaged or not the official {spec.title} file (sha256) and is skipped")
            if len(found) == len(spec.files):
                return found
        if found:
            raise Unavailable(f"no good {', '.join(name for name in spec.files if name not in found)}")
        raise Unavailable("none found")

    def _candidates(self, spec: DatasetSpec) -> list[Path]:
        paths = []
        for folder, subfolders, names in os.walk(self.folder):
            if len(Path(folder).relative_to(self.folder).parts) >= self.depth:
                subfolders.clear()
            subfolders.sort()
            paths += [Path(folder, name) for name in sorted(names) if may_hold(spec, name)]
        return paths


@dataclass(frozen=True)
class OfficialHost:
    """The addresses that TFDS registers for the data set.

    Attributes:
        urls: address of each file, with its size in bytes.
    """

    urls: dict[str, int]

    @property
    def label(self) -> str:
        return f"official host {', '.join(sorted({urlsplit(url).netloc for url in self.urls}))}"

    def fetch(self, spec: DatasetSpec, reporter: Reporter) -> dict[str, bytes]:
        """Downloads and unpacks every address; gives up at the first that fails."""
        files: dict[str, bytes] = {}
        with reporter.bar(f"{spec.title}: official host", total=sum(self.urls.values())) as advance:
            for url in self.urls:
                data = _download(url, advance)
                try:
                    files |= unpack(spec, url.rsplit("/", 1)[-1], data)
                except Unreadable as error:
                    raise Unavailable(f"sent something else ({error})") from error
        return files


def _download(url: str, advance: Callable[[int], None]) -> bytes:
    """The body at an address. A slow or silent host is `Unavailable` after seconds, not minutes."""
    try:
        with _open(url) as response:
            response.raise_for_status()
            data, started = bytearray(), time.monotonic()
            for chunk in response.iter_content(_CHUNK):
                data += chunk
                advance(len(chunk))
                seconds = time.monotonic() - started
                if seconds > 2 * READ_SECONDS and len(data) < seconds * SLOWEST_BYTES_PER_SECOND:
                    raise Unavailable("too slow")
            return bytes(data)
    except requests.HTTPError as error:
        raise Unavailable(f"answered {error}") from error
    except requests.Timeout as error:
        raise Unavailable("no answer in time") from error
    except requests.RequestException as error:
        raise Unavailable("no connection") from error


def _open(url: str) -> requests.Response:
    """`requests.get` with one deadline over name lookup, connection and headers (its own does not cover lookup)."""
    answers: queue.SimpleQueue[requests.Response | requests.RequestException] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(requests.get(url, timeout=(CONNECT_SECONDS, READ_SECONDS), stream=True))
        except requests.RequestException as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise requests.Timeout(url) from None
    if isinstance(answer, requests.RequestException):
        raise answer
    return answer
