"""Dates: every format names one day, and no day of the test is in the training."""

import datetime
import itertools

import numpy as np
import pytest

from seq2seq import dates
from seq2seq.configuration import resolve_config
from seq2seq.dates import DAYS, FIRST, FORMATS, characters, draw_dates, held_out_dates, write
from seq2seq.tasks import TEST, VALIDATION, Examples

LONGEST = resolve_config("dates").max_length


def read(examples: Examples) -> list[tuple[str, str]]:
    """What the examples stand for."""
    return [
        (characters().decode(source), characters().decode(target))
        for source, target in zip(np.asarray(examples.source), np.asarray(examples.target), strict=True)
    ]


def test_a_date_is_written_as_people_do():
    written = {write(datetime.date(2015, 3, 14), style) for style in range(len(FORMATS))}
    assert len(written) == len(FORMATS)
    assert {"14 March 2015", "the 14th of March, 2015", "Saturday, March 14, 2015", "3/14/15", "14.3.2015"} <= written
    ordinals = " ".join(dates._ordinal(day) for day in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 31))
    assert ordinals == "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 31st"


def test_no_text_stands_for_two_days_and_all_fit_the_model():
    meaning: dict[str, datetime.date] = {}
    for day in range(0, DAYS, 7):
        date = FIRST + datetime.timedelta(days=day)
        for style in range(len(FORMATS)):
            text = write(date, style)
            assert meaning.setdefault(text, date) == date, text
    assert len(characters().encode([*meaning], max_length=LONGEST)) == len(meaning)


def test_targets_are_iso_dates_and_no_held_out_day_is_drawn_for_training():
    drawn = read(draw_dates(np.random.default_rng(0), 5000, max_length=LONGEST))
    parts = {part: read(held_out_dates(part, 2000, max_length=LONGEST)) for part in (TEST, VALIDATION)}
    days = [{day for _, day in examples} for examples in (drawn, *parts.values())]
    assert [len(one & other) for one, other in itertools.combinations(days, 2)] == [0, 0, 0]
    assert len(parts[TEST]) == len(set(parts[TEST])) == 2000
    assert all(datetime.date.fromisoformat(day).isoformat() == day for _, day in drawn)


def test_the_usual_test_set_has_ten_thousand_examples():
    assert len(held_out_dates(TEST, 10_000, max_length=LONGEST)) == 10_000


def test_draws_depend_on_their_generator_alone():
    one, same, other = (read(draw_dates(np.random.default_rng(seed), 20, max_length=LONGEST)) for seed in (0, 0, 1))
    assert one == same != other


@pytest.mark.slow
def test_dates_are_learnt_without_an_error():
    from seq2seq import decode, train
    from seq2seq.data import make_data
    from seq2seq.scoring import score

    config = resolve_config("dates")
    fitted = train(config)
    test = make_data(config).test
    assert test is not None
    assert score(fitted.trained.model, test).errors == 0
    assert decode(fitted.trained, ["Sat, 14 Mar 2015", "14.3.15"]) == ["2015-03-14", "2015-03-14"]
