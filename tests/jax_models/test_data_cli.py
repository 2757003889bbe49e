"""`python -m jax_models.data` prepares, shows what is there, and answers mistakes in one line."""

import subprocess
import sys

import pytest
from tiny_data import flip_byte, save, tiny

from jax_models.data import __main__ as cli
from jax_models.errors import RunError, UsageError


@pytest.fixture
def tiny_catalog(monkeypatch):
    """Puts the tiny data sets in the catalog's place."""
    monkeypatch.setattr(cli, "find_spec", lambda name: tiny(name)[0])


def test_it_prepares_and_shows_a_table(tiny_catalog, tmp_path, capsys):
    save(tiny("mnist")[1], tmp_path / "mine")
    arguments = ["mnist", "--data-dir", str(tmp_path), "--files", str(tmp_path / "mine"), "--counts"]
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    for part in ("mnist", "3.0.1", "100", "20", "ready", "validation", "90"):
        assert part in shown


def test_list_prepares_nothing_and_verify_repairs(tiny_catalog, tmp_path, capsys):
    save(tiny("cifar10")[1], tmp_path / "downloads")
    where = ["--data-dir", str(tmp_path), "--offline"]
    cli.main(["cifar10", *where, "--list"])
    assert "missing" in capsys.readouterr().out
    cli.main(["cifar10", *where])
    flip_byte(tmp_path / "cifar10/3.0.2/arrays/test_images.npy")
    capsys.readouterr()
    cli.main(["cifar10", *where, "--verify"])
    captured = capsys.readouterr()
    assert "test_images.npy is damaged" in captured.err
    assert "verified" in captured.out


def test_what_fails_does_not_keep_the_others_from_being_prepared(tiny_catalog, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tiny("cifar10")[1], tmp_path / "downloads")
    with pytest.raises(RunError, match="MNIST was found nowhere"):
        cli.main(["mnist", "cifar10", "--data-dir", str(tmp_path), "--offline"])
    shown = capsys.readouterr().out
    assert "missing" in shown
    assert "ready" in shown


def test_an_unknown_name_is_one_line_and_exit_code_2():
    done = subprocess.run(
        [sys.executable, "-m", "jax_models.data", "cifar"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "error: unknown data set 'cifar'; choose from: mnist, fashion_mnist, cifar10\n"


def test_a_wrong_option_is_one_line():
    with pytest.raises(UsageError, match=r"unrecognized arguments: --ofline; see python -m jax_models.data --help"):
        cli.main(["--ofline"])


def test_unknown_names_are_refused_before_any_work(tmp_path):
    with pytest.raises(UsageError):
        cli.main(["mnist", "nosuch", "--data-dir", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []
