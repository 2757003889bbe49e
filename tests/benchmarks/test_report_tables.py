"""Tables in CSV, Markdown and the terminal: the same findings in the same words, with n beside every number."""

import csv
import io
import math
import re

import pytest
from report_rows import PARAMS, make_failure, make_row, make_rows
from rich.console import Console

from benchmarks.report import print_summary, readme_table, wording
from benchmarks.report.summary import summarise
from benchmarks.report.tables import csv_table, markdown_table


def csv_lines(rows: list[dict]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_table(summarise(rows)))))


def test_csv_has_fractions_with_mean_std_and_n():
    lines = csv_lines(make_rows(seeds=2))
    assert len(lines) == 21
    line = next(line for line in lines if (line["model"], line["dataset"]) == ("vgg16", "cifar10"))
    assert 0.79 < float(line["accuracy_mean"]) < 0.83
    assert 0 < float(line["accuracy_std"]) < 0.02
    assert {line[f"{metric}_n"] for metric in ("accuracy", "precision", "recall", "f1", "loss")} == {"2"}
    assert line["num_params"] == str(PARAMS["vgg16"])
    assert float(line["peak_memory_bytes"]) > 1e9


def test_csv_keeps_runs_that_a_run_of_another_length_superseded():
    lines = csv_lines([make_row("vgg16", "mnist", epochs=5), make_row("vgg16", "mnist", epochs=3)])
    assert [line["epochs"] for line in lines] == ["3", "5"]


def test_unknown_spread_is_empty_in_csv_and_a_dash_elsewhere():
    rows = make_rows()
    assert all(line["accuracy_std"] == "" for line in csv_lines(rows))
    table = markdown_table(summarise(rows))
    assert "± 0.00" not in table
    assert re.search(r"\| LeNet-5 +\| +98\.91 \| +98\.69–99\.10 \| +– \| +1 \|", table)


def test_uneven_seeds_show_n_beside_each_accuracy():
    table = markdown_table(summarise([*make_rows(), make_row("lenet5", "mnist", seed=1)]))
    assert "99.52 ± – (n=1)" in table
    assert re.search(r"98\.\d\d ± 0\.\d\d \(n=2\)", table)


def test_markdown_marks_the_best_of_each_data_set_and_what_is_not_distinguished_from_it():
    grid = readme_table(summarise(make_rows()))
    assert "| ResNet-18    | **99.52** |        ≈ 93.05 |  **84.60** |" in grid
    assert "| SE-ResNet-18 |   ≈ 99.49 |      **93.11** |    ≈ 84.20 |" in grid


def test_readme_table_says_n_device_and_commit():
    table = readme_table(summarise(make_rows()))
    assert "n = 1 (one seed: no spread is known)" in table
    assert "Intel(R) Xeon(R) CPU @ 2.20GHz, 2 cores; commit 0f3c9a1d2b7e; jax 0.10.2" in table
    assert "differences below about 1.0 points are not distinguished, so SE-ResNet-18 (84.20) may be as good" in table


def test_an_error_with_a_pipe_does_not_break_the_markdown_table():
    table = markdown_table(summarise([make_failure("lenet5", "mnist", error="a | b\nc")]))
    assert "a \\| b c |" in table


def test_terminal_table_fits_80_columns_and_names_the_best():
    console = Console(width=80, record=True, file=io.StringIO())
    rows = [*make_rows(seeds=3), make_failure("vgg16", "mnist", seed=9, error="[Errno 28] no [space]")]
    print_summary(summarise(rows), console)
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    for dataset, best in (("MNIST", "SE-ResNet-18"), ("FashionMNIST", "SE-ResNet-18"), ("CIFAR-10", "ResNet-18")):
        assert f"Best on {dataset}: {best}, " in text
    assert "failed. [Errno 28] no [space]" in text


def test_terminal_table_with_uneven_seeds_fits_80_columns_too():
    console = Console(width=80, record=True, file=io.StringIO())
    print_summary(summarise([*make_rows(seeds=2), make_row("lenet5", "mnist", seed=2)]), console)
    text = console.export_text()
    assert "…" not in text
    assert "(n=3)" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("value", "text"), [(62_006, "62.0k"), (999_600, "1.00M"), (20_827_442, "20.8M"), (7, "7.00"), (math.nan, "–")]
)
def test_quantities_have_three_digits(value, text):
    assert wording.quantity(float(value)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(9.96, "10.0 s"), (59.6, "1 min 00 s"), (125.0, "2 min 05 s"), (7_620.0, "2 h 07 min")]
)
def test_durations_read_well(value, text):
    assert wording.duration(value) == text
