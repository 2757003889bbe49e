"""The app as a process of its own, and its API spoken by hand, so that nothing is checked on the way."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

ROOT = Path(__file__).resolve().parents[2]
APP = (sys.executable, "-m", "space.app")
START_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        status: of HTTP.
        event: the last event of the stream: "complete", "error" or "" when there was none.
        data: that event's.
    """

    status: int
    event: str = ""
    data: Any = None


@dataclass(frozen=True)
class Server:
    """A running app."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def resident(self) -> int:
        """Bytes of memory it holds."""
        return psutil.Process(self.process.pid).memory_info().rss

    def info(self) -> dict[str, Any]:
        """Its named endpoints."""
        return requests.get(f"{self.address}/gradio_api/info", timeout=30).json()["named_endpoints"]

    def start(self, name: str, data: Any) -> requests.Response:
        """Begins a call; the body is `data` as it is, NaN and lone surrogates included."""
        body = json.dumps({"data": data}).encode()
        headers = {"content-type": "application/json"}
        return requests.post(f"{self.address}/gradio_api/call{name}", body, headers=headers, timeout=60)

    def call(self, name: str, data: Any, *, seconds: float = 120) -> Outcome:
        """A whole call of a named endpoint."""
        begun = self.start(name, data)
        if begun.status_code != 200:
            return Outcome(begun.status_code, data=begun.text)
        address = f"{self.address}/gradio_api/call{name}/{begun.json()['event_id']}"
        with requests.get(address, stream=True, timeout=seconds) as response:
            events = list(_events(response))
        return Outcome(response.status_code, *(events[-1] if events else ()))


def _events(response: requests.Response) -> Iterator[tuple[str, Any]]:
    event = ""
    for line in response.iter_lines():
        field, _, value = line.decode().partition(": ")
        if field == "event":
            event = value
        elif field == "data" and event != "heartbeat":
            yield event, json.loads(value)


@contextlib.contextmanager
def serve(
    environment: Mapping[str, str], folder: Path, *, command: Sequence[str] = APP, cwd: Path = ROOT
) -> Iterator[Server]:
    """The app on a free port, with its log in `folder`; ended at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "server.log"
    settings = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
        "SPACE_REQUESTS_PER_MINUTE": "0",
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=settings, stdout=output, stderr=subprocess.STDOUT)
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.process.poll() is None, server.log.read_text()
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(server.address, timeout=5).ok:
                return
        time.sleep(0.1)
    raise AssertionError(f"no page within {START_SECONDS} s: {server.log.read_text()}")
