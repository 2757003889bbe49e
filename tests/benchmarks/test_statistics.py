"""Each number of the statistics against an independent one: another library, a bootstrap, a count by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from benchmarks.statistics.accuracy import estimate_accuracy
from benchmarks.statistics.comparison import Comparison, compare_families
from benchmarks.statistics.crossed import TrainingLuck
from benchmarks.statistics.networks import compare_networks
from benchmarks.statistics.ranks import rank_families
from benchmarks.statistics.seeds_needed import MOST_SEEDS, seeds_needed
from benchmarks.statistics.verdicts import Verdict, compare_all
from jax_models.errors import UsageError

IMAGES = 10_000


def draw_family(rng, *, seeds: int, rates: np.ndarray, seed_std: float = 0.0) -> np.ndarray:
    """Answers of a family that is right on each image at its rate, shifted by each seed's luck."""
    shifts = rng.normal(0, seed_std, (seeds, 1))
    return rng.random((seeds, rates.size)) < np.clip(rates + shifts, 0, 1)


def make_luck(variance: float) -> tuple[TrainingLuck, TrainingLuck]:
    """Two families' equal luck of training, half of it by flips of single images."""
    return (TrainingLuck(variance=variance, flips=variance / 2),) * 2


def make_comparison(**changes) -> Comparison:
    """Five seeds a side, of which one varies by 0.2 points, and images that leave 0.05 points."""
    usual = Comparison(difference=0.002, seeds=(5, 5), images=IMAGES, training=make_luck(4e-6), image_variance=2.5e-7)
    return replace(usual, **changes)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_one_seed_has_wilsons_interval_and_says_that_training_is_not_in_it(rng):
    correct = rng.random((1, IMAGES)) < 0.9
    estimate = estimate_accuracy(correct)
    wilson = stats.binomtest(int(correct.sum()), IMAGES).proportion_ci(0.95, method="wilson")
    assert (estimate.low, estimate.high) == pytest.approx((wilson.low, wilson.high))
    assert estimate.std is None


def test_more_seeds_have_a_spread_and_an_interval_that_counts_it(rng):
    rates = rng.beta(4, 1, IMAGES)
    correct = draw_family(rng, seeds=5, rates=rates, seed_std=0.005)
    estimate = estimate_accuracy(correct)
    assert estimate.mean == pytest.approx(correct.mean())
    assert estimate.std == pytest.approx(np.std(correct.mean(1), ddof=1))
    spread_alone = stats.t.interval(0.95, 4, loc=correct.mean(), scale=stats.sem(correct.mean(1)))
    assert estimate.low < spread_alone[0]
    assert estimate.high > spread_alone[1]


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_an_interval_near_100_percent_stays_inside_the_possible(seeds):
    correct = np.full((seeds, IMAGES), True)
    assert estimate_accuracy(correct).high <= 1
    assert estimate_accuracy(correct).low > 0.999
    correct[:, :3] = False
    assert 0.999 < estimate_accuracy(correct).low < 0.9997 < estimate_accuracy(correct).high < 1


def test_the_variance_is_that_of_a_bootstrap_over_seeds_and_images_less_what_it_counts_too_often(rng):
    difficulty = rng.beta(2, 1, 600)
    families = [draw_family(rng, seeds=seeds, rates=difficulty, seed_std=0.03) for seeds in (20, 25)]
    comparison = compare_families(*families)
    weights = rng.multinomial(600, np.full(600, 1 / 600), 4_000) / 600
    first, second = (
        np.einsum("rs,rs->r", rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), 4_000), weights @ rows.T)
        / len(rows)
        for rows in families
    )
    residuals = sum((rows.var(0, ddof=1).mean() - rows.mean(1).var(ddof=1)) / 600 / len(rows) for rows in families)
    assert np.var(first - second) > comparison.variance
    assert np.var(first - second) - 2 * residuals == pytest.approx(comparison.variance, rel=0.1)


def test_p_value_and_interval_agree(rng):
    p_values = []
    for _ in range(300):
        first, second = (draw_family(rng, seeds=3, rates=np.full(200, rate), seed_std=0.01) for rate in (0.9, 0.84))
        comparison = compare_families(first, second)
        low, high = comparison.interval
        assert (comparison.p_value < 0.05) == (low > 0 or high < 0)
        p_values.append(comparison.p_value)
    assert 0.1 < np.mean(np.array(p_values) < 0.05) < 0.9, "both cases occur"


def test_families_are_paired_over_images_and_not_over_seeds(rng):
    rates = rng.beta(0.5, 0.2, 2_000)
    first, second = draw_family(rng, seeds=3, rates=rates), draw_family(rng, seeds=4, rates=rates)
    comparison = compare_families(first, second)
    of_other_seeds = compare_families(first, second[::-1])
    of_other_images = compare_families(first, second[:, rng.permutation(2_000)])
    assert of_other_seeds.interval == pytest.approx(comparison.interval)
    assert of_other_images.variance > 1.5 * comparison.variance
    assert compare_families(second, first).interval == pytest.approx(tuple(-end for end in comparison.interval)[::-1])


def test_one_seed_on_a_side_leaves_only_the_luck_of_the_images(rng):
    rates = rng.beta(4, 1, 2_000)
    many, one = draw_family(rng, seeds=5, rates=rates), draw_family(rng, seeds=1, rates=rates)
    comparison = compare_families(many, one)
    assert not comparison.counts_training
    assert compare_families(many, many[:2]).counts_training
    assert comparison.standard_error == pytest.approx(stats.sem(many.mean(0) - one[0]), rel=1e-2)
    assert comparison.degrees_of_freedom == pytest.approx(1_999)


def test_identical_networks_do_not_differ_and_are_equivalent_once_there_are_enough_images():
    correct = np.arange(IMAGES) % 10 > 0
    comparison = compare_families(correct[None], correct[None])
    assert comparison.p_value == 1
    assert comparison.equivalence_p_value(0.003) < 0.001
    few = compare_families(correct[None, :100], correct[None, :100])
    assert few.equivalence_p_value(0.003) > 0.05, "of 100 images none says what happens on one in 300"


def test_mcnemars_table_is_counted_as_by_hand():
    first, second = np.full((1, 100), True), np.full((1, 100), True)
    first[0, :3], second[0, 3:15] = False, False
    (pair,) = compare_networks(first, second)
    assert (pair.only_first, pair.only_second) == (12, 3)
    assert pair.p_value == pytest.approx(2 * sum(math.comb(15, k) for k in range(4)) / 2**15)
    assert pair.differ


def test_with_one_seed_a_side_the_comparison_says_what_mcnemars_test_says(rng):
    for _ in range(20):
        rates = rng.beta(4, 1, 5_000)
        first, second = draw_family(rng, seeds=1, rates=rates), draw_family(rng, seeds=1, rates=rates)
        (pair,) = compare_networks(first, second)
        assert compare_families(first, second).p_value == pytest.approx(pair.p_value, abs=0.04)


def test_networks_are_paired_seed_by_seed_and_the_pairs_that_differ_counted(rng):
    good, bad = np.full(500, 0.95), np.full(500, 0.7)
    first = draw_family(rng, seeds=5, rates=good)
    second = np.concatenate([first[:1], draw_family(rng, seeds=2, rates=bad)])
    pair = compare_all({"good": first, "mixed": second}).pair("good", "mixed")
    assert len(pair.networks) == 3
    assert pair.networks[0].p_value == 1
    assert pair.differing_networks == 2


def test_verdicts_tell_a_difference_an_equivalence_and_neither(rng):
    easy, hard, noisy = np.full(IMAGES, 0.999), np.full(IMAGES, 0.95), np.full(IMAGES, 0.94)
    families = {
        "bad": draw_family(rng, seeds=5, rates=hard),
        "good": draw_family(rng, seeds=5, rates=easy),
        "as good": draw_family(rng, seeds=4, rates=easy),
        "unsteady": draw_family(rng, seeds=3, rates=noisy, seed_std=0.03),
    }
    found = compare_all(families)
    assert len(found.pairs) == 6
    assert found.pair("good", "bad").verdict is Verdict.ESTABLISHED
    assert found.pair("as good", "good").verdict is Verdict.EQUIVALENT
    assert found.pair("unsteady", "bad").verdict is Verdict.NOT_DISTINGUISHED
    assert found.best in ("good", "as good")
    (other,) = {"good", "as good"} - {found.best}
    assert other in found.not_distinguished_from_best, "an equivalent family is not distinguished from the best"
    assert "bad" not in found.not_distinguished_from_best


def test_a_difference_that_is_real_and_small_is_established_and_within_the_margin():
    second = np.full((2, IMAGES), True)
    first = second.copy()
    second[:, :15] = False  # 0.15 points on 15 images, always the same ones
    pair = compare_all({"first": first, "second": second}).pair("first", "second")
    assert pair.verdict is Verdict.ESTABLISHED
    assert pair.within_margin


def test_p_values_are_corrected_for_the_number_of_pairs(rng):
    families = {str(i): draw_family(rng, seeds=3, rates=np.full(1_000, 0.9), seed_std=0.01) for i in range(5)}
    pairs = compare_all(families).pairs
    smallest = min(pairs, key=lambda pair: pair.comparison.p_value)
    assert smallest.adjusted_p == pytest.approx(min(1, 10 * smallest.comparison.p_value))
    assert all(pair.adjusted_p >= pair.comparison.p_value for pair in pairs)


def test_one_family_has_no_pairs_and_is_the_best(rng):
    found = compare_all({"only": draw_family(rng, seeds=2, rates=np.full(100, 0.9))})
    assert (found.pairs, found.best, found.not_distinguished_from_best) == ((), "only", ())


@pytest.mark.parametrize("shapes", [((2, 100), (2, 90)), ((2, 100), (0, 100)), ((2, 1), (2, 1))])
def test_families_of_other_images_or_without_seeds_are_refused_in_a_line(shapes):
    families = {str(i): np.full(shape, True) for i, shape in enumerate(shapes)}
    with pytest.raises(UsageError, match=r"test images"):
        compare_all(families)


def test_seeds_needed_are_those_of_the_textbook_where_images_leave_no_doubt():
    no_flips = (TrainingLuck(variance=1e-4, flips=0.0),) * 2
    comparison = make_comparison(difference=0.01, training=no_flips, image_variance=1e-14)
    textbook = TTestIndPower().solve_power(effect_size=1.0, alpha=0.05 / 21, power=0.8)
    needed = seeds_needed(comparison, pairs=21)
    assert needed.seeds == pytest.approx(textbook, abs=1), "the textbook pools the two variances"
    assert needed.verdict is Verdict.ESTABLISHED
    assert needed.reason is None


def test_equal_looking_families_need_seeds_to_be_found_equivalent():
    needed = seeds_needed(make_comparison(difference=0.0), pairs=21)
    assert needed.verdict is Verdict.EQUIVALENT
    unsteady = seeds_needed(make_comparison(difference=0.0, training=make_luck(8e-6)), pairs=21)
    assert None not in (needed.seeds, unsteady.seeds)
    assert unsteady.seeds > 1.7 * needed.seeds


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"training": None, "seeds": (1, 5)}, "one seed"),
        ({"image_variance": 1e-6}, "test images"),
        ({"training": make_luck(1e-3)}, f"more than {MOST_SEEDS} seeds"),
    ],
)
def test_where_no_number_of_seeds_settles_a_pair_the_reason_is_given(changes, reason):
    needed = seeds_needed(make_comparison(**changes), pairs=21)
    assert (needed.seeds, needed.verdict) == (None, None)
    assert needed.reason is not None
    assert reason in needed.reason


def make_ranking(*columns: list[float]):
    return rank_families(
        {str(i): dict(zip("abcdefg", map(float, column), strict=False)) for i, column in enumerate(columns)}
    )


def test_critical_differences_are_those_of_demsars_table():
    assert make_ranking(*[[1, 2, 3, 4, 5, 6, 7]] * 3).critical_difference == pytest.approx(
        2.949 * math.sqrt(7 * 8 / (6 * 3)), abs=5e-3
    )
    assert make_ranking(*[[1, 2, 3, 4]] * 14).critical_difference == pytest.approx(
        2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=2e-3
    )


def test_families_are_ranked_on_each_data_set_and_ties_share_their_ranks():
    ranking = make_ranking([0.9, 0.8, 0.8], [0.5, 0.7, 0.6])
    assert ranking.average_ranks == {"b": 1.75, "a": 2.0, "c": 2.25}
    assert list(ranking.average_ranks) == ["b", "a", "c"]


def test_three_data_sets_tell_at_most_the_ends_of_seven_families_apart():
    ranking = make_ranking(*[[7, 6, 5, 4, 3, 2, 1]] * 3)
    assert ranking.friedman_p == pytest.approx(stats.chi2.sf(18, 6))
    assert ranking.apart == (("a", "g"),)
    assert "a before g." in ranking.conclusion
    assert "3 data sets" in ranking.conclusion


def test_ranks_that_differ_somewhere_without_a_pair_apart_name_nobody():
    ranking = make_ranking([7, 6, 5, 4, 3, 2, 1], [6, 7, 5, 4, 3, 1, 2], [6, 5, 7, 4, 1, 2, 3])
    assert ranking.friedman_p is not None
    assert ranking.friedman_p < 0.05
    assert ranking.apart == ()
    assert "do not show which" in ranking.conclusion


@pytest.mark.parametrize(
    ("columns", "p_value"), [([[1, 2, 3], [3, 1, 2], [2, 3, 1]], 1.0), ([[5, 5, 5]], 1.0), ([[3, 2, 1]], 0.37)]
)
def test_ranks_that_luck_explains_show_nothing(columns, p_value):
    ranking = make_ranking(*columns)
    assert ranking.friedman_p == pytest.approx(p_value, abs=0.005)
    assert ranking.apart == ()
    assert "do not show that any family differs" in ranking.conclusion


def test_two_families_have_no_friedman_test():
    ranking = make_ranking([1, 2], [1, 2], [1, 2])
    assert ranking.friedman_p is None
    assert "no more than their accuracies" in ranking.conclusion


def test_a_family_that_lacks_a_data_set_cannot_be_ranked():
    with pytest.raises(UsageError, match="same families"):
        rank_families({"mnist": {"a": 0.9, "b": 0.8}, "cifar10": {"a": 0.7}})
