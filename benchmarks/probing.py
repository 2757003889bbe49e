"""Runs the probes on a folder's stored weights, the lowest seed of each family, and keeps what they find there."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.derived import add_derived, image_text
from benchmarks.probes.attacks import attacked_accuracy
from benchmarks.probes.classifier import Classifier
from benchmarks.probes.robustness import corrupt_all, corrupted_accuracy, fixed_test_images
from benchmarks.probes.saliency import saliency_gallery
from benchmarks.report.groups import Group
from benchmarks.report.summary import Summary, Sweep
from benchmarks.run_files import load_classifier
from jax_models.compilation import use_compilation_cache
from jax_models.data import Dataset, Split, load_dataset
from jax_models.data.batches import pad_to_image_size
from jax_models.evaluation import predict_probabilities

IMAGES = 1000  # for corruptions and attacks: the same ones for every family
CLASSES_SHOWN = 5  # for saliency: one image of each
MOST_EXAMPLES = 8
CALLS = 300  # of which the latency is the median


def probe(
    summary: Summary,
    out: Path,
    names: Sequence[str],
    *,
    data_dir: Path | None,
    console: Console,
    again: bool = False,
) -> None:
    """Runs the named probes; each result is kept as soon as it is there, and runs `again` only if that is asked for.

    Raises:
        RunError: weights or data are not there, or a result cannot be written.
    """
    use_compilation_cache()
    for sweep in summary.sweeps:
        for name in sweep.datasets:
            dataset = load_dataset(name, data_dir=data_dir)
            for one in names:
                if one in OF_A_NETWORK:
                    _of_each_network(one, sweep, dataset, out=out, console=console, again=again)
                else:
                    _of_all_together(one, sweep, dataset, out=out, console=console, again=again)


def _of_each_network(name: str, sweep: Sweep, dataset: Dataset, *, out: Path, console: Console, again: bool) -> None:
    todo = [group for group in sweep.ranked(dataset.spec.name) if again or group.probe(name) is None]
    measure = OF_A_NETWORK[name](dataset) if todo else None
    for group in todo:
        assert measure is not None
        started = time.monotonic()
        add_derived(out, name, group.rows[0], measure(_classifier(out, group, dataset)))
        _tell(console, name, f"{group.title} on {dataset.spec.title}", since=started)


def _of_all_together(name: str, sweep: Sweep, dataset: Dataset, *, out: Path, console: Console, again: bool) -> None:
    """A gallery is kept with the best family's row, and says of which networks it is."""
    started = time.monotonic()
    if again or sweep.gallery(name, dataset.spec.name) is None:
        found = OF_ALL_TOGETHER[name](sweep, dataset, out)
        best = sweep.ranked(dataset.spec.name)[0].rows[0]
        add_derived(out, name, best, {"networks": sweep.networks(name, dataset.spec.name), **found})
        _tell(console, name, dataset.spec.title, since=started)


def _sample(dataset: Dataset) -> Split:
    """`IMAGES` test images, or nearly all of a smaller test split."""
    return fixed_test_images(dataset, min(IMAGES, len(dataset.test) - len(dataset.spec.classes)))


def _robustness(dataset: Dataset) -> Callable[[Classifier], dict[str, Any]]:
    sample = _sample(dataset)
    corrupted = corrupt_all(sample.images)
    return lambda classifier: corrupted_accuracy(classifier, sample, corrupted)


def _attacks(dataset: Dataset) -> Callable[[Classifier], dict[str, Any]]:
    sample = _sample(dataset)
    return lambda classifier: attacked_accuracy(classifier, sample)


def _latency(dataset: Dataset) -> Callable[[Classifier], dict[str, Any]]:
    image = pad_to_image_size(dataset.test.images[:1])

    def measure(classifier: Classifier) -> dict[str, Any]:
        arguments = (classifier.network, classifier.params, classifier.batch_stats)
        seconds = []
        for _ in range(CALLS):
            started = time.perf_counter()
            predict_probabilities(*arguments, images=image, spec=classifier.spec, batch_size=1)
            seconds.append(time.perf_counter() - started)
        return {"milliseconds": 1e3 * statistics.median(seconds), "calls": CALLS}

    return measure


def _saliency(sweep: Sweep, dataset: Dataset, out: Path) -> dict[str, Any]:
    groups = [group for model in sweep.models if (group := sweep.get(model, dataset.spec.name))]
    sample = fixed_test_images(dataset, len(dataset.spec.classes))  # one image of each class
    sheet = saliency_gallery([_classifier(out, group, dataset) for group in groups], sample.images[:CLASSES_SHOWN])
    return {
        "models": [group.model for group in groups],
        "labels": [dataset.spec.classes[label] for label in sample.labels[:CLASSES_SHOWN]],
        "sheet": image_text(sheet),
    }


def _examples(sweep: Sweep, dataset: Dataset, out: Path) -> dict[str, Any]:
    hard = sweep.hard_examples.get(dataset.spec.name)
    examples = hard.examples[:MOST_EXAMPLES] if hard else ()
    return {"images": {str(example.index): image_text(dataset.test.images[example.index]) for example in examples}}


OF_A_NETWORK: dict[str, Callable[[Dataset], Callable[[Classifier], dict[str, Any]]]] = {
    "robustness": _robustness,
    "attacks": _attacks,
    "latency": _latency,
}
OF_ALL_TOGETHER: dict[str, Callable[[Sweep, Dataset, Path], dict[str, Any]]] = {
    "saliency": _saliency,
    "examples": _examples,
}


def _classifier(out: Path, group: Group, dataset: Dataset) -> Classifier:
    return Classifier.of(load_classifier(out, group.rows[0]), dataset.spec)


def _tell(console: Console, name: str, of: str, *, since: float) -> None:
    console.print(f"{name}: {of}, {time.monotonic() - since:.0f} s", highlight=False, soft_wrap=True)
