"""Several results folders become one: rows, and the predictions, weights and derived results that belong to them."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.derived import copy_derived
from benchmarks.results import Row, append_row, read_rows
from benchmarks.run_files import checked_path
from jax_models.errors import UsageError
from jax_models.recipes import belong_together

FILES = ("predictions", "weights")  # a row's entries that name a file


def merge(folders: Mapping[Path, Sequence[Row]], target: Path, *, mix_presets: bool) -> None:
    """Copies runs into `target`, each with the files that it names; what is there already is passed over.

    Of a cell the latest finished run counts, else the latest failure. A cell that finished in two folders, `target`
    among them, must be the same run in both. Weights may be missing, as they are from a repository.

    Raises:
        UsageError: the folders have different presets and these are not to be mixed, or disagree about a cell, or
            `target` is one of them.
        RunError: a file that a row names is damaged or not there.
        OSError: a file cannot be copied.
    """
    if target.resolve() in {folder.resolve() for folder in folders}:
        raise UsageError(f"--merge needs a folder of its own, and {target} is one of those to be merged")
    there = read_rows(target)
    sources = {target: there, **folders}
    _check_presets(sources, mix_presets=mix_presets)
    finished: dict[str, tuple[Path, Row]] = {}
    failed: dict[str, Row] = {}
    for folder, rows in sources.items():
        for cell, row in {row["cell"]: row for row in rows if row["status"] == "ok"}.items():
            other, same = finished.setdefault(cell, (folder, row))
            if same["test"] != row["test"]:
                raise UsageError(
                    f"{other} and {folder} have different runs of {cell}; compare them instead: "
                    f"python -m benchmarks.report {other} {folder}"
                )
        failed |= {row["cell"]: row for row in rows if row["status"] != "ok"}
    for folder, row in finished.values():
        if folder != target:
            _copy_files(row, folder, target)
            append_row(target, row)
            copy_derived(folder, target, row)
    for cell, row in failed.items():
        if cell not in finished and row not in there:
            append_row(target, row)


def _check_presets(sources: Mapping[Path, Sequence[Row]], *, mix_presets: bool) -> None:
    presets = {folder: sorted({row["preset"] for row in rows}) for folder, rows in sources.items() if rows}
    found = sorted({preset for names in presets.values() for preset in names})
    if not belong_together(found) and not mix_presets:
        where = "; ".join(f"{folder}: {', '.join(names)}" for folder, names in presets.items())
        raise UsageError(
            f"presets are not comparable, and these folders have {' and '.join(found)} ({where}); give --mix-presets "
            "to put them into one report, where they stay apart"
        )


def _copy_files(row: Row, folder: Path, target: Path) -> None:
    for name in FILES:
        if name in row and (name == "predictions" or (folder / row[name]["path"]).exists()):
            source = checked_path(folder, row[name])
            (target / row[name]["path"]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / row[name]["path"])
