"""Several results folders become one: rows, and the predictions, weights and derived results that belong to them."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.results import ROWS, Row, append_row, finished_cells, read_rows
from benchmarks.run_files import checked_path
from jax_models.errors import UsageError

FILES = ("predictions", "weights")  # a row's entries that name a file


def merge(folders: Mapping[Path, Sequence[Row]], target: Path, *, mix_presets: bool) -> None:
    """Copies finished runs into `target`, each with the files that it names; what was copied before is passed over.

    A cell that two folders have must be the same run in both.

    Raises:
        UsageError: the folders have different presets and these are not to be mixed, or disagree about a cell, or
            `target` is one of them.
        RunError: a file that a row names is damaged or not there.
        OSError: a file cannot be copied.
    """
    if target.resolve() in {folder.resolve() for folder in folders}:
        raise UsageError(f"--merge needs a new folder, and {target} is one of those to be merged")
    presets = {folder: sorted({row["preset"] for row in rows}) for folder, rows in folders.items()}
    found = sorted({preset for names in presets.values() for preset in names})
    if len(found) > 1 and not mix_presets:
        where = "; ".join(f"{folder}: {', '.join(names)}" for folder, names in presets.items())
        raise UsageError(
            f"presets are not comparable, and these folders have {' and '.join(found)} ({where}); give --mix-presets "
            "to put them into one report, where they stay apart"
        )
    chosen: dict[str, tuple[Path, Row]] = {}
    for folder, rows in folders.items():
        for cell, row in {row["cell"]: row for row in rows if row["status"] == "ok"}.items():
            other, same = chosen.setdefault(cell, (folder, row))
            if same["test"] != row["test"]:
                raise UsageError(
                    f"{other} and {folder} have different runs of {cell}; compare them instead: "
                    f"python -m benchmarks.report {other} {folder}"
                )
    there = finished_cells(read_rows(target)) if (target / ROWS).exists() else set()
    for cell, (folder, row) in chosen.items():
        if cell not in there:
            for name in FILES:
                if name in row and (name == "predictions" or (folder / row[name]["path"]).exists()):
                    _copy(checked_path(folder, row[name]), target / row[name]["path"])
            append_row(target, row)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
