"""The error rates that the statistics promise, counted on families whose true accuracies are known.

A family is right on an image with a chance whose logit is the family's skill, plus the image's difficulty (one for all
families and one of its own), the seed's luck, and what this seed makes of this image.
"""

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import optimize
from scipy.special import expit

from benchmarks.statistics.accuracy import estimate_accuracy
from benchmarks.statistics.comparison import Comparison, compare_families
from benchmarks.statistics.crossed import TrainingLuck
from benchmarks.statistics.seeds_needed import seeds_needed
from benchmarks.statistics.verdicts import Verdict, compare_all

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
SKILL = 2.0


@dataclass(frozen=True)
class World:
    """Standard deviations of the logit by source, and the number of test images."""

    seed: float
    image: float = 2.0
    family_image: float = 0.7
    seed_image: float = 1.0
    images: int = 400

    def accuracy(self, skill: float, *, of_seed: bool = False) -> float:
        """The true accuracy of a family, over all seeds and images, or of one seed whose luck is in `skill`."""
        variance = self.image**2 + self.family_image**2 + self.seed_image**2 + (0 if of_seed else self.seed**2)
        return float((WEIGHTS * expit(skill + variance**0.5 * NODES)).sum() / WEIGHTS.sum())

    def skill(self, accuracy: float) -> float:
        """The skill that has a true accuracy."""
        return float(optimize.brentq(lambda skill: self.accuracy(skill) - accuracy, -20, 20))

    def draw(self, rng: np.random.Generator, families: Iterable[tuple[float, int]]) -> list[np.ndarray]:
        """Answers, seeds by images, of families given by skill and number of seeds, on the same images."""
        shared = rng.normal(0, self.image, self.images)
        drawn = []
        for skill, seeds in families:
            own = rng.normal(0, self.family_image, self.images)
            noise = rng.normal(0, self.seed, (seeds, 1)) + rng.normal(0, self.seed_image, (seeds, self.images))
            drawn.append(rng.random((seeds, self.images)) < expit(skill + shared + own + noise))
        return drawn


# What the difference of two families varies by: mostly images that suit one of them; flips of single images and as much
# again by the seeds' luck; mostly that luck; that luck and such images, where seeds that agree by chance mislead most.
WORLDS = {
    "images": World(seed=0.0, family_image=2.5, seed_image=0.3),
    "both": World(seed=0.12),
    "seeds": World(seed=0.5),
    "corner": World(seed=0.4, family_image=2.0, seed_image=0.3),
}
worlds = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


@pytest.fixture(autouse=True, scope="module")
def frozen_heap() -> Iterator[None]:
    """statsmodels' multipletests runs the garbage collector: over all that is imported, 1,000 times half a second."""
    gc.freeze()
    yield
    gc.unfreeze()


def coverage_of_differences(world: World, seeds: tuple[int, int], *, runs: int) -> float:
    """How often the interval of the difference of two families holds the true one, which is not zero."""
    rng = np.random.default_rng(0)
    skills = (SKILL, SKILL - 0.3)
    truth = world.accuracy(skills[0]) - world.accuracy(skills[1])
    intervals = (compare_families(*world.draw(rng, zip(skills, seeds, strict=True))).interval for _ in range(runs))
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def coverage_of_accuracies(world: World, seeds: int, *, runs: int) -> float:
    """How often the interval of a family's accuracy holds the true one."""
    rng = np.random.default_rng(0)
    truth = world.accuracy(SKILL)
    estimates = (estimate_accuracy(world.draw(rng, [(SKILL, seeds)])[0]) for _ in range(runs))
    return float(np.mean([estimate.low <= truth <= estimate.high for estimate in estimates]))


def family_wise_errors(world: World, *, seeds: int, families: int, runs: int) -> float:
    """How often any pair of equal families is established to differ."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(runs):
        drawn = world.draw(rng, [(SKILL, seeds)] * families)
        found = compare_all({str(index): rows for index, rows in enumerate(drawn)})
        wrong += any(pair.verdict is Verdict.ESTABLISHED for pair in found.pairs)
    return wrong / runs


def three_errors(rate: float, runs: int) -> float:
    """Three standard errors of a rate counted in as many runs: what a simulation may be off by."""
    return 3 * (rate * (1 - rate) / runs) ** 0.5


@worlds
@pytest.mark.parametrize(("seeds", "least"), [((2, 2), 0.95), ((3, 3), 0.95), ((5, 5), 0.95), ((2, 5), 0.94)], ids=str)
def test_the_interval_of_a_difference_covers_the_truth(world, seeds, least):
    assert coverage_of_differences(world, seeds, runs=300) > least - three_errors(least, 300)


@worlds
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_of_an_accuracy_covers_the_truth(world, seeds):
    assert coverage_of_accuracies(world, seeds, runs=300) > 0.95 - three_errors(0.95, 300)


@worlds
def test_intervals_of_eight_seeds_are_not_wider_than_they_need_be(world):
    assert coverage_of_differences(world, (8, 8), runs=300) < 0.97 + three_errors(0.97, 300)
    assert coverage_of_accuracies(world, 8, runs=300) < 0.97 + three_errors(0.97, 300)


def test_one_seeds_interval_covers_that_networks_accuracy_and_not_the_familys():
    world = WORLDS["seeds"]
    rng = np.random.default_rng(0)
    of_network, of_family = [], []
    for _ in range(500):
        luck = rng.normal(0, world.seed)
        (rows,) = World(seed=0.0).draw(rng, [(SKILL + luck, 1)])
        estimate = estimate_accuracy(rows)
        of_network.append(estimate.low <= world.accuracy(SKILL + luck, of_seed=True) <= estimate.high)
        of_family.append(estimate.low <= world.accuracy(SKILL) <= estimate.high)
    assert np.mean(of_network) == pytest.approx(0.95, abs=three_errors(0.95, 500))
    assert np.mean(of_family) < 0.8


@worlds
def test_equal_families_are_established_to_differ_in_at_most_5_percent_of_comparisons(world):
    assert family_wise_errors(world, seeds=3, families=4, runs=100) <= 0.05 + three_errors(0.05, 100)


@worlds
def test_families_that_differ_by_the_margin_are_called_equivalent_in_at_most_5_percent(world):
    margin = 0.05
    rng = np.random.default_rng(0)
    families = [(world.skill(0.9), 5), (world.skill(0.9 - margin), 5)]
    p_values = [compare_families(*world.draw(rng, families)).equivalence_p_value(margin) for _ in range(500)]
    rate = np.mean(np.array(p_values) < 0.05)
    assert 0.01 < rate <= 0.05 + three_errors(0.05, 500)


def test_a_difference_of_three_points_is_established_in_most_comparisons():
    world = World(seed=0.05, images=2_000)
    rng = np.random.default_rng(0)
    skills = [world.skill(accuracy) for accuracy in (0.85, 0.85, 0.82)]
    found = 0
    for _ in range(50):
        first, second, worse = world.draw(rng, [(skill, 5) for skill in skills])
        pairs = compare_all({"first": first, "second": second, "worse": worse})
        found += pairs.pair("first", "worse").verdict is Verdict.ESTABLISHED
    assert found > 40


def true_comparison(world: World, accuracies: tuple[float, float], *, seeds: int) -> Comparison:
    """A comparison as it would be without luck: the mean of many."""
    rng = np.random.default_rng(1)
    families = [(world.skill(accuracy), seeds) for accuracy in accuracies]
    drawn = [compare_families(*world.draw(rng, families)) for _ in range(20)]
    pairs = [comparison.training for comparison in drawn if comparison.training is not None]
    return Comparison(
        difference=accuracies[0] - accuracies[1],
        seeds=(seeds, seeds),
        images=world.images,
        training=(mean_luck([first for first, _ in pairs]), mean_luck([second for _, second in pairs])),
        image_variance=float(np.mean([comparison.image_variance for comparison in drawn])),
    )


def mean_luck(lucks: list[TrainingLuck]) -> TrainingLuck:
    """The mean of what many experiments estimate."""
    variance, flips = np.mean([(luck.variance, luck.flips) for luck in lucks], axis=0).tolist()
    return TrainingLuck(variance=variance, flips=flips)


@pytest.mark.parametrize("world", [World(seed=0.1, images=1_000), World(seed=0.5)], ids=["flips", "seeds"])
def test_the_seeds_said_to_be_needed_settle_four_pairs_in_five(world):
    accuracies, pairs, runs = (0.85, 0.80), 3, 200
    needed = seeds_needed(true_comparison(world, accuracies, seeds=30), pairs=pairs)
    assert needed.verdict is Verdict.ESTABLISHED
    assert needed.seeds is not None

    def power(seeds: int) -> float:
        rng = np.random.default_rng(2)
        families = [(world.skill(accuracy), seeds) for accuracy in accuracies]
        p_values = [compare_families(*world.draw(rng, families)).p_value for _ in range(runs)]
        return float(np.mean(np.array(p_values) < 0.05 / pairs))

    assert power(needed.seeds) > 0.8 - three_errors(0.8, runs)
    assert power(max(2, needed.seeds // 2)) < 0.8


@pytest.mark.slow
@worlds
def test_seven_families_of_three_seeds_are_told_apart_wrongly_in_at_most_5_percent_of_comparisons(world):
    assert family_wise_errors(world, seeds=3, families=7, runs=500) <= 0.05 + three_errors(0.05, 500)


@pytest.mark.slow
@worlds
@pytest.mark.parametrize(("seeds", "least"), [((2, 2), 0.95), ((3, 3), 0.95), ((5, 5), 0.95), ((2, 5), 0.94)], ids=str)
def test_intervals_cover_the_truth_on_two_thousand_images(world, seeds, least):
    larger = replace(world, images=2_000)
    assert coverage_of_differences(larger, seeds, runs=1_000) > least - three_errors(least, 1_000)
    assert coverage_of_accuracies(larger, seeds[0], runs=1_000) > 0.94 - three_errors(0.94, 1_000)
