"""Dates as people write them, and as ISO 8601 has them: "Sat, 14 March 2015" is 2015-03-14.

A hash of the day keeps test and training apart: a day of the test is in no training example, in whatever format.
"""

import datetime
import functools
from collections.abc import Callable

import numpy as np

from seq2seq.tasks import TEST, VALIDATION, Examples, bucket
from seq2seq.vocabulary import EOS, SPECIAL, Characters, pad

FIRST, LAST = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)  # so that two digits name one year
ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")

Format = Callable[[datetime.date], str]


def _ordinal(day: int) -> str:
    ending = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


# Points divide day from month, strokes month from day, as in most of Europe and in the United States; no date could be
# read in two ways.
FORMATS: tuple[Format, ...] = (
    lambda date: f"{date.day} {date:%B} {date.year}",
    lambda date: f"{date.day} {date:%b} {date.year}",
    lambda date: f"{date:%B} {date.day}, {date.year}",
    lambda date: f"{date:%b} {date.day}, {date.year}",
    lambda date: f"{date:%b} {date.day} '{date:%y}",
    lambda date: f"{_ordinal(date.day)} {date:%B} {date.year}",
    lambda date: f"{date:%B} {_ordinal(date.day)}, {date.year}",
    lambda date: f"the {_ordinal(date.day)} of {date:%B}, {date.year}",
    lambda date: f"{date:%A}, {date:%B} {date.day}, {date.year}",
    lambda date: f"{date:%a}, {date.day} {date:%b} {date.year}",
    lambda date: f"{date:%A} {date.day} {date:%B} {date.year}",
    lambda date: f"{date.day}. {date:%B} {date.year}",
    lambda date: f"{date.day}-{date:%b}-{date.year}",
    lambda date: f"{date.day:02}{date:%b}{date:%y}".upper(),
    lambda date: f"{date.day} {date:%B} {date.year}".lower(),
    lambda date: f"{date:%B} {date.day} {date.year}".upper(),
    lambda date: f"{date.year}, {date:%B} {date.day}",
    lambda date: f"{date.year} {date:%b} {date.day:02}",
    lambda date: f"{date.day}.{date.month}.{date.year}",
    lambda date: f"{date.day:02}.{date.month:02}.{date.year}",
    lambda date: f"{date.day}.{date.month}.{date:%y}",
    lambda date: f"{date.day}. {ROMAN[date.month - 1]}. {date.year}",
    lambda date: f"{date.month}/{date.day}/{date.year}",
    lambda date: f"{date.month:02}/{date.day:02}/{date.year}",
    lambda date: f"{date.month}/{date.day}/{date:%y}",
    lambda date: f"{date.year}/{date.month:02}/{date.day:02}",
    lambda date: f"{date.year}{date.month:02}{date.day:02}",
)

LONGEST = len("Wednesday, September 30, 2015")
TARGET_LENGTH = len("2015-03-14") + 1  # with the end mark
DAYS = (LAST - FIRST).days + 1


def write(date: datetime.date, style: int) -> str:
    """A day in the format of that number."""
    return FORMATS[style](date)


@functools.cache
def characters() -> Characters:
    """Every character that a date can hold, in any format."""
    months = [datetime.date(2015, month, day) for month in range(1, 13) for day in range(1, 29)]
    found = {character for date in months for style in FORMATS for character in style(date)}
    return Characters(tuple(sorted(found | set("0123456789-"))))


def draw_dates(rng: np.random.Generator, count: int, *, max_length: int) -> Examples:
    """Training examples: random days of the training part, each in a random format."""
    dates = [_date(day) for day in rng.choice(_training_days(), count)]
    styles = rng.integers(len(FORMATS), size=count).tolist()
    written = [write(date, style) for date, style in zip(dates, styles, strict=True)]
    return _examples(written, dates, max_length=max_length)


def held_out_dates(part: int, count: int, *, max_length: int) -> Examples:
    """So many unique examples of one held-out part, in all formats; fewer only if there are no more."""
    days = np.random.default_rng(part).permutation(np.flatnonzero(_parts() == part))
    written = {
        write(_date(day), style): _date(day)
        for day in days[: 2 * count // len(FORMATS) + 1]
        for style in range(len(FORMATS))
    }
    chosen = [*written.items()][:count]  # in some formats a day may look alike, such as 14 May, so that texts are fewer
    return _examples([text for text, _ in chosen], [date for _, date in chosen], max_length=max_length)


@functools.cache
def _parts() -> np.ndarray:
    """The part of each day; see `tasks.bucket`."""
    digits = np.array([[*map(int, f"{_date(day):%Y%m%d}")] for day in range(DAYS)])
    return bucket((SPECIAL + digits).astype(np.int32))


@functools.cache
def _training_days() -> np.ndarray:
    return np.flatnonzero(~np.isin(_parts(), (TEST, VALIDATION)))


def _date(day: int | np.integer) -> datetime.date:
    return FIRST + datetime.timedelta(days=int(day))


def _examples(written: list[str], dates: list[datetime.date], *, max_length: int) -> Examples:
    vocabulary = characters()
    source = vocabulary.encode(written, max_length=max_length)
    target = vocabulary.encode([date.isoformat() for date in dates], max_length=max_length)
    return Examples(
        np.pad(source, ((0, 0), (0, max_length - source.shape[1]))),
        pad([[*row, EOS] for row in target.tolist()], width=target.shape[1] + 1),
    )
