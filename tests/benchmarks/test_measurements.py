"""The measurements of `benchmarks.speed`: kept at once, gone on with, never mixed with those of another machine."""

import json

import pytest

from benchmarks.speed.measurements import Measurements
from jax_models.errors import UsageError

FACTS = {"date": "2026-11-28", "commit": "a", "device": {"cpu": "x"}, "versions": {"jax": "1"}}
ORDER = {"preset": ("full", "quick"), "mode": ("train", "infer")}


def row(preset, mode, ratio=1.0):
    return {"preset": preset, "mode": mode, "ratio": ratio}


def test_rows_are_in_order_and_a_new_one_takes_the_place_of_the_old(tmp_path):
    measurements = Measurements(FACTS, order=ORDER, folder=tmp_path)
    for added in (row("quick", "train"), row("full", "infer"), row("full", "train"), row("full", "infer", 2.0)):
        measurements.add(added)
    wanted = [row("full", "train"), row("full", "infer", 2.0), row("quick", "train")]
    assert measurements.rows == wanted
    assert json.loads((tmp_path / "speed.json").read_text()) == {**FACTS, "rows": wanted}


def test_a_stopped_run_goes_on(tmp_path):
    Measurements(FACTS, order=ORDER, folder=tmp_path).add(row("full", "train"))
    later = Measurements({**FACTS, "date": "2026-11-29"}, order=ORDER, folder=tmp_path)
    assert later.described["date"] == "2026-11-28"
    assert later.has(preset="full", mode="train")
    assert not later.has(preset="full", mode="infer")


@pytest.mark.parametrize("changed", [{"commit": "b"}, {"device": {"cpu": "y"}}, {"versions": {"jax": "2"}}])
def test_measurements_of_other_surroundings_are_left_alone(tmp_path, changed):
    Measurements(FACTS, order=ORDER, folder=tmp_path).add(row("full", "train"))
    before = (tmp_path / "speed.json").read_text()
    with pytest.raises(UsageError, match=f"another {next(iter(changed))}; choose another --out"):
        Measurements({**FACTS, **changed}, order=ORDER, folder=tmp_path)
    assert (tmp_path / "speed.json").read_text() == before


@pytest.mark.parametrize("content", ["", "[]", '{"rows": []}'])
def test_another_file_is_left_alone(tmp_path, content):
    (tmp_path / "speed.json").write_text(content)
    with pytest.raises(UsageError, match="not what this command writes"):
        Measurements(FACTS, order=ORDER, folder=tmp_path)
    assert (tmp_path / "speed.json").read_text() == content


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Measurements(FACTS, order=ORDER).add(row("full", "train"))
    assert not list(tmp_path.iterdir())
