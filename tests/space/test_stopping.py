"""Stop means stop, against a live server: a cancelled call and a closed connection end the work at once."""

import time
from collections.abc import Iterator

import pytest
import requests

gr = pytest.importorskip("gradio")

from at_work import seconds_until, working  # noqa: E402
from gradio_client import Client  # noqa: E402
from live import Server  # noqa: E402

from space.app import build_app  # noqa: E402
from space.jobs import Job, watch  # noqa: E402
from space.serving import LANES, Space  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # Gradio's, in this process
AT_ONCE = 0.5  # seconds


@pytest.fixture(scope="module")
def address(tiny_space: Space) -> Iterator[str]:
    """The app in this process, with one more endpoint, whose work goes on for a minute."""
    app = build_app(tiny_space)
    with app:

        def endless() -> Iterator[dict]:
            """Counts tenths of seconds until it is stopped."""

            def work(job: Job[dict]) -> None:
                for number in range(600):
                    job.check()
                    job.tell({"model": "none", "number": number})
                    time.sleep(0.1)

            yield from watch(work, first={}, seconds=60)

        tiny_space.endpoint(endless, name="endless")
    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, server_port=None)
    yield url.rstrip("/")
    app.close()


def test_a_cancelled_call_ends_at_once_and_frees_its_slot(address):
    calls = [Client(address, verbose=False).submit(api_name="/endless") for _ in range(LANES)]
    seconds_until(lambda: working() == LANES)
    for call in calls:
        call.cancel()
    assert seconds_until(lambda: working() == 0) < AT_ONCE
    assert Client(address, verbose=False).predict("Once upon", api_name="/next_word")["tokens"]


def test_a_closed_connection_ends_its_work_at_once(address):
    server = Server(address, process=None, log=None)  # type: ignore[arg-type]
    begun = server.start("/endless", [])
    response = requests.get(f"{address}/gradio_api/call/endless/{begun.json()['event_id']}", stream=True, timeout=30)
    next(response.iter_lines())
    seconds_until(lambda: working() == 1)
    response.close()
    assert seconds_until(lambda: working() == 0) < AT_ONCE


def test_a_call_that_waits_and_is_cancelled_never_begins(address):
    # Each has a client of its own: Gradio cancels all calls that one session has made of an endpoint.
    calls = [Client(address, verbose=False).submit(api_name="/endless") for _ in range(LANES)]
    seconds_until(lambda: working() == LANES)
    waiting = Client(address, verbose=False).submit(api_name="/endless")
    time.sleep(0.3)
    waiting.cancel()
    for call in calls:
        call.cancel()
    seconds_until(lambda: working() == 0)
    time.sleep(1)
    assert working() == 0
