"""Where the project's own trained models lie: finished runs of its commands, and the small ones that are shipped.

Looks at file names and descriptions only; `networks.py` brings a model into memory.
"""

import functools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from space.folders import WEIGHTS, zoo_folder

Kind = Literal["vision", "attention"]
VARIABLE = "SPACE_CHECKPOINTS"
DEEPEST = 4  # folders below a search folder: a sweep keeps its runs two or three down
MOST_FOLDERS = 5_000
LARGEST_DESCRIPTION = 4_000_000  # bytes
FRESH_SECONDS = 3.0


@dataclass(frozen=True)
class Checkpoint:
    """A trained model on the disk.

    Attributes:
        kind: the lab that shows it.
        subject: the data set that a CNN was trained on, or the task of an encoder-decoder.
        key: the model's name: a CNN family, or task and attention.
        path: a folder, of a run or of the zoo, or a safetensors file.
        score: the test accuracy or exact match of its run, 0 to 1; None where the run does not say.
        modified: when it was written, in seconds.
    """

    kind: Kind
    subject: str
    key: str
    path: Path
    score: float | None
    modified: float


def search_folders() -> tuple[Path, ...]:
    """$SPACE_CHECKPOINTS (several are separated as in PATH); without it `out`, where the commands write, then what is
    shipped with the app."""
    given = os.environ.get(VARIABLE, "")
    if given.strip():
        return tuple(Path(part).expanduser() for part in given.split(os.pathsep) if part.strip())
    return (Path("out"), zoo_folder(), WEIGHTS / "attention")


def find_checkpoints(kind: Kind, folders: tuple[Path, ...] | None = None) -> tuple[Checkpoint, ...]:
    """The models of one lab, one for each subject and key: of the first folder that has it, the newest there.

    Args:
        folders: where to look; without them in `search_folders`, once in `FRESH_SECONDS`, because every request asks.
    """
    if folders is None:
        return _found_lately(kind, search_folders(), int(time.monotonic() / FRESH_SECONDS))
    found: dict[tuple[str, str], Checkpoint] = {}
    for folder in folders:
        here: dict[tuple[str, str], Checkpoint] = {}
        for checkpoint in _checkpoints_below(folder):
            name = (checkpoint.subject, checkpoint.key)
            if checkpoint.kind == kind and (name not in here or here[name].modified < checkpoint.modified):
                here[name] = checkpoint
        found = here | found
    return tuple(sorted(found.values(), key=lambda checkpoint: (checkpoint.subject, checkpoint.key)))


@functools.lru_cache(maxsize=8)
def _found_lately(kind: Kind, folders: tuple[Path, ...], when: int) -> tuple[Checkpoint, ...]:
    return find_checkpoints(kind, folders)


def without_folder(error: Exception, checkpoint: Checkpoint) -> str:
    """What an error says, without the place of the checkpoint on this machine, which is not for everybody."""
    return str(error).replace(f"{checkpoint.path.absolute().parent}{os.sep}", "")


def _checkpoints_below(root: Path) -> Iterator[Checkpoint]:
    for number, (folder, subfolders, files) in enumerate(os.walk(root)):
        here = Path(folder)
        if number >= MOST_FOLDERS:
            return
        finished_cnn = "result.json" in files and "checkpoints" in subfolders
        candidates = [_vision_run(here)] if finished_cnn else []
        if {"config.json", "model.safetensors"} <= set(files):
            candidates.append(_saved(here))
        if {"model.json", "weights.npz"} <= set(files):
            candidates.append(_attention_run(here))
        candidates += [_shipped(here / name) for name in sorted(files) if name.endswith(".safetensors")]
        yield from (candidate for candidate in candidates if candidate)
        deep = len(here.relative_to(root).parts) >= DEEPEST
        subfolders[:] = [] if deep else sorted(name for name in subfolders if name[0] != "." and name != "checkpoints")


def _vision_run(folder: Path) -> Checkpoint | None:
    return _vision(_read(folder / "result.json"), folder, modified=_time(folder / "result.json"))


def _saved(folder: Path) -> Checkpoint | None:
    """A network that `save_pretrained` wrote."""
    about = _read(folder / "config.json")
    return _vision(about | {"model": about.get("family")}, folder, modified=_time(folder / "config.json"))


def _attention_run(folder: Path) -> Checkpoint | None:
    about = _read(folder / "model.json")
    metrics = {"test": _read(folder / "metrics.json")}
    return _attention(about, folder, score=_score(metrics, "exact_match"), modified=_time(folder / "model.json"))


def _shipped(path: Path) -> Checkpoint | None:
    about = _described(path)
    if about.get("kind") == "attention":
        return _attention(about, path, score=_score(about, "exact_match"), modified=_time(path))
    return _vision(about, path, modified=_time(path)) if about.get("kind") == "vision" else None


def _described(path: Path) -> dict[str, Any]:
    """What a safetensors file says of itself at its beginning: its end may be lost, which its lab then tells."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), LARGEST_DESCRIPTION)))
        about = json.loads(header["__metadata__"]["description"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return about if isinstance(about, dict) else {}


def _vision(about: dict[str, Any], path: Path, *, modified: float) -> Checkpoint | None:
    model, dataset = about.get("model"), about.get("dataset")
    if not isinstance(model, str) or not isinstance(dataset, str):
        return None
    return Checkpoint("vision", dataset, model, path, _score(about, "accuracy"), modified)


def _attention(about: dict[str, Any], path: Path, *, score: float | None, modified: float) -> Checkpoint | None:
    config = about.get("config")
    task, attention = (config.get("task"), config.get("attention")) if isinstance(config, dict) else (None, None)
    if not isinstance(task, str) or not isinstance(attention, str):
        return None
    return Checkpoint("attention", task, f"{task}-{attention}", path, score, modified)


def _score(about: dict[str, Any], name: str) -> float | None:
    test = about.get("test")
    value = test.get(name) if isinstance(test, dict) else None
    return float(value) if isinstance(value, int | float) else None


def _read(path: Path) -> dict[str, Any]:
    """A JSON object, or nothing where there is none that can be read."""
    try:
        if path.stat().st_size > LARGEST_DESCRIPTION:
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
