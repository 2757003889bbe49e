"""Many users at once: no call is lost, and memory does not grow."""

import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("gradio")

from gradio_client import Client
from live import Server, serve

MB = 1_000_000
CALLS: dict[str, dict[str, Any]] = {
    "/summarize": {"text": "The report says that prices rose. They rose by a lot. Nobody knows why they rose. " * 4},
    "/next_word": {"text": "Once upon a time"},
    "/story": {"idea": "A fox finds a key."},
    "/sentiment": {"text": "A warm and funny film."},
    "/chat": {"message": "Hello!"},
    "/answer": {"question": "Who wrote the letter?", "context": "Anna wrote the letter in Rome. It was May. " * 20},
    "/text_to_image": {"prompt": "a red sneaker", "steps": 2},
}


def visit(server: Server, user: int, calls: int) -> list[float]:
    """One user's calls, one after the other, on pages chosen at random; how many seconds each took."""
    client, chance, seconds = Client(server.address, verbose=False), random.Random(user), []
    for _ in range(calls):
        name = chance.choice(sorted(CALLS))
        started = time.monotonic()
        reply = client.submit(**CALLS[name], api_name=name).result(timeout=300)
        seconds.append(time.monotonic() - started)
        assert reply["model"], name
    return seconds


def crowd(server: Server, users: int, calls: int) -> list[float]:
    """All users at once; fails if one call of one of them fails."""
    with ThreadPoolExecutor(users) as pool:
        return [second for spent in pool.map(lambda user: visit(server, user, calls), range(users)) for second in spent]


@pytest.mark.parametrize(("users", "calls"), [(4, 2), pytest.param(16, 5, marks=pytest.mark.slow)])
def test_users_at_once_lose_no_call_and_memory_stays_flat(tiny_models, tmp_path, users, calls, capsys):
    with serve({"SPACE_MODELS": "hub"}, tmp_path) as server:
        for name, values in CALLS.items():  # every model is loaded once
            Client(server.address, verbose=False).predict(**values, api_name=name)
        crowd(server, users, calls)
        before = server.resident
        seconds = crowd(server, users, calls)
        grown = server.resident - before
    assert len(seconds) == users * calls
    quantiles = statistics.quantiles(seconds, n=20)
    with capsys.disabled():
        print(
            f"\n{users} users x {calls} calls: 0 lost, p50 {statistics.median(seconds):.2f} s, "
            f"p95 {quantiles[18]:.2f} s, memory {before / MB:.0f} MB, {grown / MB:+.0f} MB after as many calls again"
        )
    assert grown < 60 * MB
