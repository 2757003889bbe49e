"""Tiny models for the tests of the Space, and the environment in which the app finds them instead of real ones."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from space.serving import Space


REAL_MODELS = os.environ.get("SPACE_MODELS_DIR")  # before `tiny_models` names its own


@pytest.fixture(scope="module", autouse=True)
def leftovers() -> Iterator[None]:
    """Collects Gradio's event loops here. Their warnings, collected inside an `ast.parse`, break it in Python 3.11."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with `hub` (a cache of the hub) and `offline` (a `SPACE_MODELS_DIR`), all tiny and random.

    The environment names them until the session ends, so that child processes find them too.
    """
    for package in ("torch", "transformers", "diffusers"):
        pytest.importorskip(package)
    from huggingface_hub import constants
    from tiny_models import build_hub_cache, build_offline_models

    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(folder / "hub"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))  # read from the environment at import only
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.setenv("SPACE_MODELS_DIR", str(folder / "offline"))
        build_hub_cache(folder / "hub")
        build_offline_models(folder / "offline")
        yield folder


@pytest.fixture(scope="session")
def tiny_space(tiny_models: Path) -> "Space":
    """The parts of an app that answers with the tiny hub models, loaded as real ones are."""
    pytest.importorskip("gradio")
    from space.limits import RateLimit
    from space.models.choosing import Chooser
    from space.models.hub import cached_folder
    from space.models.loading import load
    from space.models.store import ModelStore
    from space.serving import Space

    return Space(ModelStore(Chooser("hub", cached=cached_folder), load, budget=10**12), RateLimit(0))


@pytest.fixture
def minilm(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real MiniLM, on which the shipped adapters sit, where `python -m space.demo_models` has put it."""
    from space.demo_models.base_models import MINILM_L6

    if REAL_MODELS is None:
        monkeypatch.delenv("SPACE_MODELS_DIR", raising=False)
    else:
        monkeypatch.setenv("SPACE_MODELS_DIR", REAL_MODELS)
    if not MINILM_L6.is_ready:
        pytest.skip("run python -m space.demo_models first")
    return MINILM_L6.path
