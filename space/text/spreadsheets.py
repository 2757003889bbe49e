"""CSV files in and out: delimiter and encoding found out, sizes bounded, formulas made harmless."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from space.limits import BadInput
from space.text.uploads import decode

MOST_BYTES = 1_000_000
MOST_ROWS = 2_000
MOST_COLUMNS = 100
DELIMITERS = ",;\t|"
TEXT_COLUMNS = ("text", "sentence", "review", "comment", "message", "content", "body", "tweet", "phrase", "title")

_WHOLE_LINES = "\x1f"  # no text file has it: a file of one column is read line by line
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d{1,3})?\s*")
_FORMULA = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"  # the last four are their full-width forms


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Attributes:
        header: names of the columns.
        rows: its cells; every row is as wide as the header.
        delimiter: between cells, as the file had it.
        encoding: as the file had it.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    delimiter: str
    encoding: str

    def column(self, name: str | None = None) -> int:
        """The place of a column: of the name given, else of the first usual name for text, else of the longest texts.

        Raises:
            BadInput: no column has the name given.
        """
        if name:
            if name not in self.header:
                raise BadInput(f"There is no column {name[:50]!r}; the file has: {', '.join(self.header)[:300]}.")
            return self.header.index(name)
        small = [title.strip().lower() for title in self.header]
        known = next((small.index(usual) for usual in TEXT_COLUMNS if usual in small), None)
        lengths = [sum(len(row[place]) for row in self.rows) for place in range(len(self.header))]
        return lengths.index(max(lengths)) if known is None else known

    def with_columns(self, columns: Sequence[tuple[str, Sequence[str]]]) -> "Sheet":
        """The same with more columns at the right; a name that is taken gets a number."""
        header, rows = list(self.header), [list(row) for row in self.rows]
        for name, cells in columns:
            header.append(_free(name, header))
            for row, cell in zip(rows, cells, strict=True):
                row.append(cell)
        return Sheet(tuple(header), tuple(tuple(row) for row in rows), self.delimiter, self.encoding)


def read_sheet(data: object, *, named: bool = True) -> Sheet:
    """Reads the bytes of a CSV file. Empty rows are left out, short rows filled up.

    Args:
        named: whether the first row holds the names of the columns.

    Raises:
        BadInput: it is no text, too large, or no table.
    """
    text, encoding = decode(data, name="The CSV file", most=MOST_BYTES)
    delimiter, rows = _split(text)
    if not rows:
        raise BadInput("The CSV file is empty.")
    width = max(len(row) for row in rows)
    if width > MOST_COLUMNS:
        raise BadInput(f"The CSV file has {width:,} columns; at most {MOST_COLUMNS} are allowed.")
    given = rows.pop(0) if named else []
    header = [cell.strip() or f"column {place}" for place, cell in enumerate(given, 1)]
    header += [f"column {place}" for place in range(len(header) + 1, width + 1)]
    if not rows:
        raise BadInput("The CSV file has only a row of names; if that row is data, say that it holds no names.")
    if len(rows) > MOST_ROWS:
        raise BadInput(f"The CSV file has {len(rows):,} rows; at most {MOST_ROWS:,} are allowed.")
    filled = tuple(tuple(row + [""] * (width - len(row))) for row in rows)
    return Sheet(_distinct(header), filled, "," if delimiter == _WHOLE_LINES else delimiter, encoding)


def write_sheet(sheet: Sheet) -> bytes:
    """A CSV file that a spreadsheet program opens without running anything in it.

    UTF-8 with a byte order mark, every cell in quotes, formulas made harmless by `harmless`.
    """
    target = io.StringIO(newline="")
    writer = csv.writer(target, delimiter=sheet.delimiter, quoting=csv.QUOTE_ALL)
    for row in (sheet.header, *sheet.rows):
        writer.writerow([harmless(cell) for cell in row])
    return target.getvalue().encode("utf-8-sig", errors="replace")


def harmless(cell: str) -> str:
    """The cell, behind an apostrophe if a spreadsheet program might run it as a formula (OWASP, "CSV Injection").

    That is one whose first visible character, tabs and line ends included, starts a formula; a plain number stays.
    """
    if _NUMBER.fullmatch(cell):
        return cell
    visible = next((letter for letter in cell if letter in _FORMULA or not _hidden(letter)), "")
    return f"'{cell}" if visible and visible in _FORMULA else cell


def _hidden(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) in {"Cc", "Cf"}


def _split(text: str) -> tuple[str, list[list[str]]]:
    """The delimiter that gives the most columns, the same number in nearly every row, and the rows it gives."""
    best, found = _WHOLE_LINES, _rows(text, _WHOLE_LINES)
    columns = 1
    for delimiter in DELIMITERS:
        rows = _rows(text, delimiter)
        width = len(rows[0]) if rows else 0
        even = sum(len(row) == width for row in rows)
        if width > columns and even >= 0.9 * len(rows):
            best, found, columns = delimiter, rows, width
    return best, found


def _rows(text: str, delimiter: str) -> list[list[str]]:
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise BadInput(f"The CSV file cannot be read: {error}.") from None
    return [row for row in rows if any(cell.strip() for cell in row)]


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    seen: list[str] = []
    for name in names:
        seen.append(_free(name, seen))
    return tuple(seen)


def _free(name: str, taken: Sequence[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free
