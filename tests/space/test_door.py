"""The door before Gradio, at a live server: bodies are bounded, and what one client sends, uploads and lets wait."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

pytest.importorskip("gradio")
pytest.importorskip("transformers")

from live import Server, serve

from space.door import MOST_BYTES, MOST_WAITING, POSTS_PER_REQUEST
from space.serving import LANES

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app with tiny models, as MCP server too; a thousand requests a minute."""
    settings = {"SPACE_MODELS": "hub", "SPACE_MCP": "1", "SPACE_REQUESTS_PER_MINUTE": "1000"}
    with serve({**settings, "FORWARDED_ALLOW_IPS": "127.0.0.1"}, tmp_path_factory.mktemp("door")) as running:
        yield running


@pytest.fixture(scope="module")
def strict(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app that lets one request a minute compute."""
    with serve({"SPACE_MODELS": "hub", "SPACE_REQUESTS_PER_MINUTE": "1"}, tmp_path_factory.mktemp("strict")) as running:
        yield running


def post(server: Server, path: str, body: Any = b"{}", **more: Any) -> requests.Response:
    """A request by hand."""
    headers = {**JSON, **more.pop("headers", {})}
    return requests.post(f"{server.address}/gradio_api/{path}", body, headers=headers, timeout=60, **more)


PATHS = ["queue/join", "call/next_word", "call/v2/next_word", "run/next_word", "cancel", "component_server", "mcp"]


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_is_too_large_is_refused(server, path, chunked):
    body = b'{"data": ["' + b"x" * MOST_BYTES + b'"]}'
    accept = {"accept": "application/json, text/event-stream"}
    refused = post(server, path, iter([body[:1000], body[1000:]]) if chunked else body, headers=accept)
    own_readers = chunked and path in {"component_server", "mcp"}  # which take every trouble for a broken body
    assert refused.status_code == (400 if own_readers else 413)
    assert "\n" not in refused.text


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_many_files_that_are_too_large_together_leave_nothing_on_the_disk(server, chunked):
    files = Path(server.log.parent / "gradio")
    before = set(files.rglob("*"))
    parts = [("files", (f"{number}.txt", b"x" * 4_000_000)) for number in range(2)]
    prepared = requests.Request("POST", f"{server.address}/gradio_api/upload", files=parts).prepare()
    body, kind = prepared.body, {"content-type": prepared.headers["content-type"]}
    assert isinstance(body, bytes)
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    refused = post(server, "upload", pieces if chunked else body, headers=kind)
    assert refused.status_code == 413
    assert "maximum allowed size of 6 MB" in refused.text
    assert set(files.rglob("*")) == before


def test_events_of_all_kinds_are_counted_whatever_address_a_client_claims_to_forward_for(strict):
    for number in range(POSTS_PER_REQUEST):
        claimed = {"x-forwarded-for": f"1.2.3.{number}"}
        assert post(strict, "call/no_such", headers=claimed).status_code not in {200, 429}
    refused = post(strict, "queue/join", headers={"x-forwarded-for": "1.2.3.99"})
    assert refused.status_code == 429
    assert refused.json()["detail"].startswith("At most 10 requests a minute from one place; try again in")
    assert post(strict, "run/no_such").status_code == 429
    ended = post(strict, "cancel", b'{"session_hash": "a", "fn_index": 0, "event_id": "b"}')
    assert ended.status_code == 200, "what was begun can always be stopped"
    assert requests.get(strict.address, timeout=30).ok


def test_an_upload_counts_as_a_request_that_computes(strict):
    address = f"{strict.address}/gradio_api/upload"
    sent = [requests.post(address, files={"files": ("a.txt", b"a")}, timeout=30) for _ in range(2)]
    assert [response.status_code for response in sent] == [200, 429]


def painting(server: Server) -> list[Any]:
    """Values of a call that takes some seconds."""
    good = {"prompt": "a red sneaker", "steps": 100, "images": 4}
    parameters = server.info()["/text_to_image"]["parameters"]
    return [good.get(part["parameter_name"], part.get("parameter_default")) for part in parameters]


def test_one_client_cannot_fill_the_queue_and_others_come_in(server):
    data = {"data": painting(server)}
    sessions = requests.Session()

    def begin(client: str) -> requests.Response:
        address = f"{server.address}/gradio_api/call/text_to_image"
        return sessions.post(address, json=data, headers={"x-forwarded-for": client}, timeout=60)

    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda _: begin("10.0.0.1"), range(40)))
    let_in = [response.json()["event_id"] for response in begun if response.status_code == 200]
    refused = [response for response in begun if response.status_code == 429]
    try:
        assert len(let_in) + len(refused) == 40
        assert MOST_WAITING - 8 <= len(let_in) <= MOST_WAITING + LANES + 2  # eight come at the same time
        assert all("16 requests from one place wait already" in response.json()["detail"] for response in refused)
        other = begin("10.0.0.2")
        assert other.status_code == 200
        let_in.append(other.json()["event_id"])
    finally:
        for event in let_in:  # a call without a session has the event's name for its session
            post(server, "cancel", f'{{"session_hash": "{event}", "fn_index": 0, "event_id": "{event}"}}'.encode())


def test_tools_of_the_mcp_server_answer_through_the_door(server):
    call = {"name": "next_word", "arguments": {"text": "Once upon a time"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    accept = {"accept": "application/json, text/event-stream"}
    answer = requests.post(f"{server.address}/gradio_api/mcp/", json=body, headers=accept, timeout=120)
    assert answer.status_code == 200
    assert "distilgpt2" in answer.text
