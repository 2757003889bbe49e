"""What published weights bring: which cells are set against each other, and what is said of them."""

import csv

import pytest
import report_rows
from report_rows import make_folder, make_row

from benchmarks.report import summarise, write_report
from benchmarks.report.gains import ONE_SEED, gain_lines, gain_note, gains
from benchmarks.report.notes import notes

WEIGHTS = "timm/resnet18.tv_in1k@bbd144b"
FAR = {"resnet18": (99.52, 93.05, 84.6), "googlenet": (99.47, 92.6, 86.7)}  # percent, from ImageNet
NEAR = {"resnet18": (99.52, 93.05, 76.3), "googlenet": (99.2, 92.6, 76.2)}  # from scratch
CELLS = (("resnet18", "mnist"), ("resnet18", "cifar10"), ("googlenet", "mnist"), ("googlenet", "cifar10"))


def arm(preset: str, *, seeds: int = 3, cells=CELLS, epochs: int | None = None, image_size: int = 64) -> list[dict]:
    """Cells of one preset; the networks that begin with published weights are better on CIFAR-10."""
    accuracy, weights = (FAR, WEIGHTS) if preset.endswith("imagenet") else (NEAR, None)
    with pytest.MonkeyPatch.context() as patch:
        for model, percent in accuracy.items():
            patch.setitem(report_rows.ACCURACY, model, percent)
        rows = [
            make_row(model, dataset, preset=preset, seed=seed, epochs=epochs)
            for model, dataset in cells
            for seed in range(seeds)
        ]
    return [row | {"variant": {"network": row["model"], "weights": weights, "image_size": image_size}} for row in rows]


def summary_of(rows, tmp_path):
    return summarise(make_folder(tmp_path / "out", rows), tmp_path / "out")


def test_each_network_is_set_against_itself_from_scratch(tmp_path):
    found = gains(summary_of(arm("quick-scratch") + arm("quick-imagenet"), tmp_path))
    assert [(one.after.model, one.after.dataset) for one in found] == [
        *(("resnet18", "mnist"), ("googlenet", "mnist"), ("resnet18", "cifar10"), ("googlenet", "cifar10"))
    ]
    by_cell = {(one.after.model, one.after.dataset): one for one in found}
    far = by_cell["googlenet", "cifar10"]
    assert far.difference == pytest.approx(0.105, abs=0.01)
    assert far.verdict == "better"
    assert by_cell["resnet18", "mnist"].verdict in ("equivalent", "not distinguished")
    name, scratch, *_, verdict = gain_lines(found)[3]
    assert (name, verdict) == ("GoogLeNet, CIFAR-10", "better")
    assert scratch.startswith(f"{100 * far.before.accuracy:.2f} ± ")
    assert ONE_SEED not in gain_note(found)


def test_one_seed_is_said_to_be_silent_about_the_luck_of_training(tmp_path):
    assert ONE_SEED in gain_note(
        gains(summary_of(arm("full-scratch", seeds=1) + arm("full-imagenet", seeds=1), tmp_path))
    )


@pytest.mark.parametrize("other", [{"epochs": 9}, {"image_size": 96}])
def test_what_was_trained_otherwise_is_not_compared(other, tmp_path):
    rows = (
        arm("quick-scratch") + arm("quick-imagenet", cells=CELLS[:2]) + arm("quick-imagenet", cells=CELLS[2:], **other)
    )
    summary = summary_of(rows, tmp_path)
    assert {one.after.model for one in gains(summary)} == {"resnet18"}
    assert "No gain is told of GoogLeNet on MNIST, GoogLeNet on CIFAR-10: its two sides" in " ".join(notes(summary))


@pytest.mark.parametrize("presets", [("quick-scratch",), ("quick-scratch", "full-imagenet"), ("quick", "full")])
def test_without_both_there_is_no_gain(presets, tmp_path):
    assert gains(summary_of([row for preset in presets for row in arm(preset, seeds=1)], tmp_path)) == []


def test_two_sides_of_a_gain_are_no_mixture(tmp_path):
    both = arm("quick-scratch", seeds=1) + arm("quick-imagenet", seeds=1)
    assert not [note for note in notes(summarise(both)) if "mixes" in note]
    assert [note for note in notes(summarise([*both, make_row("resnet18", "mnist")])) if "mixes" in note]


def test_the_report_has_the_gains_first_and_in_a_file_of_their_own(tmp_path):
    summary = summary_of(arm("quick-scratch") + arm("quick-imagenet"), tmp_path)
    write_report(summary, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index('id="gains"') < page.index('id="quick-imagenet-result"')
    lines = list(csv.DictReader((tmp_path / "out" / "gains.csv").read_text().splitlines()))
    assert [float(line["difference"]) for line in lines] == [one.difference for one in gains(summary)]
    assert "## What ImageNet weights bring" in (tmp_path / "out" / "table.md").read_text()


def test_another_sweep_has_neither_and_an_old_file_goes(tmp_path):
    summary = summary_of([make_row("lenet5", "mnist")], tmp_path)
    (tmp_path / "out" / "gains.csv").write_text("of an earlier report")
    write_report(summary, tmp_path / "out")
    assert not (tmp_path / "out" / "gains.csv").exists()
    assert 'id="gains"' not in (tmp_path / "out" / "report.html").read_text()
