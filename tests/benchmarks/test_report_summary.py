"""The summary says what the rows say: nothing averaged that differs, no spread from one seed, no winner by luck."""

import math

import numpy as np
import pytest
from report_rows import TEST_IMAGES, make_failure, make_row, make_rows

from benchmarks.report.notes import notes
from benchmarks.report.significance import margin
from benchmarks.report.summary import summarise
from jax_models.errors import UsageError
from jax_models.evaluation import wilson_interval


def test_seeds_of_one_setting_are_averaged():
    rows = [make_row("resnet18", "cifar10", seed=seed) for seed in range(3)]
    (group,) = summarise(rows).sweeps[0].groups
    accuracies = [row["test"]["accuracy"] for row in rows]
    estimate = group.estimate("accuracy")
    assert estimate.mean == pytest.approx(np.mean(accuracies))
    assert estimate.std == pytest.approx(np.std(accuracies, ddof=1))
    assert estimate.n == 3


def test_one_seed_has_no_spread():
    (group,) = summarise([make_row("lenet5", "mnist")]).sweeps[0].groups
    assert group.estimate("accuracy").std is None


def test_presets_are_kept_apart_and_the_mix_is_said():
    summary = summarise([make_row("vgg16", "mnist"), make_row("vgg16", "mnist", preset="full")])
    assert [(sweep.preset, len(sweep.groups)) for sweep in summary.sweeps] == [("quick", 1), ("full", 1)]
    assert any("mixes the presets quick and full" in note for note in notes(summary))


def test_runs_of_another_length_are_not_averaged_but_said():
    first, second = make_row("vgg16", "mnist", epochs=5), make_row("vgg16", "mnist", epochs=3)
    summary = summarise([first, second])
    (sweep,) = summary.sweeps
    assert [group.epochs for group in sweep.groups] == [3], "the latest row decides"
    assert [group.epochs for group in sweep.superseded] == [5]
    assert any("3 epochs" in note and "not 5 epochs" in note for note in notes(summary))


def test_a_failure_is_forgotten_once_its_cell_finished():
    failure, row = make_failure("lenet5", "mnist"), make_row("lenet5", "mnist")
    assert summarise([failure, row]).failed == ()
    assert summarise([row, failure]).failed == (), "a later failure does not undo a finished run"
    assert len(summarise([failure, failure]).failed) == 1


def test_the_latest_row_of_a_cell_counts():
    old, new = make_row("lenet5", "mnist"), make_row("lenet5", "mnist")
    new["test"] = new["test"] | {"accuracy": 0.5}
    (group,) = summarise([old, new]).sweeps[0].groups
    assert (group.n, group.accuracy) == (1, 0.5)


def test_missing_cells_devices_and_commits_are_said():
    rows = make_rows()[:-1]
    rows[0] = rows[0] | {"commit": "fffffff", "device": {"platform": "gpu", "kind": "NVIDIA H100", "count": 1}}
    said = " ".join(notes(summarise(rows)))
    assert "No finished run of SE-ResNet-18 on CIFAR-10" in said
    assert "more than one device" in said
    assert "more than one commit" in said


def test_a_complete_sweep_on_one_machine_needs_no_note():
    assert notes(summarise(make_rows())) == []


def test_rows_of_before_the_architecture_was_kept_are_read_too():
    old, new = make_row("vgg16", "mnist"), make_row("vgg16", "mnist", seed=1)
    del old["architecture"]
    (group,) = summarise([old, new]).sweeps[0].groups
    assert group.n == 2


def test_a_row_that_is_not_ours_is_named():
    row = make_row("lenet5", "mnist")
    del row["test"]["f1"]
    with pytest.raises(UsageError, match=r"lenet5/mnist/quick/s0.*'f1'"):
        summarise([row])


def test_margin_of_one_seed_is_newcombes_interval():
    low, high = wilson_interval(0.8, TEST_IMAGES)
    assert (low, high) == pytest.approx((0.7920, 0.8077), abs=1e-4)
    assert margin(0.8, TEST_IMAGES, spreads=[(1, None)] * 7) == pytest.approx(math.hypot(0.8 - low, high - 0.8))


def test_margin_grows_with_the_spread_over_seeds():
    one_seed, equal_seeds, few_seeds, many_seeds = (
        margin(0.8, TEST_IMAGES, spreads=[spread] * 2) for spread in ((1, None), (3, 0.0), (3, 0.01), (9, 0.01))
    )
    assert equal_seeds == pytest.approx(one_seed)
    assert few_seeds > many_seeds > one_seed


def test_equal_families_are_rarely_told_apart():
    rng = np.random.default_rng(0)
    scores = rng.binomial(TEST_IMAGES, 0.9, (2_000, 2)) / TEST_IMAGES
    limits = {best: margin(best, TEST_IMAGES, spreads=[(1, None)] * 2) for best in set(scores.max(1).tolist())}
    wrong = np.mean([max(pair) - min(pair) >= limits[max(pair)] for pair in scores.tolist()])
    assert 0.03 < wrong < 0.07, "95 % margins err 5 % of the time"


def test_without_predictions_the_leader_names_who_is_within_the_margin_of_the_best():
    (sweep,) = summarise(make_rows()).sweeps
    leader = sweep.leader("cifar10")
    assert leader.best.model == "resnet18"
    assert [group.model for group in leader.close] == ["se_resnet18"]
    assert leader.runner_up is not None
    assert leader.runner_up.model == "googlenet"
