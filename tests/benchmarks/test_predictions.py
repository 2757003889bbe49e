"""Stored predictions: exact where it counts, nearly right elsewhere, and never silently another run's."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from benchmarks import run_files
from benchmarks.predictions import Predictions, decode, encode, load_predictions, to_bytes
from jax_models.errors import RunError
from jax_models.recipes import resolve_config


def probabilities(count: int = 3000, *, seed: int = 0, scale: float = 4.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, scale, (count, 10))
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return (odds / odds.sum(-1, keepdims=True)).astype(np.float32)


def splits(seed: int = 0) -> dict[str, Predictions]:
    labels = np.arange(3000) % 10
    return {name: Predictions(probabilities(seed=seed + i), labels) for i, name in enumerate(("validation", "test"))}


def test_the_predicted_class_stays_the_predicted_class_even_if_another_is_as_likely():
    sure = probabilities()
    tied = np.full((4, 10), 0.1, np.float32)
    tied[1, 3] += 1e-6
    for exact in (sure, tied):
        assert (decode(encode(exact)).argmax(-1) == exact.argmax(-1)).all()


def test_probabilities_are_right_to_three_percent_and_losses_to_a_thousandth():
    exact = probabilities()
    stored = decode(encode(exact))
    assert np.allclose(stored.sum(-1), 1)
    likely = exact > 1e-6
    close = exact / exact.max(-1, keepdims=True) > np.exp(-1 / 16)  # as likely as the best: a step apart at least
    ratio = np.log(stored / exact)[likely & ~close]
    assert np.abs(ratio).max() < 1.5 / 16
    assert np.abs(ratio).mean() < 0.03
    labels = np.array([np.random.default_rng(i).choice(10, p=p / p.sum()) for i, p in enumerate(exact.astype(float))])
    assert log_loss(labels, stored) == pytest.approx(log_loss(labels, exact), rel=1e-3)


def test_impossible_classes_do_not_become_likely():
    certain = np.eye(10, dtype=np.float32)
    assert decode(encode(certain))[~np.eye(10, dtype=bool)].max() < 2e-7


def test_what_is_loaded_is_what_was_stored_and_equal_predictions_give_equal_bytes(tmp_path):
    given = splits()
    (tmp_path / "a.npz").write_bytes(to_bytes(given))
    loaded = load_predictions(tmp_path / "a.npz")
    assert to_bytes(given) == to_bytes(splits()) != to_bytes(splits(seed=5))
    for name, split in given.items():
        assert (loaded[name].labels == split.labels).all()
        assert (loaded[name].correct == split.correct).all()
        assert accuracy_score(split.labels, loaded[name].probabilities.argmax(-1)) == split.correct.mean()


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"no zip"])
def test_a_damaged_file_is_one_clear_line(damage, tmp_path):
    (tmp_path / "a.npz").write_bytes(damage(to_bytes(splits())))
    with pytest.raises(RunError, match="is damaged"):
        load_predictions(tmp_path / "a.npz")
    with pytest.raises(RunError, match="is not there"):
        load_predictions(tmp_path / "b.npz")


def test_a_row_tells_whether_a_file_is_still_the_one_that_was_measured(tmp_path):
    config = resolve_config("lenet5", "mnist", preset="quick")
    entry = run_files.save_predictions(tmp_path, config, splits())
    assert run_files.checked_path(tmp_path, entry) == tmp_path / entry["path"]
    (tmp_path / entry["path"]).write_bytes(to_bytes(splits(seed=1)))
    with pytest.raises(RunError, match="its sha256 is not the row's"):
        run_files.checked_path(tmp_path, entry)
    (tmp_path / entry["path"]).unlink()
    with pytest.raises(RunError, match="cannot read"):
        run_files.checked_path(tmp_path, entry)
