"""Training and judging image classifiers: what `fit` and `evaluate` promise, on one device and on eight."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from flax import nnx
from sklearn import metrics as sklearn_metrics

from jax_models import create_model
from jax_models.classification import FitResult, TrainingData, fit, make_train_step
from jax_models.data import Dataset, Split
from jax_models.errors import RunError, UsageError
from jax_models.evaluation import Evaluation, evaluate
from jax_models.recipes import Recipe
from jax_models.resnet import ResNet
from jax_models.training.loop import Diverged
from jax_models.training.metrics import MetricSums
from jax_models.training.optim import make_optimizer
from jax_models.training.state import create_state, take_apart

ROOT = Path(__file__).resolve().parents[2]
RUN = toy.config(epochs=5, crop_padding=2)


def weights(fitted: FitResult) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(fitted.model))]


def same(first: FitResult, second: FitResult) -> bool:
    return all((a == b).all() for a, b in zip(weights(first), weights(second), strict=True))


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return toy.dataset()


@pytest.fixture(scope="module")
def fitted(dataset) -> FitResult:
    return fit(RUN, dataset)


def test_lenet5_learns_the_toy_data(fitted):
    assert [record.epoch for record in fitted.history] == [1, 2, 3, 4, 5]
    assert fitted.history[-1].train_accuracy > 0.9
    assert fitted.history[-1].validation_accuracy > 0.9
    assert fitted.history[-1].train_loss < fitted.history[0].train_loss
    assert evaluate(fitted.model, toy.split(50), toy.SPEC, batch_size=5).metrics["accuracy"] > 0.9


def test_the_returned_model_is_the_one_that_the_last_epoch_was_judged_with(dataset, fitted):
    validation = evaluate(fitted.model, dataset.validation, toy.SPEC)
    assert validation.metrics["loss"] == pytest.approx(fitted.history[-1].validation_loss, rel=1e-5)


def test_training_does_not_open_the_test_split(dataset, fitted):
    assert fitted.history
    with pytest.raises(AssertionError, match="opened"):
        _ = dataset.test


def test_costs_are_counted(fitted):
    assert fitted.num_params == sum(leaf.size for leaf in weights(fitted))
    assert fitted.train_seconds == pytest.approx(sum(record.seconds for record in fitted.history))
    assert fitted.images_per_second == pytest.approx(18 / (fitted.step_ms / 1e3))
    assert fitted.compile_seconds > 0


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_seed_others(dataset, fitted):
    again, other = (fit(dataclasses.replace(RUN, seed=seed), dataset) for seed in (0, 1))
    assert same(fitted, again)
    assert toy.losses(fitted.history) == toy.losses(again.history)
    assert not same(fitted, other)


def test_averaging_changes_the_weights_that_are_judged_and_not_the_training(dataset, fitted):
    averaged = fit(toy.config(epochs=5, crop_padding=2, ema_decay=0.9), dataset)
    train_losses = [[record.train_loss for record in result.history] for result in (fitted, averaged)]
    assert train_losses[0] == pytest.approx(train_losses[1], rel=1e-3)
    assert not same(fitted, averaged)
    assert fitted.history[0].validation_loss != pytest.approx(averaged.history[0].validation_loss, rel=1e-3)


def test_progress_counts_every_step(dataset):
    steps = []
    fit(RUN, dataset, on_step=lambda done, total: steps.append((done, total)))
    assert steps == [(done, 30) for done in range(1, 31)]


@pytest.mark.parametrize("batch_size", [54, toy.TRAIN])
def test_a_run_that_diverges_says_so_in_one_line(dataset, batch_size):
    """With one step an epoch the loss is still finite when the weights no longer are."""
    with pytest.raises(Diverged) as error:
        fit(toy.config(peak_learning_rate=1e30, batch_size=batch_size), dataset)
    assert isinstance(error.value, RunError)
    assert "lower the peak learning rate" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_batch_larger_than_the_data_is_a_usage_error():
    with pytest.raises(UsageError, match="batch size 109 is larger than the 108 training images"):
        fit(toy.config(batch_size=109), toy.dataset())


def untrained_model() -> nnx.Module:
    return create_model("lenet5", num_classes=4, in_channels=1, preset="quick")


def hard_split() -> Split:
    """23 images whose labels are mostly wrong, so that every score is between 0 and 1."""
    images, _ = toy.draw(23)
    return Split(images, np.random.default_rng(0).integers(0, 4, 23).astype(np.int32))


@pytest.fixture(scope="module")
def evaluation(fitted) -> Evaluation:
    return evaluate(fitted.model, hard_split(), toy.SPEC, batch_size=5)


def test_probabilities_are_the_models_own_on_the_padded_and_normalised_images():
    model, split = untrained_model(), hard_split()
    probabilities = evaluate(model, split, toy.SPEC, batch_size=5).probabilities
    padded = np.pad(split.images, ((0, 0), (2, 2), (2, 2), (0, 0))).astype(np.float32)
    model.eval()
    logits = np.asarray(model(jax.numpy.asarray((padded / 255 - toy.SPEC.mean[0]) / toy.SPEC.std[0])))
    assert np.allclose(probabilities, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=1e-5)


def test_evaluation_drops_no_example_and_does_not_depend_on_the_batch_size(fitted, evaluation):
    assert evaluation.probabilities.shape == (23, 4)
    other = evaluate(fitted.model, hard_split(), toy.SPEC)
    assert np.allclose(other.probabilities, evaluation.probabilities, atol=1e-5)
    assert other.metrics == pytest.approx(evaluation.metrics, rel=1e-4)
    assert other.confusion_matrix == evaluation.confusion_matrix


def test_metrics_are_scikit_learns_macro_fractions_of_the_returned_probabilities(evaluation):
    labels, predictions = hard_split().labels, evaluation.probabilities.argmax(axis=1)
    assert evaluation.metrics == pytest.approx(
        {
            "accuracy": sklearn_metrics.accuracy_score(labels, predictions),
            "precision": sklearn_metrics.precision_score(labels, predictions, average="macro", zero_division=0),
            "recall": sklearn_metrics.recall_score(labels, predictions, average="macro"),
            "f1": sklearn_metrics.f1_score(labels, predictions, average="macro"),
            "loss": -np.log(evaluation.probabilities[np.arange(23), labels]).mean(),
        },
        rel=1e-5,
    )
    assert all(0 < evaluation.metrics[name] < 1 for name in ("accuracy", "precision", "recall", "f1"))


def test_per_class_scores_follow_from_the_confusion_matrix_and_average_to_the_metrics(evaluation):
    confusion = np.asarray(evaluation.confusion_matrix)
    assert confusion.sum(axis=1).tolist() == np.bincount(hard_split().labels, minlength=4).tolist(), "rows are true"
    assert confusion.trace() == round(23 * evaluation.metrics["accuracy"])
    assert [score["label"] for score in evaluation.per_class] == list(toy.CLASSES)
    for index, score in enumerate(evaluation.per_class):
        hits = confusion[index, index]
        assert score["support"] == confusion[index].sum()
        assert score["recall"] == pytest.approx(hits / confusion[index].sum())
        assert score["precision"] == pytest.approx(hits / max(1, confusion[:, index].sum()))
    for name in ("precision", "recall", "f1"):
        assert evaluation.metrics[name] == pytest.approx(np.mean([score[name] for score in evaluation.per_class]))


def test_a_class_without_examples_scores_zero_and_warns_nobody(fitted):
    images, labels = toy.draw(20)
    kept = labels < 3
    evaluation = evaluate(fitted.model, Split(images[kept], labels[kept]), toy.SPEC, batch_size=5)
    assert evaluation.per_class[3]["support"] == 0
    assert evaluation.per_class[3]["recall"] == 0.0
    assert len(evaluation.confusion_matrix) == 4
    assert all(0 <= evaluation.metrics[name] <= 1 for name in ("accuracy", "precision", "recall", "f1"))


def test_a_result_can_be_written_as_json(evaluation):
    fields = dataclasses.asdict(dataclasses.replace(evaluation, probabilities=np.zeros((0, 4), np.float32)))
    del fields["probabilities"]
    assert json.loads(json.dumps(fields)) == fields


def test_eight_devices_give_the_losses_of_one():
    """With augmentation, averaging, batch normalisation, dropout and Muon; a batch of 12 takes six of the devices.

    What is random does not depend on the devices.
    """
    one = toy.train_device_cases()
    flags = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles sooner
        "PYTHONPATH": str(ROOT),
    }
    child = subprocess.run(
        [sys.executable, toy.__file__], env=os.environ | flags, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    eight = json.loads(child.stdout)
    assert (one["devices"], eight["devices"]) == (1, 8)
    for case, losses in one["losses"].items():
        assert np.asarray(eight["losses"][case]) == pytest.approx(np.asarray(losses), rel=1e-3), case


def test_a_bfloat16_step_keeps_its_state_in_float32_and_has_nearly_the_same_loss():
    model = ResNet(4, in_channels=1, rngs=nnx.Rngs(0), **toy.TINY_RESNET)
    network, params, batch_stats = take_apart(model)
    recipe = Recipe(optimizer="muon", peak_learning_rate=0.01)
    tx = make_optimizer(recipe)
    images, labels = toy.draw(16)
    data = TrainingData(
        images=np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0))),
        labels=labels,
        mean=np.float32([0.1]),
        std=np.float32([0.3]),
        crop_padding=np.int32(0),
        flip=np.bool_(False),
    )
    losses = []
    for dtype in (jnp.float32, jnp.bfloat16):
        state = create_state(params, batch_stats, tx, key=jax.random.key(0), average=False)
        sums = MetricSums(*(jnp.zeros(()) for _ in range(3)))
        step = jax.jit(make_train_step(network, tx, recipe=recipe, compute_dtype=dtype))
        after, sums = step(state, sums, data, jnp.arange(16), jnp.float32(0.01))
        assert [leaf.dtype for leaf in jax.tree.leaves(after)] == [leaf.dtype for leaf in jax.tree.leaves(state)]
        losses.append(sums.means()[0])
    assert losses[0] == pytest.approx(losses[1], rel=0.03)
    assert losses[0] != losses[1]
