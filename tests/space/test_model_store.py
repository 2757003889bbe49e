"""Models in memory: loaded once, shared, bounded, never dropped from under a user; waiting is told and can stop."""

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("gradio")

from space.jobs import Job, Stopped
from space.models import store as model_store
from space.models.catalog import TASKS
from space.models.choosing import Choice, Chooser, NotReady
from space.models.store import Loaded, ModelStore


def some_job(seconds: float = 30) -> Job:
    """A request that may take so long."""
    return Job(time.monotonic() + seconds)


def weights(choice: Choice) -> Loaded:
    """Something in memory that stands for a model of a megabyte."""
    return Loaded(choice, model=bytearray(8), tokenizer=None, size=1_000_000, folder=Path())


def store(
    load: Callable[[Choice], Loaded] = weights, *, mode="hub", megabytes: float = 1e6, online=True, **more
) -> ModelStore:
    """One whose hub models are in no cache, so that `fetch` is asked for them."""
    chooser = Chooser(mode, cached=lambda spec: None, probe=lambda: online)
    return ModelStore(chooser, load, budget=int(megabytes * 1e6), **more)


def touch(some: ModelStore, *tasks: str) -> None:
    """Uses the models of these tasks, one after the other."""
    for task in tasks:
        with some.use(task, job=some_job()):
            pass


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Runs beside the test."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(true: Callable[[], object]) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_model_is_loaded_once_however_many_ask_at_the_same_time():
    loads = []

    def load(choice: Choice) -> Loaded:
        loads.append(choice.spec.key)
        time.sleep(0.2)
        return weights(choice)

    some = store(load)
    threads = [in_thread(lambda: touch(some, "chat")) for _ in range(8)]
    for thread in threads:
        thread.join()
    assert loads == ["smollm2-360m"]


def test_a_model_that_is_loaded_does_not_block_users_of_another():
    release = threading.Event()

    def load(choice: Choice) -> Loaded:
        if choice.spec.key == "distilgpt2":
            release.wait(10)
        return weights(choice)

    some = store(load)
    touch(some, "chat")
    thread = in_thread(lambda: touch(some, "next_word"))
    until(lambda: "distilgpt2" in some._arrivals)
    started = time.monotonic()
    touch(some, "chat")
    assert time.monotonic() - started < 0.2
    release.set()
    thread.join()


def test_a_model_has_one_user_at_a_time_and_the_next_is_told_to_wait():
    some = store()
    said: list[str] = []
    order: list[str] = []

    def second() -> None:
        with some.use("chat", job=some_job(), on_wait=said.append):
            order.append("second")

    with some.use("chat", job=some_job()):
        thread = in_thread(second)
        until(lambda: said)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert said == ["waiting for another user of the model"]


def test_the_least_recently_used_model_leaves_when_the_budget_is_full():
    sized = {"chat": "smollm2-360m", "next_word": "distilgpt2", "sentiment": "distilbert-sst2"}
    some = store(megabytes=724 + 1.5)
    touch(some, "sentiment", "next_word", "sentiment", "chat")
    assert some.in_memory == (sized["sentiment"], sized["chat"])


def test_a_single_model_may_exceed_the_budget():
    some = store(megabytes=0)
    touch(some, "chat")
    assert some.in_memory == ("smollm2-360m",)
    touch(some, "sentiment")
    assert some.in_memory == ("distilbert-sst2",)


def test_a_model_that_takes_more_memory_than_its_files_makes_others_leave():
    def load(choice: Choice) -> Loaded:
        loaded = weights(choice)
        loaded.size = 2 * choice.spec.size
        return loaded

    some = store(load, megabytes=1_500)
    touch(some, "sentiment", "next_word", "chat")
    assert some.in_memory == ("smollm2-360m",)


def test_a_model_in_use_stays_and_who_needs_its_room_waits_and_is_told():
    some = store(megabytes=1)
    said: list[str] = []
    done = threading.Event()

    def other() -> None:
        with some.use("sentiment", job=some_job(), on_wait=said.append):
            done.set()

    with some.use("chat", job=some_job()):
        in_thread(other)
        until(lambda: "waiting until other users leave room in memory" in said)
        assert some.in_memory == ("smollm2-360m",)
    assert done.wait(5)
    assert some.in_memory == ("distilbert-sst2",)


def test_who_waits_for_a_model_can_be_stopped_at_once():
    release = threading.Event()

    def load(choice: Choice) -> Loaded:
        release.wait(10)
        return weights(choice)

    job, ended = some_job(), []

    def work() -> None:
        with contextlib.suppress(Stopped), store(load).use("chat", job=job):
            pytest.fail("it must not come so far")
        ended.append(time.monotonic())

    thread = in_thread(work)
    time.sleep(0.2)
    job._stop.set()
    stopped = time.monotonic()
    thread.join(5)
    assert ended[0] - stopped < 0.5
    release.set()


def fetch_slowly(seconds: float, fetched: list[str]):
    """A download that tells how far it is every 20 ms, and writes down how it ended."""

    def fetch(spec, say) -> None:
        try:
            for step in range(int(seconds / 0.02)):
                say(f"downloading {step} of 100 MB")
                time.sleep(0.02)
            fetched.append("whole")
        except Stopped:
            fetched.append("stopped")
            raise

    return fetch


def test_a_download_ends_when_all_who_wait_for_it_are_stopped_and_begins_anew_for_the_next():
    fetched: list[str] = []
    some = store(fetch=fetch_slowly(0.5, fetched))
    jobs = [some_job(), some_job()]
    threads = [in_thread(lambda job=job: _stoppable(some, job)) for job in jobs]
    until(lambda: some._arrivals and some._arrivals["smollm2-360m"].wanted == 2)
    jobs[0]._stop.set()
    threads[0].join()
    assert not fetched
    jobs[1]._stop.set()
    threads[1].join()
    until(lambda: fetched)
    assert fetched == ["stopped"]
    touch(some, "chat")
    assert fetched == ["stopped", "whole"]


def _stoppable(some: ModelStore, job: Job) -> None:
    with contextlib.suppress(Stopped), some.use("chat", job=job):
        pass


def test_the_progress_of_a_download_is_told_and_does_not_count_against_the_deadline():
    said: list[str] = []
    job = some_job(seconds=0.1)
    with store(fetch=fetch_slowly(0.4, [])).use("chat", job=job, on_wait=said.append):
        job.check()
    assert len([line for line in said if line.startswith("downloading")]) >= 3


def test_a_request_that_ran_out_of_patience_says_how_far_it_is_and_the_download_goes_on(monkeypatch):
    monkeypatch.setattr(model_store, "PATIENCE_SECONDS", 0.1)
    fetched: list[str] = []
    some = store(fetch=fetch_slowly(0.4, fetched))
    with pytest.raises(NotReady, match=r"downloading \d+ of 100 MB\); please come back"):
        touch(some, "chat")
    until(lambda: some.in_memory)
    assert fetched == ["whole"]
    touch(some, "chat")


def refuse(spec, say) -> None:
    """A download that fails."""
    if not spec.offline:
        raise NotReady("The disk is full.")


def test_where_the_hub_fails_the_offline_model_answers_and_says_why():
    tried = []

    def fetch(spec, say) -> None:
        tried.append(spec.key)
        refuse(spec, say)

    some = store(mode="auto", fetch=fetch)
    for _ in range(2):
        with some.use("chat", job=some_job()) as loaded:
            assert loaded.spec.key == TASKS["chat"].offline
            assert loaded.choice.why == "SmolLM2 360M Instruct could not be had: The disk is full."
    assert tried == ["smollm2-360m", "smollm2-135m"]  # the second request did not wait for another failure


@pytest.mark.parametrize(("mode", "picked"), [("hub", "auto"), ("auto", "smollm2-360m")])
def test_where_only_the_hubs_model_may_answer_its_failure_is_an_error(mode, picked):
    some = store(mode=mode, fetch=refuse)
    with pytest.raises(NotReady, match="The disk is full"), some.use("chat", picked, job=some_job()):
        pass


def test_when_neither_model_can_be_had_both_reasons_are_told():
    def load(choice: Choice) -> Loaded:
        raise NotReady("run: python -m space.demo_models")

    some = store(load, mode="auto", fetch=refuse)
    with pytest.raises(NotReady, match=r"The disk is full\. run: python -m space.demo_models"):
        touch(some, "chat")


def test_a_failure_to_load_reaches_its_user_and_the_next_one_tries_again():
    broken = [True]

    def load(choice: Choice) -> Loaded:
        if broken:
            raise RuntimeError(broken.pop())
        return weights(choice)

    some = store(load)
    with pytest.raises(RuntimeError):
        touch(some, "chat")
    touch(some, "chat")


def test_each_user_is_told_why_the_model_was_chosen_for_him():
    some = store(mode="auto", online=False)
    with some.use("chat", "smollm2-135m", job=some_job()) as loaded:
        assert loaded.choice.why == "picked"
    with some.use("chat", job=some_job()) as loaded:
        assert loaded.choice.why == "the hub does not answer"
    assert some.in_memory == ("smollm2-135m",)


def test_memory_of_models_that_leave_returns_to_the_system(tmp_path):
    pytest.importorskip("transformers")
    pytest.importorskip("psutil")
    script = """
        import time, psutil
        from pathlib import Path
        from tiny_models import build_large_pair
        from space.models.choosing import Chooser
        from space.models.hub import cached_folder
        from space.jobs import Job
        from space.models.loading import load
        from space.models.store import ModelStore

        build_large_pair(Path("hub"))
        store = ModelStore(Chooser("hub", cached=cached_folder), load, budget=0)

        def megabytes_after(task):
            with store.use(task, job=Job(time.monotonic() + 60)) as loaded:
                assert loaded.size > 90e6, loaded.size
                loaded.model(loaded.tokenizer("Once upon a time", return_tensors="pt").input_ids)
            del loaded
            return psutil.Process().memory_info().rss / 1e6

        megabytes_after("chat")  # as it loads it also frees what building the files left
        one = [megabytes_after(task) for task in ("next_word", "chat") * 2]
        store.budget = 10**9
        both = megabytes_after("next_word")
        assert max(one) - min(one) < 20, one
        assert both - one[-1] > 80, (one, both)
    """
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])]),
    }
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
