"""How the cells were trained: what all share, and a line for each that differs."""

from typing import Any

from benchmarks.report.groups import Group, dataset_title
from benchmarks.report.summary import Sweep


def recipe_tables(sweep: Sweep) -> dict[str, Any]:
    """The recipe of a sweep in two parts.

    `shared` holds (field, value) pairs that are the same for every cell, `fields` names what differs, and `lines` has
    one (data set, models, values) for each way in which cells differ, values in the order of `fields`.
    """
    settings = [(group, _setting(group)) for group in sweep.groups]
    names = list(dict.fromkeys(name for _, setting in settings for name in setting))
    differing = [name for name in names if len({setting.get(name, "") for _, setting in settings}) > 1]
    lines: dict[tuple, list[str]] = {}
    for group, setting in settings:
        values = tuple(setting.get(name, "") for name in differing)
        lines.setdefault((group.dataset, values), []).append(group.title)
    return {
        "shared": [(_words(name), settings[0][1].get(name, "")) for name in names if name not in differing],
        "fields": [_words(name) for name in differing],
        "lines": [(dataset_title(dataset), titles, values) for (dataset, values), titles in lines.items()],
    }


def _setting(group: Group) -> dict[str, str]:
    row = group.rows[0]
    variant = {name: value for name, value in (row.get("variant") or {}).items() if name in ("network", "image_size")}
    settings = {"epochs": group.epochs, "batch_size": group.batch_size, **variant, **(row.get("recipe") or {})}
    return {name: _text(value) for name, value in settings.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
