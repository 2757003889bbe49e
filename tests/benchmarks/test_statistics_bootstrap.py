"""The bootstrap over seeds and images: the same every time, paired over images, and as wide as the closed form says."""

import numpy as np
import pytest

from benchmarks.statistics.bootstrap import bootstrap_accuracies, bootstrap_interval
from benchmarks.statistics.comparison import compare_families
from benchmarks.statistics.crossed import training_luck


def answers(
    *, seeds: int, accuracy: float, spread: float, rng: np.random.Generator, hardness: np.ndarray
) -> np.ndarray:
    """Seeds whose accuracies vary by `spread`, on images of which some are hard for everybody."""
    levels = accuracy + rng.normal(0, spread, (seeds, 1))
    return rng.random((seeds, len(hardness))) < np.clip(levels + hardness, 0, 1)


@pytest.fixture
def families() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    hardness = rng.normal(0, 0.25, 1500)
    return {
        "one": answers(seeds=4, accuracy=0.8, spread=0.02, rng=rng, hardness=hardness),
        "other": answers(seeds=3, accuracy=0.75, spread=0.02, rng=rng, hardness=hardness),
    }


def test_it_is_the_same_every_time_and_centred_on_the_difference(families):
    first, again = bootstrap_accuracies(families), bootstrap_accuracies(families)
    assert all((first[name] == again[name]).all() for name in families)
    difference = families["one"].mean() - families["other"].mean()
    low, high = bootstrap_interval(first["one"], first["other"])
    assert low < difference < high
    assert (first["one"] - first["other"]).mean() == pytest.approx(difference, abs=0.002)


def test_its_spread_is_that_of_the_closed_form_plus_twice_the_flips_of_single_images(families):
    resampled = bootstrap_accuracies(families)
    found = (resampled["one"] - resampled["other"]).std()
    flips = sum(training_luck(correct).flips / len(correct) for correct in families.values())
    expected = compare_families(families["one"], families["other"]).variance + 2 * flips
    assert found == pytest.approx(expected**0.5, rel=0.1)


def test_it_is_paired_over_images(families):
    """A family against its twin varies by seeds only, however hard the images are."""
    resampled = bootstrap_accuracies({"a": families["one"][:1], "b": families["one"][:1]})
    assert bootstrap_interval(resampled["a"], resampled["b"]) == (0, 0)
    assert resampled["a"].std() > 0.005
