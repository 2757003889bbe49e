"""A stand-in for the real data in the tests of the sweep: a few blocky digits that LeNet-5 can tell apart."""

import dataclasses
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from jax_models.data import DATASETS, Dataset

JAX_MODELS = str(Path(__file__).parents[2] / "jax_models")  # whose tests have tiny files of data and weights


def load(name: str, *, data_dir: str | Path | None = None, progress: bool = True) -> Dataset:
    """Takes `load_dataset`'s place; with TINY_DATA_DIR it prepares random images there, as real data are."""
    del data_dir, progress
    if folder := os.environ.get("TINY_DATA_DIR"):
        return _prepared(name, Path(folder))
    spec = dataclasses.replace(DATASETS[name], sizes={"train": 200, "test": 60})
    if os.environ.get("TINY_FAULT") == "nan":
        spec = dataclasses.replace(spec, std=tuple(float("nan") for _ in spec.std))
    return Dataset(spec, source="drawn", official_train=_draw(200, spec.shape), open_test=lambda: _draw(60, spec.shape))


def misbehave() -> None:
    """What the environment variable TINY_FAULT asks a cell's process to do before it trains."""
    match os.environ.get("TINY_FAULT"):
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            raise KeyError("a bug\nof two lines")
        case "exit":
            raise SystemExit("gone early")
        case "full":  # as a full disk or a quota: no file may grow beyond 100 kB
            import resource

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        case "hang":
            time.sleep(120)


def slowed(options: dict[str, Any]) -> dict[str, Any]:
    """Options of `fit` with which, if TINY_FAULT is "slow", each step takes a tenth of a second."""
    tell = options["on_step"]

    def on_step(done: int, total: int) -> None:
        if os.environ.get("TINY_FAULT") == "slow":
            time.sleep(0.1)
        tell(done, total)

    return options | {"on_step": on_step}


def publish() -> None:
    """With TINY_WEIGHTS, a sha256, ImageNet's ResNet-18 is a small one, and the published file one of that sha256."""
    if digest := os.environ.get("TINY_WEIGHTS"):
        sys.path.append(JAX_MODELS)
        import published

        published.shrink(published.Forever)
        published.pin(published.Forever, digest)


def _prepared(name: str, folder: Path) -> Dataset:
    sys.path.append(JAX_MODELS)
    import tiny_data

    spec, files = tiny_data.tiny(name)
    if not (manual := folder / "downloads" / "manual").exists():
        tiny_data.save(files, manual)
    return tiny_data.load(tiny_data.Store(spec, folder))


def _draw(count: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(count, dtype=np.int32) % 10
    images = np.random.default_rng(0).integers(0, 60, (count, *shape)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 6, 4:24] = 255
    return images, labels
