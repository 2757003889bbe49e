"""What was measured, in a file that a stopped run goes on with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax_models.errors import UsageError
from jax_models.output import write_text

Row = dict[str, Any]

FILE = "speed.json"
SURROUNDINGS = ("commit", "device", "versions")  # rows that differ in one of them do not belong into one table


class Measurements:
    """Rows, one for each preset, model and mode, and what they depend on besides the code."""

    def __init__(self, facts: Mapping[str, Any], *, order: Mapping[str, Sequence[str]], folder: Path | None = None):
        """With `folder`, goes on with the rows that are there.

        Args:
            facts: date, commit, device and versions; the file holds them beside the rows.
            order: of the values of the columns that name a row, the first column counting most.

        Raises:
            UsageError: the folder's rows are of another commit, device or set of versions, or cannot be read.
        """
        self.described: Row = {**facts, "rows": []}
        self.order = order
        self.path = folder / FILE if folder else None
        if self.path and self.path.exists():
            self.described = _read(self.path, facts)

    @property
    def rows(self) -> list[Row]:
        """In order."""
        return self.described["rows"]

    def has(self, **fields: Any) -> bool:
        """Whether there is a row with these values."""
        return any(all(row[name] == value for name, value in fields.items()) for row in self.rows)

    def add(self, row: Row) -> None:
        """Puts a row in, for the one with its place if there is one, and writes the file."""
        others = [other for other in self.rows if self._place(other) != self._place(row)]
        self.described["rows"] = sorted([*others, row], key=self._place)
        if self.path:
            write_text(self.path, json.dumps(self.described, indent=1, allow_nan=False) + "\n")

    def _place(self, row: Row) -> list[int]:
        return [values.index(row[column]) for column, values in self.order.items()]


def _read(path: Path, facts: Mapping[str, Any]) -> Row:
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in SURROUNDINGS if described[name] != facts[name]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not what this command writes; choose another --out") from error
    if differing:
        raise UsageError(f"{path} was measured with another {' and '.join(differing)}; choose another --out")
    return described
