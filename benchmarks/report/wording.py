"""Numbers and findings in words, the same in the terminal, in Markdown and in HTML."""

from collections.abc import Iterable, Sequence
from math import floor, isnan, log10

from benchmarks.analysis.estimate import Estimate
from benchmarks.report.groups import Group, dataset_title, model_title
from benchmarks.report.summary import Summary, Sweep
from benchmarks.statistics.verdicts import EQUIVALENCE_MARGIN, LEVEL, Verdict

DASH = "–"


def percent(estimate: Estimate, *, spread: bool = True) -> str:
    """An accuracy-like estimate in percent: "99.31", or "99.31 ± 0.05"; one seed's unknown spread is a dash."""
    if not spread:
        return f"{100 * estimate.mean:.2f}"
    return f"{100 * estimate.mean:.2f} ± {DASH if estimate.std is None else f'{100 * estimate.std:.2f}'}"


def interval(group: Group) -> str:
    """The accuracy's 95 % interval in percent: "99.12–99.45"."""
    low, high = group.interval
    return f"{100 * low:.2f}–{100 * high:.2f}"


def std(estimate: Estimate, *, scale: int = 1, digits: int = 2) -> str:
    """The spread alone, a dash for one seed."""
    return DASH if estimate.std is None else f"{scale * estimate.std:.{digits}f}"


def points(fraction: float) -> str:
    """An accuracy difference in percentage points with as many digits as it deserves: "0.16", "1.0"."""
    return f"{100 * fraction:.{1 if fraction >= 0.00995 else 2}f}"


def quantity(value: float) -> str:
    """Three significant digits with a metric suffix: 62006 is "62.0k", 20827442 "20.8M"; NaN is a dash."""
    if isnan(value):
        return DASH
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * factor:
            return _three_digits(value / factor) + suffix
    return _three_digits(value)


def _three_digits(value: float) -> str:
    if value <= 0:
        return f"{value:g}"
    return f"{value:.{max(0, 2 - floor(log10(value * 1.0005)))}f}"


def ratio(value: float) -> str:
    """How many times a cost: "×1.25"; NaN is a dash."""
    return DASH if isnan(value) else f"×{value:.2f}"


def whole(value: float) -> str:
    """A count without digits after the point: "1,763"."""
    return DASH if isnan(value) else f"{value:,.0f}"


def megaflops(value: float) -> str:
    """Millions of floating-point operations, three significant digits."""
    return DASH if isnan(value) else _three_digits(value / 1e6)


def duration(seconds: float) -> str:
    """ "48 s", "3 min 05 s", "2 h 07 min"."""
    if isnan(seconds):
        return DASH
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def memory(size: float) -> str:
    """Bytes as MiB or GiB."""
    if isnan(size):
        return DASH
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def span(texts: Iterable[str]) -> str:
    """Every different text once, in the order of their first appearance, joined by "and"."""
    return names(list(dict.fromkeys(texts)))


def names(titles: Sequence[str]) -> str:
    """ "A", "A and B", "A, B and C"; nothing for none."""
    if not titles:
        return ""
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"


def seeds(counts: Sequence[int]) -> str:
    """The numbers of seeds per cell in words: "one seed", "3 seeds", "1 to 3 seeds"."""
    low, high = min(counts), max(counts)
    if high == 1:
        return "one seed"
    return f"{high} seeds" if low == high else f"{low} to {high} seeds"


def largest_cost(sweep: Sweep, model: str, *, cost: str) -> float:
    """A cost of one model on the data set where it is highest: the first layer is wider for colour images."""
    return max(group.cost(cost) for group in sweep.of_model(model))


def total_train_seconds(sweep: Sweep, model: str) -> str:
    """Training time of one seed on all data sets together; a dash where one of them is missing."""
    groups = sweep.of_model(model)
    return duration(sum(g.cost("train_seconds") for g in groups)) if len(groups) == len(sweep.datasets) else DASH


def best_line(sweep: Sweep, dataset: str) -> str:
    """One sentence naming the best model with its accuracy, n and the size of the test set."""
    best = sweep.leader(dataset).best
    value = percent(best.estimate("accuracy"), spread=best.n > 1)
    size = f"{seeds([best.n])}, {best.test_images:,} test images"
    return f"Best on {dataset_title(dataset)}: {best.title}, {value} % ({size})."


def caution_line(sweep: Sweep, dataset: str) -> str:
    """Who is not distinguished from the best, by which test, and who comes next if nobody is."""
    leader = sweep.leader(dataset)
    if not leader.close and leader.runner_up is None:
        return "No other family ran on it."
    if leader.margin is None:
        return _tested(sweep, dataset)
    counts = seeds([group.n for group in sweep.ranked(dataset)])
    limit = f"With {counts}, differences below about {points(leader.margin)} points are not distinguished"
    if leader.close:
        return f"{limit}, so {names([_with_accuracy(group) for group in leader.close])} may be as good."
    assert leader.runner_up is not None
    return f"{limit}; no family comes that close, next is {_with_accuracy(leader.runner_up)}."


def _tested(sweep: Sweep, dataset: str) -> str:
    leader, comparison = sweep.leader(dataset), sweep.comparisons[dataset]
    one_seed = not all(pair.comparison.counts_training for pair in comparison.pairs)
    scope = " This is about these trained networks: one seed is silent about the luck of training." if one_seed else ""
    if not leader.close:
        assert leader.runner_up is not None
        return f"Every other family is established to be worse, next is {_with_accuracy(leader.runner_up)}.{scope}"
    equivalent = [g for g in leader.close if comparison.pair(leader.best.model, g.model).verdict is Verdict.EQUIVALENT]
    open_ones = [group for group in leader.close if group not in equivalent]
    parts = []
    if open_ones:
        parts.append(f"Not distinguished from it: {names([_with_accuracy(group) for group in open_ones])}.")
    if equivalent:
        parts.append(f"Equivalent within {MARGIN} points: {names([_with_accuracy(group) for group in equivalent])}.")
    return " ".join(parts) + scope


def _with_accuracy(group: Group) -> str:
    return f"{group.title} ({percent(group.estimate('accuracy'), spread=False)})"


MARGIN = f"{100 * EQUIVALENCE_MARGIN:g}"  # in points
TEST_NOTE = (
    "Tests compare families on the same test images and count {luck}; Holm's correction keeps the chance of any wrong "
    f"“established” among all pairs of a data set at {100 * LEVEL:.0f} %. Equivalent: the difference is established to "
    f"be below {MARGIN} points (two one-sided tests, corrected likewise)."
)
MARGIN_NOTE = (
    "Not distinguished: closer to the best than the 95 % binomial interval for a difference of two accuracies on that "
    "many test images; with more than one seed the interval is widened by their spread. It is not a paired test, which "
    "needs the predictions of all families on the same data, and one seed does not measure the luck of training."
)


def method_note(sweep: Sweep) -> str:
    """How it was decided who is distinguished."""
    tested = sweep.comparisons.values()
    counts = all(pair.comparison.counts_training for one in tested for pair in one.pairs)
    luck = "the luck of training as well as that of the images" if counts else "the luck of the images, not of training"
    notes = [TEST_NOTE.format(luck=luck)] if tested else []
    if len(tested) < len(sweep.datasets):
        where = names([dataset_title(dataset) for dataset in sweep.datasets if dataset not in sweep.comparisons])
        notes.append(f"On {where}, without tests: {MARGIN_NOTE[0].lower()}{MARGIN_NOTE[1:]}" if notes else MARGIN_NOTE)
    return " ".join(notes)


def ranks_line(sweep: Sweep) -> str | None:
    """Average ranks over the data sets and what they allow to say; None where families or data sets are missing."""
    ranking = sweep.ranking
    if ranking is None or ranking.datasets < 2:
        return None
    ranks = ", ".join(f"{title} {rank:.1f}" for title, rank in ranking.average_ranks.items())
    return f"Average ranks (N = {ranking.datasets} data sets): {ranks}. {ranking.conclusion}"


def headline(summary: Summary) -> str:
    """A title for the whole report: "Seven CNN families on MNIST, FashionMNIST and CIFAR-10"."""
    models = list(dict.fromkeys(model for sweep in summary.sweeps for model in sweep.models))
    datasets = list(dict.fromkeys(dataset for sweep in summary.sweeps for dataset in sweep.datasets))
    if not models:
        return "No finished cell"
    words = ("", model_title(models[0]), "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
    count = words[len(models)] if len(models) < len(words) else str(len(models))
    families = "" if len(models) == 1 else " CNN families"
    return f"{count}{families} on {names([dataset_title(dataset) for dataset in datasets])}"


def device(row: dict) -> str:
    """The machine in a few words: "Intel Xeon 2.20 GHz, 2 cores" or "1 × NVIDIA H100"."""
    facts = row.get("device") or {}
    if facts.get("platform") != "cpu":
        return f"{facts.get('count', '?')} × {facts.get('kind') or facts.get('platform') or 'unknown device'}"
    cores = facts.get("cores")
    return f"{facts.get('cpu') or 'CPU'}, {cores} {'core' if cores == 1 else 'cores'}"


def provenance(rows: Sequence[dict]) -> str:
    """Devices, commits and JAX versions of some rows in one line."""
    devices = span(device(row) for row in rows)
    commits = span((row.get("commit") or "unknown")[:12] for row in rows)
    versions = span((row.get("versions") or {}).get("jax", "?") for row in rows)
    return f"{devices}; commit {commits}; jax {versions}"
