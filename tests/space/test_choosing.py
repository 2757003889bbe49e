"""Which model answers, by mode, cache, network and past failures."""

import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("gradio")

from space.jobs import Stopped
from space.limits import BadInput
from space.models.catalog import MODELS, TASKS
from space.models.choosing import RETRY_SECONDS, Chooser, NotReady, mode_from_environment
from space.models.hub import cached_folder, lock_file


def chooser(mode="auto", *, cached=(), online=True, **more) -> Chooser:
    """One that believes what the test says of cache and network."""
    here = dict.fromkeys(cached, True)
    return Chooser(mode, cached=lambda spec: here.get(spec.key), probe=lambda: online, **more)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("mode", "online", "catalogue"),
    [("offline", True, "offline"), ("hub", False, "hub"), ("auto", True, "hub"), ("auto", False, "offline")],
)
def test_mode_and_network_say_which_catalogue_answers(task, mode, online, catalogue):
    choice = chooser(mode, online=online).choose(task)
    assert choice.spec.key == (TASKS[task].offline if catalogue == "offline" else TASKS[task].hub[0])
    assert choice.why


def test_what_is_in_the_local_cache_answers_without_network():
    offline = chooser(cached=["t5-small-summary"], online=False)
    assert offline.choose("summarize").spec.key == "t5-small-summary"
    assert offline.choose("sentiment").spec.offline


@pytest.mark.parametrize("picked", ["no-such-model", "distilgpt2", "", None, 7, ["smollm2-135m"], "../../etc/passwd"])
def test_only_models_of_the_task_may_be_picked(picked):
    with pytest.raises(BadInput, match="auto, t5-small-summary, smollm2-360m, smollm2-135m"):
        chooser().choose("summarize", picked)


def test_a_mode_offers_only_its_own_catalogue():
    assert all(spec.offline for spec in chooser("offline").allowed("chat"))
    assert not any(spec.offline for spec in chooser("hub").allowed("chat"))
    with pytest.raises(BadInput):
        chooser("offline").choose("chat", "smollm2-360m")


def test_the_hub_is_probed_once_and_only_when_its_answer_matters():
    probes = []
    some = Chooser("auto", cached=lambda spec: None, probe=lambda: probes.append(1) or False)
    some.choose("chat", "smollm2-135m")
    assert not probes
    for task in TASKS:
        some.choose(task)
    assert len(probes) == 1


def test_users_at_the_same_time_share_one_probe():
    probes = []

    def probe() -> bool:
        probes.append(1)
        time.sleep(0.2)
        return True

    some = Chooser("auto", cached=lambda spec: None, probe=probe)
    threads = [threading.Thread(target=some.choose, args=("chat",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(probes) == 1


def test_a_resolver_that_hangs_costs_three_seconds_once():
    release = threading.Event()
    some = Chooser("auto", cached=lambda spec: None, probe=lambda: release.wait(30))
    started = time.monotonic()
    assert some.choose("chat").spec.offline
    assert 2.9 < time.monotonic() - started < 3.5
    started = time.monotonic()
    assert some.choose("story").spec.offline
    assert time.monotonic() - started < 0.2
    release.set()


def test_the_wait_for_the_hub_can_be_stopped():
    release = threading.Event()
    some = Chooser("auto", cached=lambda spec: None, probe=lambda: release.wait(30))

    def check() -> None:
        raise Stopped

    started = time.monotonic()
    with pytest.raises(Stopped):
        some.choose("chat", check=check)
    assert time.monotonic() - started < 0.5
    release.set()


def test_a_failed_hub_model_is_left_alone_for_some_minutes_and_only_in_its_task():
    clock = [1000.0]
    some = chooser(now=lambda: clock[0])
    failed = some.choose("chat")
    offline = some.fall_back("chat", "auto", failed=failed, error=NotReady("The disk is full."))
    assert offline.spec.key == TASKS["chat"].offline
    assert offline.why == "SmolLM2 360M Instruct could not be had: The disk is full."
    assert some.choose("chat") == offline
    assert not some.choose("summarize").spec.offline
    clock[0] += RETRY_SECONDS
    assert some.choose("chat") == failed


def test_a_failed_hub_model_answers_as_soon_as_it_is_there():
    here: dict[str, bool] = {}
    some = Chooser("auto", cached=lambda spec: here.get(spec.key), probe=lambda: True)
    some.fall_back("chat", "auto", failed=some.choose("chat"), error=NotReady("It is not here yet."))
    assert some.choose("chat").spec.offline
    here["smollm2-360m"] = True
    assert some.choose("chat").spec.key == "smollm2-360m"


def test_a_cached_model_that_does_not_load_is_left_alone_until_its_files_change():
    here, clock = {"smollm2-360m": Path("old")}, [1000.0]
    some = Chooser("auto", cached=lambda spec: here.get(spec.key), probe=lambda: True, now=lambda: clock[0])
    some.fall_back("chat", "auto", failed=some.choose("chat"), error=NotReady("Its files are damaged."))
    assert some.choose("chat").why == "SmolLM2 360M Instruct could not be had: Its files are damaged."
    here["smollm2-360m"] = Path("new")
    assert some.choose("chat").spec.key == "smollm2-360m"
    here["smollm2-360m"] = Path("old")
    clock[0] += RETRY_SECONDS
    assert some.choose("chat").spec.key == "smollm2-360m"


def test_a_cache_that_cannot_be_read_leaves_the_offline_models_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_MODELS_DIR", str(tmp_path))
    lock_file().write_text("not JSON")
    for task in TASKS:
        choice = Chooser("auto", cached=cached_folder, probe=lambda: True).choose(task)
        assert choice.spec.offline
        assert "could not be had: The lock file revisions.lock.json is damaged" in choice.why


@pytest.mark.parametrize(("mode", "picked"), [("hub", "auto"), ("auto", "smollm2-360m"), ("auto", "smollm2-135m")])
def test_what_was_asked_for_by_name_or_mode_fails_in_the_open(mode, picked):
    some = chooser(mode)
    error = NotReady("The disk is full.")
    with pytest.raises(NotReady) as raised:
        some.fall_back("chat", picked, failed=some.choose("chat", picked), error=error)
    assert raised.value is error


def test_the_environment_says_the_mode(monkeypatch):
    monkeypatch.delenv("SPACE_MODELS", raising=False)
    assert mode_from_environment() == "auto"
    monkeypatch.setenv("SPACE_MODELS", " Offline ")
    assert mode_from_environment() == "offline"
    monkeypatch.setenv("SPACE_MODELS", "local")
    with pytest.raises(ValueError, match="must be one of auto, hub, offline"):
        mode_from_environment()


def test_every_task_names_models_of_the_catalogue_and_one_that_works_offline():
    for models in TASKS.values():
        assert all(not MODELS[key].offline for key in models.hub)
        assert MODELS[models.offline].offline
