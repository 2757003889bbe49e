"""What a report says where predictions were kept: who differs from whom, by tests, and by what it was decided."""

import csv
import io
import re

import numpy as np
import pytest
from report_rows import make_failure, make_folder, make_row, make_rows

from benchmarks.report import readme_table, summarise, wording
from benchmarks.report.notes import notes
from benchmarks.report.pairs import matrix, pair_lines, pairs_csv
from benchmarks.report.tables import csv_table, markdown_table
from benchmarks.statistics.verdicts import Verdict


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """Four families on two data sets, three seeds each, with predictions."""
    out = tmp_path_factory.mktemp("kept") / "out"
    names = ("lenet5", "googlenet", "resnet18", "se_resnet18")
    rows = [make_row(m, d, seed=s) for d in ("mnist", "cifar10") for m in names for s in range(3)]
    return summarise(make_folder(out, [*rows, make_failure("vgg16", "mnist")]), out)


def test_the_tests_are_of_the_stored_predictions(summary):
    (sweep,) = summary.sweeps
    comparison = sweep.comparisons["cifar10"]
    assert len(comparison.pairs) == 6
    for pair in comparison.pairs:
        first, second = sweep.get(pair.first, "cifar10"), sweep.get(pair.second, "cifar10")
        assert pair.comparison.difference == pytest.approx(first.accuracy - second.accuracy)
    assert comparison.pair("resnet18", "lenet5").verdict is Verdict.ESTABLISHED
    assert comparison.pair("resnet18", "se_resnet18").verdict is Verdict.NOT_DISTINGUISHED


def test_the_best_line_names_all_that_are_not_distinguished_and_who_is_next(summary):
    (sweep,) = summary.sweeps
    assert wording.best_line(sweep, "cifar10").startswith("Best on CIFAR-10: ResNet-18, 84.6")
    assert wording.caution_line(sweep, "cifar10").startswith("Not distinguished from it: SE-ResNet-18 (84.")
    assert "GoogLeNet" not in wording.caution_line(sweep, "cifar10")
    assert "Equivalent within 0.3 points: " in wording.caution_line(sweep, "mnist")


def test_one_seed_speaks_of_trained_networks_only(tmp_path):
    out = tmp_path / "out"
    rows = make_folder(out, [make_row(m, "cifar10") for m in ("lenet5", "resnet18")])
    (sweep,) = summarise(rows, out).sweeps
    line = wording.caution_line(sweep, "cifar10")
    assert line.startswith("Every other family is established to be worse, next is LeNet-5 (63.10).")
    assert "one seed is silent about the luck of training" in line


def test_average_ranks_say_how_many_data_sets_they_have(tmp_path):
    out = tmp_path / "out"
    (sweep,) = summarise(make_rows(seeds=2)).sweeps
    line = wording.ranks_line(sweep)
    assert line.startswith("Average ranks (N = 3 data sets): SE-ResNet-18 1.3, ")
    assert "critical difference of 5.2 ranks" in line
    (incomplete,) = summarise(make_rows()[:-1], out).sweeps
    assert wording.ranks_line(incomplete) is None


def test_pairs_csv_has_every_pair_with_interval_p_values_and_verdict(summary):
    lines = list(csv.DictReader(io.StringIO(pairs_csv(summary))))
    assert len(lines) == 12
    for line in lines:
        assert float(line["low"]) < float(line["difference"]) < float(line["high"])
        assert float(line["bootstrap_low"]) < float(line["difference"]) < float(line["bootstrap_high"])
        assert float(line["p"]) <= float(line["p_holm"])
        assert (float(line["p_holm"]) < 0.05) == (line["verdict"] == "established")
        assert int(line["networks_that_differ"]) <= int(line["networks"]) == 3
        assert bool(line["seeds_needed"]) <= (line["verdict"] == "not distinguished")


def test_the_matrix_is_antisymmetric_and_colours_only_what_is_established(summary):
    (sweep,) = summary.sweeps
    lines = matrix(sweep, "cifar10")
    kinds = np.array([[cell.kind if cell else "self" for cell in cells] for _, cells in lines])
    assert (kinds.diagonal() == "self").all()
    assert ((kinds == "better") == (kinds == "worse").T).all()
    assert ((kinds == "open") == (kinds == "open").T).all()
    established = sum(pair.verdict is Verdict.ESTABLISHED for pair in sweep.comparisons["cifar10"].pairs)
    assert (kinds == "better").sum() == established > 0
    verdicts = [line[-1] for line in pair_lines(sweep, "cifar10")]
    assert len(verdicts) == 6
    assert sum(verdict.startswith("established") for verdict in verdicts) == established
    assert any(re.fullmatch(r"open: \d+ more seeds \(\d+ in all, then (established|equivalent)\)", v) for v in verdicts)


def test_tables_carry_intervals_and_what_is_open(summary):
    line = next(csv.DictReader(io.StringIO(csv_table(summary))))
    assert float(line["accuracy_low"]) < float(line["accuracy_mean"]) < float(line["accuracy_high"])
    text = markdown_table(summary)
    assert re.search(r"6 pairs: \d established, \d equivalent and \d not distinguished", text)
    assert "count the luck of training as well as that of the images" in text
    assert "Not distinguished from it" in readme_table(summary)


def test_predictions_that_are_lost_or_damaged_are_said_and_cost_only_their_tests(tmp_path):
    out = tmp_path / "out"
    rows = make_folder(out, [make_row(m, d) for m in ("lenet5", "vgg16") for d in ("mnist", "cifar10")])
    (out / rows[0]["predictions"]["path"]).unlink()
    path = out / rows[1]["predictions"]["path"]
    path.write_bytes(path.read_bytes()[:1000])
    summary = summarise(rows, out)
    said = " ".join(notes(summary))
    assert "No tests on MNIST, because not all predictions of LeNet-5 can be read: cannot read" in said
    assert "No tests on CIFAR-10, because not all predictions of LeNet-5 can be read" in said
    assert not summary.sweeps[0].comparisons
    assert "differences below about" in wording.caution_line(summary.sweeps[0], "mnist")


def test_runs_on_different_data_are_not_tested_against_each_other(tmp_path):
    out = tmp_path / "out"
    rows = make_folder(out, [make_row(m, "mnist") for m in ("lenet5", "vgg16")])
    rows[1] = rows[1] | {"data_hashes": {"file": "0" * 64}}
    assert not summarise(rows, out).sweeps[0].comparisons
