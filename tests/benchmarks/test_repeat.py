"""`python -m benchmarks.repeat`: finds the row that is meant, trains it again, and sees every number that differs."""

import json
import sys

import pytest
from report_rows import make_failure, make_row
from test_compare import TINY, run_sweep

from benchmarks import cells, repeat, results
from jax_models.errors import UsageError


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The folder of a sweep of one tiny cell."""
    out = tmp_path_factory.mktemp("swept") / "out"
    assert run_sweep(out).returncode == 0
    return out


@pytest.fixture
def on_tiny_data(monkeypatch):
    monkeypatch.setattr(cells, "COMMAND", (sys.executable, str(TINY / "cell.py")))


def test_a_repetition_gives_the_same_numbers_predictions_and_weights(swept, on_tiny_data, capsys):
    assert repeat.main([str(swept), "lenet5/mnist/quick/s0"]) == 0
    text = capsys.readouterr().out
    assert "✓ LeNet-5 on MNIST, seed 0: the same numbers, test " in text
    assert "differ" not in text
    assert len(results.read_rows(swept)) == 1, "nothing is added to the folder"


def test_other_numbers_are_named_and_what_may_explain_them_too(swept, on_tiny_data, capsys, tmp_path):
    (row,) = results.read_rows(swept)
    row["test"]["loss"] += 1e-9
    row["weights"]["sha256"] = "0" * 64
    row["versions"]["jax"] = "0.0.1"
    row["train_seconds"] = 1e9
    (tmp_path / "runs.jsonl").write_text(json.dumps(row) + "\n")
    assert repeat.main([str(tmp_path), "1"]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "versions differ: jax 0.0.1 in the row, 0." in text
    assert "✗ LeNet-5 on MNIST, seed 0: 2 fields differ" in text
    assert "test: {" in text
    assert "weights: {" in text


def test_a_tuple_of_the_registry_is_the_list_that_the_file_holds():
    row = make_row("vgg16", "mnist")
    assert repeat.differences(row, row | {"architecture": {"channels": (8, 16)}}) == []
    assert repeat.differences(row, row | {"architecture": {"channels": (8, 17)}}) == ["architecture"]


ROWS = [make_row("lenet5", "mnist", seed=1), make_row("lenet5", "mnist", seed=10), make_failure("vgg16", "mnist")]


def test_a_row_is_found_by_its_line_or_by_the_beginning_of_its_name():
    assert repeat.find_row(ROWS, "2") is ROWS[1]
    assert repeat.find_row(ROWS, "lenet5/mnist/quick/s1") is ROWS[0], "s1 is not s10"
    assert repeat.find_row(ROWS, ROWS[1]["cell"]) is ROWS[1]
    again = ROWS[0] | {"commit": "later"}
    assert repeat.find_row([*ROWS, again], "lenet5/mnist/quick/s1") is again


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("4", "row 4 is not a finished one; rows are 1 to 3"),
        ("3", "row 3 is not a finished one"),
        ("0", "row 0 is not a finished one"),
        ("lenet5/mnist", "is the beginning of 2 cells"),
        ("lenet5/mnist/quick/s3", "did you mean lenet5/mnist/quick/s1"),
        ("vgg16/mnist", "no finished row is called 'vgg16/mnist'"),
    ],
)
def test_a_row_that_is_not_there_is_a_usage_error(name, message):
    with pytest.raises(UsageError, match=message):
        repeat.find_row(ROWS, name)


def test_a_row_of_another_recipe_names_its_commit():
    with pytest.raises(UsageError, match="git checkout 0f3c9a1d2b7e"):
        repeat.config_of(ROWS[0])
