"""The hub's models: what counts as there, what is fetched and what is refused, against a hub on this machine."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("transformers")
pytest.importorskip("gradio")

from hub_server import Hub, Repository, serve_hub
from huggingface_hub import constants
from transformers import AutoTokenizer

from space.jobs import Stopped
from space.models import hub, hub_files
from space.models.catalog import MODELS
from space.models.choosing import NotReady, hub_answers
from space.publishing import front_matter

SENTIMENT = MODELS["distilbert-sst2"]
IMAGES = MODELS["stable-diffusion-1.5"]
REVISION = "0123456789abcdef0123456789abcdef01234567"


def silent(said: str) -> None:
    """Listens to nothing."""


@pytest.fixture
def some_hub(tmp_path, monkeypatch):
    """A hub that this process believes to be the true one, and an empty cache."""
    with serve_hub() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.address)
        template = served.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)  # both as the app sets them
        monkeypatch.setenv("SPACE_MODELS_DIR", str(tmp_path / "models"))
        yield served


def put_sentiment(served: Hub, **changed: bytes | None) -> Repository:
    """A repository as the real one is laid out; `None` leaves a file out."""
    files = {
        "config.json": b"{}",
        "model.safetensors": b"s" * 3_000_000,
        "tokenizer.json": b"{}",
        "tokenizer_config.json": b"{}",
        "pytorch_model.bin": b"pickle",
        "modeling_custom.py": b"import os",
        "onnx/model.safetensors": b"another format",
        "README.md": b"card",
    }
    files |= {name.replace("__", "."): content for name, content in changed.items()}
    repository = Repository(REVISION, {name: content for name, content in files.items() if content is not None})
    served.repositories[str(SENTIMENT.repo)] = repository
    return repository


def test_a_download_takes_safetensors_settings_and_tokenizer_and_nothing_else(some_hub):
    put_sentiment(some_hub)
    folder = hub.download(SENTIMENT, silent)
    assert {path.name for path in folder.rglob("*")} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert hub.cached_folder(SENTIMENT) == folder


def test_main_is_resolved_once_and_the_lock_file_keeps_the_commit(some_hub):
    put_sentiment(some_hub)
    assert hub.download(SENTIMENT, silent).name == REVISION
    assert json.loads(hub.lock_file().read_text()) == {SENTIMENT.repo: REVISION}
    shutil.rmtree(constants.HF_HUB_CACHE)
    some_hub.repositories[str(SENTIMENT.repo)].revision = "f" * 40  # main moves on, and the old commit goes
    with pytest.raises(NotReady, match="404"):
        hub.download(SENTIMENT, silent)


def test_what_is_there_is_not_asked_for_again(some_hub):
    put_sentiment(some_hub)
    hub.download(SENTIMENT, silent)
    some_hub.asked.clear()
    hub.download(SENTIMENT, silent)
    assert some_hub.asked == []


def test_progress_is_told_in_megabytes_of_all_files_together(some_hub):
    put_sentiment(some_hub)
    said: list[str] = []
    hub.download(SENTIMENT, said.append)
    assert said[0] == "asking the hub"
    assert said[-1] == "downloading 3 of 3 MB"


def test_a_download_that_is_stopped_leaves_nothing_that_could_be_taken_for_a_model(some_hub):
    put_sentiment(some_hub, model__safetensors=bytes(25_000_000))  # comes in pieces of 10 MiB

    def stop_in_the_middle(said: str) -> None:
        if said.startswith("downloading 21"):
            raise Stopped

    with pytest.raises(Stopped):
        hub.download(SENTIMENT, stop_in_the_middle)
    assert hub.cached_folder(SENTIMENT) is None
    said: list[str] = []
    folder = hub.download(SENTIMENT, said.append)
    assert (folder / "model.safetensors").stat().st_size == 25_000_000
    assert hub.cached_folder(SENTIMENT) == folder
    assert not list(folder.parent.parent.glob("blobs/*.incomplete"))


def test_weights_other_than_safetensors_are_refused_in_one_line(some_hub):
    put_sentiment(some_hub, model__safetensors=None)
    with pytest.raises(NotReady, match="has no safetensors, and other weights are not loaded") as error:
        hub.download(SENTIMENT, silent)
    assert "\n" not in error.value.message


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [(403, "GatedRepo", "gated"), (401, "RepoNotFound", "no such repository"), (500, "", "500")],
)
def test_what_the_hub_refuses_is_said_in_one_line(some_hub, monkeypatch, status, code, said):
    put_sentiment(some_hub).error = (status, code)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the client's retries
    with pytest.raises(NotReady, match=said) as error:
        hub.download(SENTIMENT, silent)
    assert "\n" not in error.value.message
    assert hub.cached_folder(SENTIMENT) is None


def test_a_repository_that_is_gone_is_said_to_be(some_hub):
    with pytest.raises(NotReady, match="no such repository"):
        hub.download(SENTIMENT, silent)


def test_a_full_disk_is_said_before_anything_is_fetched(some_hub, monkeypatch):
    put_sentiment(some_hub)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(NotReady, match="disk is full"):
        hub.download(SENTIMENT, silent)
    assert not any("resolve" in path for path in some_hub.asked)


def test_room_is_needed_only_for_the_files_that_are_missing(some_hub, monkeypatch):
    put_sentiment(some_hub)
    folder = hub.download(SENTIMENT, silent)
    (folder / "tokenizer.json").unlink()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    assert hub.download(SENTIMENT, silent) == folder


def test_a_hub_that_is_away_is_said_to_be(some_hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(NotReady, match="does not answer"):
        hub.download(SENTIMENT, silent)


def test_offline_by_environment_asks_nothing(some_hub, monkeypatch):
    put_sentiment(some_hub)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(NotReady, match="HF_HUB_OFFLINE"):
        hub.download(SENTIMENT, silent)
    assert not hub_answers()
    assert some_hub.asked == []


def test_the_hub_answers_when_it_does(some_hub, monkeypatch):
    assert hub_answers()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert not hub_answers()


@pytest.mark.parametrize("content", ["not JSON", "[]", '{"a/b": "main"}'])
def test_a_damaged_lock_file_is_told_and_never_guessed_around(some_hub, content):
    put_sentiment(some_hub)
    hub.lock_file().parent.mkdir()
    hub.lock_file().write_text(content)
    with pytest.raises(NotReady, match="delete it"):
        hub.download(SENTIMENT, silent)


def test_a_lock_file_names_the_revision_that_is_taken_from_the_cache(tiny_models, tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_MODELS_DIR", str(tmp_path))
    assert hub.cached_folder(SENTIMENT)
    hub.lock_file().write_text(json.dumps({SENTIMENT.repo: REVISION}))
    assert hub.cached_folder(SENTIMENT) is None


def test_a_pipeline_comes_in_parts_once_and_never_as_the_single_checkpoint():
    names = (
        "model_index.json",
        "v1-5-pruned.safetensors",
        "v1-5-pruned-emaonly.ckpt",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model-00001-of-00002.safetensors",
        "text_encoder/model-00002-of-00002.safetensors",
        "text_encoder/model.safetensors.index.json",
        "tokenizer/merges.txt",
        "scheduler/scheduler_config.json",
    )
    full = hub_files.wanted("diffusion", names, half=False)
    assert full[-1] == "model_index.json"
    assert set(full) == set(names) - {
        "v1-5-pruned.safetensors",
        "v1-5-pruned-emaonly.ckpt",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.bin",
    }
    small = set(hub_files.wanted("diffusion", names, half=True))
    assert {"unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.safetensors"} <= small
    assert "unet/diffusion_pytorch_model.safetensors" not in small


def test_the_entry_file_of_a_model_comes_last():
    assert (
        hub_files.wanted("causal", ("config.json", "model.safetensors", "vocab.json"), half=False)[-1] == "config.json"
    )


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_without_one_of_its_files_does_not_count_as_there(tiny_models, tmp_path, missing):
    folder = tmp_path / "model"
    shutil.copytree(hub.cached_folder(SENTIMENT), folder)
    assert hub_files.complete(folder, "classifier")
    (folder / missing).unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)
    assert not hub_files.complete(folder, "classifier")


@pytest.mark.parametrize(
    "missing", ["model_index.json", "unet/diffusion_pytorch_model.safetensors", "tokenizer/tokenizer.json", "scheduler"]
)
def test_a_pipeline_without_one_of_its_parts_does_not_count_as_there(tiny_models, tmp_path, missing):
    folder = tmp_path / "pipeline"
    shutil.copytree(hub.cached_folder(IMAGES), folder)
    assert hub_files.complete(folder, "diffusion")
    path = folder / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not hub_files.complete(folder, "diffusion")


@pytest.mark.parametrize("entry", front_matter.preloaded_models().values(), ids=lambda entry: entry.split()[0])
def test_what_a_space_preloads_is_all_that_a_model_needs(tiny_models, tmp_path, entry):
    repo, names = entry.split()
    (spec,) = (spec for spec in MODELS.values() if spec.repo == repo)
    source = hub.cached_folder(spec)
    assert source is not None
    shutil.copytree(source, tmp_path / "all")
    _write_older_tokenizer(tmp_path / "all")
    (tmp_path / "some").mkdir()
    for name in names.split(","):
        shutil.copy(tmp_path / "all" / name, tmp_path / "some")
    assert hub_files.complete(tmp_path / "some", spec.kind)
    whole, part = (AutoTokenizer.from_pretrained(folder) for folder in (source, tmp_path / "some"))
    assert part("The old mill.").input_ids == whole("The old mill.").input_ids


def _write_older_tokenizer(folder: Path) -> None:
    """The files that some of the real repositories have in the place of tokenizer.json."""
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    if model["type"] == "WordPiece":
        (folder / "vocab.txt").write_text("\n".join(sorted(model["vocab"], key=model["vocab"].get)) + "\n")
    if model["type"] == "BPE":
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
        (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))


def test_a_model_in_shards_needs_all_of_them(tmp_path):
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    for name in ("config.json", "tokenizer.json", shards["a"]):
        (tmp_path / name).write_text("{}")
    assert not hub_files.complete(tmp_path, "causal")
    (tmp_path / shards["b"]).write_text("")
    assert hub_files.complete(tmp_path, "causal")
