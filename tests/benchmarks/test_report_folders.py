"""Folders brought together and compared: nothing mixed in silence, nothing copied by halves, changes told by tests."""

import csv
import json
import shutil

import pytest
from report_rows import make_folder, make_row

from benchmarks.report import summarise
from benchmarks.report.__main__ import main
from benchmarks.report.versions import compare_versions
from benchmarks.results import read_rows
from jax_models.errors import RunError, UsageError

MODELS = ("lenet5", "resnet18")


@pytest.fixture
def folders(tmp_path):
    """Two folders, with seeds 0 and 1 of two families, and seed 2."""
    make_folder(tmp_path / "a", [make_row(m, "mnist", seed=s) for m in MODELS for s in (0, 1)])
    make_folder(tmp_path / "b", [make_row(m, "mnist", seed=2) for m in MODELS])
    return tmp_path


def test_merging_brings_seeds_together_with_their_predictions(folders, capsys):
    main([str(folders / "a"), str(folders / "b"), "--merge", str(folders / "all")])
    rows = read_rows(folders / "all")
    assert sorted((row["model"], row["seed"]) for row in rows) == sorted((m, s) for m in MODELS for s in range(3))
    (sweep,) = summarise(rows, folders / "all").sweeps
    assert sweep.comparisons["mnist"].pairs[0].comparison.seeds == (3, 3)
    assert (folders / "all" / "report.html").exists()
    assert "3 seeds" in capsys.readouterr().out
    main([str(folders / "a"), str(folders / "b"), "--merge", str(folders / "all")])
    assert read_rows(folders / "all") == rows, "merging again adds nothing"


def test_presets_are_mixed_only_if_that_is_asked_for(folders):
    make_folder(folders / "full", [make_row("lenet5", "mnist", preset="full")])
    command = [str(folders / "a"), str(folders / "full"), "--merge", str(folders / "all")]
    with pytest.raises(UsageError, match=r"these folders have full and quick .*a: quick; .*full: full\); give --mix-"):
        main(command)
    assert not (folders / "all" / "runs.jsonl").exists()
    main([*command, "--mix-presets"])
    assert {row["preset"] for row in read_rows(folders / "all")} == {"quick", "full"}
    with pytest.raises(UsageError, match="the first folder has quick, the second full"):
        main([str(folders / "a"), str(folders / "full")])


def test_both_sides_of_a_gain_are_merged_unasked(folders):
    for preset in ("quick-scratch", "quick-imagenet"):
        make_folder(folders / preset, [make_row("vgg16", "mnist", preset=preset)])
    main([str(folders / "quick-scratch"), str(folders / "quick-imagenet"), "--merge", str(folders / "both")])
    assert len(read_rows(folders / "both")) == 2


def test_two_different_runs_of_one_cell_are_not_merged(folders):
    rows = [json.loads(line) for line in (folders / "a" / "runs.jsonl").read_text().splitlines()]
    rows[0]["test"]["loss"] += 0.1
    make_folder(folders / "c", rows)
    with pytest.raises(UsageError, match="have different runs of lenet5/mnist/quick/s0"):
        main([str(folders / "a"), str(folders / "c"), "--merge", str(folders / "all")])


def test_a_damaged_file_is_not_merged(folders):
    row = read_rows(folders / "b")[0]
    path = folders / "b" / row["predictions"]["path"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match="its sha256 is not the row's"):
        main([str(folders / "a"), str(folders / "b"), "--merge", str(folders / "all")])
    assert row["cell"] not in {one["cell"] for one in read_rows(folders / "all")}


def test_a_folder_cannot_be_merged_into_itself(folders):
    with pytest.raises(UsageError, match="--merge needs a folder of its own"):
        main([str(folders / "a"), str(folders / "b"), "--merge", str(folders / "a")])


def test_the_same_numbers_are_called_so(folders, capsys):
    shutil.copytree(folders / "a", folders / "again")
    main([str(folders / "a"), str(folders / "again")])
    assert "2 cells: 2 same numbers." in capsys.readouterr().out
    lines = list(csv.DictReader((folders / "again" / "versions.csv").read_text().splitlines()))
    assert [(line["verdict"], float(line["difference"])) for line in lines] == [("same numbers", 0.0)] * 2


def test_a_regression_is_found_and_luck_is_not_called_one(tmp_path):
    before = make_folder(tmp_path / "a", [make_row(m, "cifar10", seed=s) for m in MODELS for s in range(3)])
    rows = [make_row("resnet18", "cifar10", seed=s) for s in range(3, 6)]
    worse = [make_row("alexnet", "cifar10", seed=s) | {"model": "lenet5"} for s in range(3)]
    for row in worse:
        row["cell"] = row["cell"].replace("alexnet", "lenet5")
    after = make_folder(tmp_path / "b", [*rows, *worse])
    changes = compare_versions(summarise(after, tmp_path / "b"), summarise(before, tmp_path / "a"))
    verdicts = {change.after.model: change.verdict for change in changes}
    assert verdicts == {"lenet5": "worse", "resnet18": "not distinguished"}
    (change,) = [change for change in changes if change.after.model == "lenet5"]
    assert change.comparison is not None
    assert change.difference == pytest.approx(change.comparison.difference)
    assert change.ratio("train_seconds") < 1


def test_rows_without_predictions_are_compared_by_a_margin(tmp_path, capsys):
    for name, seeds in (("a", (0, 1)), ("b", (2, 3))):
        (tmp_path / name).mkdir()
        lines = [json.dumps(make_row("lenet5", "mnist", seed=seed)) for seed in seeds]
        (tmp_path / name / "runs.jsonl").write_text("\n".join(lines) + "\n")
    main([str(tmp_path / "a"), str(tmp_path / "b")])
    text = capsys.readouterr().out
    assert "1 cell: 1 not distinguished." in text
    assert "no paired test" in text


def test_three_folders_are_not_compared(folders):
    make_folder(folders / "c", [make_row("lenet5", "mnist")])
    with pytest.raises(UsageError, match="two folders are compared"):
        main([str(folders / name) for name in "abc"])
