"""Work in a thread: it can be watched, stopped, and does not last for ever."""

import time

import pytest
from at_work import seconds_until, working

from space import jobs
from space.jobs import Job, Stopped, TooLong, watch


def until_stopped(job: Job[int]) -> None:
    """Work that looks whether it should go on."""
    while True:
        job.check()
        time.sleep(0.01)


def test_updates_come_in_their_order_and_the_first_at_once():
    def work(job: Job[int]) -> None:
        for number in (1, 2, 3):
            job.tell(number)

    assert list(watch(work, first=0, seconds=5)) == [0, 1, 2, 3]


def test_in_silence_the_last_update_is_given_again():
    def work(job: Job[int]) -> None:
        job.tell(7)
        time.sleep(0.35)

    values = list(watch(work, first=0, seconds=5))
    assert values[:2] == [0, 7]
    assert set(values[2:]) == {7}
    assert len(values) >= 4


def test_closing_ends_the_work_and_its_thread_within_half_a_second():
    values = watch(until_stopped, first=0, seconds=60)
    next(values)
    next(values)
    assert working() == 1
    values.close()  # type: ignore[attr-defined]
    assert seconds_until(lambda: not working()) < 0.5


def test_closing_does_not_wait_for_work_that_does_not_look():
    def work(job: Job[int]) -> None:
        time.sleep(0.5)
        job.check()

    values = watch(work, first=0, seconds=60)
    next(values)
    started = time.monotonic()
    values.close()  # type: ignore[attr-defined]
    assert time.monotonic() - started < 0.2
    assert working() == 1
    seconds_until(lambda: not working())


def test_the_deadline_ends_the_work_and_says_so():
    started = time.monotonic()
    with pytest.raises(TooLong, match="longer than 0 seconds"):
        list(watch(until_stopped, first=0, seconds=0.3))
    assert time.monotonic() - started < 0.8
    seconds_until(lambda: not working(), most=0.5)


def test_work_that_ended_in_time_is_not_called_late_when_it_is_looked_at_late():
    values = watch(lambda job: job.tell(1), first=0, seconds=0.2)
    assert next(values) == 0
    time.sleep(0.4)
    assert list(values) == [1]


def test_work_that_never_looks_is_called_late_and_left_alone(monkeypatch):
    monkeypatch.setattr(jobs, "END_SECONDS", 0.1)
    with pytest.raises(TooLong):
        list(watch(lambda job: time.sleep(1), first=0, seconds=0.2))
    assert working() == 1
    seconds_until(lambda: not working())


def test_a_failure_of_the_work_reaches_who_watches_after_what_was_told():
    def work(job: Job[int]) -> None:
        job.tell(1)
        raise LookupError("no such word")

    values = watch(work, first=0, seconds=5)
    assert [next(values), next(values)] == [0, 1]
    with pytest.raises(LookupError, match="no such word"):
        list(values)


def test_waiting_for_others_does_not_count_against_the_deadline():
    def work(job: Job[int]) -> None:
        with job.waiting(10):
            time.sleep(0.4)
            job.check()
        job.tell(1)

    assert list(watch(work, first=0, seconds=0.2))[-1] == 1


def test_waiting_puts_the_deadline_off_by_the_time_it_took_and_no_more_than_allowed():
    job: Job[int] = Job(time.monotonic() + 1)
    before = job.deadline
    with job.waiting(5):
        assert job.deadline == pytest.approx(before + 5)
        time.sleep(0.1)
    assert job.deadline == pytest.approx(before + 0.1, abs=0.05)
    with job.waiting(0.05):
        time.sleep(0.1)
    assert job.deadline == pytest.approx(before + 0.15, abs=0.05)


def test_a_job_that_is_late_is_stopped():
    job: Job[int] = Job(time.monotonic() - 1)
    with pytest.raises(Stopped):
        job.check()
