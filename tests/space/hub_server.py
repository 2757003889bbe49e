"""A small hub on this machine: answers what `huggingface_hub` asks, over real HTTP, for repositories made by tests."""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Repository:
    """What the hub has under one id.

    Attributes:
        revision: the commit at the head of `main`.
        files: their bytes.
        error: the status and the error code that every question for its files gets.
        seconds: how long the body of each file is held back.
    """

    revision: str
    files: dict[str, bytes]
    error: tuple[int, str] | None = None
    seconds: float = 0.0


@dataclass
class Hub:
    """The server's side: what it has, and what it was asked for."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    address: str = ""


@contextlib.contextmanager
def serve_hub() -> Iterator[Hub]:
    """A hub until the end of the `with`."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        def do_GET(self) -> None:
            hub.asked.append(urlsplit(self.path).path)
            _answer(self, hub, body=True)

        def do_HEAD(self) -> None:
            _answer(self, hub, body=False)

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client that was stopped
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, hub: Hub, *, body: bool) -> None:
    parts = urlsplit(handler.path).path.strip("/").split("/")
    if parts == [""]:
        return _send(handler, 200, b"a hub", body=body)
    if parts[:2] == ["api", "models"]:
        repository = hub.repositories.get("/".join(parts[2:4]))
        if repository is None:
            return _send(handler, 401, b"", {"X-Error-Code": "RepoNotFound"}, body=body)
        if parts[4:] and parts[5] not in {"main", repository.revision}:
            return _send(handler, 404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)
        files = [{"rfilename": name, "size": len(content)} for name, content in repository.files.items()]
        info = {"id": "/".join(parts[2:4]), "sha": repository.revision, "siblings": files, "tags": []}
        return _send(handler, 200, json.dumps(info).encode(), body=body)
    repository, name = hub.repositories["/".join(parts[:2])], "/".join(parts[4:])
    if repository.error:
        return _send(handler, repository.error[0], b"", {"X-Error-Code": repository.error[1]}, body=body)
    content = repository.files[name]
    headers = {"X-Repo-Commit": repository.revision, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
    if body:
        time.sleep(repository.seconds)
    start = handler.headers.get("Range", "").removeprefix("bytes=").rstrip("-")
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return _send(handler, 206 if start else 200, content[int(start or 0) :], headers, body=body)


def _send(
    handler: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str] | None = None, *, body: bool
) -> None:
    handler.send_response(status)
    for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if body:
        handler.wfile.write(content)
