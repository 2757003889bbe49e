"""Probes of trained networks: attacks stay in their ball and work, saliency finds what decides, samples are fixed."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from benchmarks.probes import attacks, saliency
from benchmarks.probes.attacks import attacked_accuracy, fgsm, is_right, pgd
from benchmarks.probes.classifier import Classifier, logits, picture_mask, to_pixels
from benchmarks.probes.robustness import corrupt_all, corrupted_accuracy, fixed_test_images
from jax_models import create_model
from jax_models.data import DATASETS, Dataset, Split
from jax_models.errors import UsageError

CLASSES = ("top", "upper", "lower", "bottom")
SPEC = dataclasses.replace(DATASETS["mnist"], classes=CLASSES)
SAMPLE = 101  # images


def draw(count: int, *, seed: int = 1) -> Split:
    """Noise with a faint bar whose height is the label, uint8 (count, 28, 28, 1)."""
    rng, labels = np.random.default_rng(seed), np.arange(count, dtype=np.int32) % len(CLASSES)
    images = rng.integers(0, 80, (count, 28, 28, 1)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[6 * label + 2 : 6 * label + 7, 5:23] += 60
    return Split(images, labels)


def cross_entropy(scores, labels):
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).sum()


@functools.cache
def trained() -> Classifier:
    """LeNet-5 after 40 steps of Adam."""
    classifier = Classifier.of(create_model("lenet5", num_classes=len(CLASSES), in_channels=1), SPEC)
    split, tx = draw(40 * 64, seed=0), optax.adam(2e-3)
    params, *others = classifier.variables

    @jax.jit
    def step(params, opt_state, pixels, labels):
        def loss_fn(params):
            return cross_entropy(logits(classifier.network, (params, *others), pixels), labels) / len(labels)

        updates, opt_state = tx.update(jax.grad(loss_fn)(params), opt_state)
        return optax.apply_updates(params, updates), opt_state

    opt_state = tx.init(params)
    for batch in np.arange(len(split)).reshape(40, 64):
        params, opt_state = step(params, opt_state, to_pixels(split.images[batch]), split.labels[batch])
    return dataclasses.replace(classifier, params=params)


class Linear(nnx.Module):
    """Logits of two classes, each a weighted sum of the pixels."""

    def __init__(self, kernel: np.ndarray):
        self.kernel = nnx.Param(jnp.asarray(kernel, jnp.float32))

    def __call__(self, images, *, rngs=None):
        return images.reshape(len(images), -1) @ self.kernel[...]


def linear(kernel: np.ndarray) -> Classifier:
    """A `Linear` classifier for padded MNIST; the kernel is (1024, 2)."""
    return Classifier.of(Linear(kernel), dataclasses.replace(SPEC, classes=("no", "yes")))


def test_the_fixed_images_are_a_fair_share_of_each_class_and_the_same_every_time():
    parts = [(split.images, split.labels) for split in (draw(8), draw(400))]
    dataset = Dataset(SPEC, source="drawn", official_train=parts[0], open_test=lambda: parts[1])
    first, second = fixed_test_images(dataset, 40), fixed_test_images(dataset, 40)
    assert np.bincount(first.labels).tolist() == [10, 10, 10, 10]
    assert (first.images == second.images).all()
    assert len({image.tobytes() for image in first.images}) == 40
    for wrong in (3, 400):
        with pytest.raises(UsageError, match=f"count is {wrong}; it must be 4 to 396 for MNIST"):
            fixed_test_images(dataset, wrong)


def test_pixels_in_0_to_1_get_the_logits_of_the_bytes_they_come_from():
    images = draw(6).images
    scores = jax.jit(logits, static_argnums=0)(trained().network, trained().variables, to_pixels(images))
    np.testing.assert_allclose(jax.nn.softmax(scores), trained().probabilities(images), atol=1e-5)


def test_corrupted_accuracy_counts_what_is_right_by_corruption_and_severity():
    sample = draw(SAMPLE)
    corrupted = corrupt_all(sample.images, corruptions=("gaussian_noise", "fog"))
    scores = corrupted_accuracy(trained(), sample, corrupted)
    assert scores == json.loads(json.dumps(scores))
    assert scores["count"] == SAMPLE
    assert scores["clean_accuracy"] > 0.95
    hidden = trained().probabilities(corrupted["fog"][4]).argmax(-1) == sample.labels
    assert scores["corruption_accuracy"]["fog"][4] == pytest.approx(hidden.mean())
    assert scores["corruption_accuracy"]["fog"][4] < scores["clean_accuracy"]
    assert scores["mean_corruption_accuracy"] == pytest.approx(np.mean(list(scores["group_accuracy"].values())))
    kept = scores["mean_corruption_accuracy"] / scores["clean_accuracy"]
    assert scores["relative_drop"] == pytest.approx(1 - kept)


def test_images_that_were_not_changed_cost_no_accuracy():
    sample = draw(SAMPLE)
    scores = corrupted_accuracy(trained(), sample, {"snow": [sample.images] * 5})
    assert scores["relative_drop"] == 0


@pytest.mark.parametrize("attack", [fgsm, pgd])
@pytest.mark.parametrize("epsilon", [0.02, 0.3])
def test_no_pixel_moves_by_more_than_epsilon_nor_leaves_0_to_1_nor_leaves_the_border_black(attack, epsilon):
    sample = draw(SAMPLE)
    sample.images[:, :4], sample.images[:, 24:] = 0, 255
    clean = to_pixels(sample.images)
    attacked = attack(trained(), sample.images, sample.labels, epsilon=epsilon)
    assert attacked.shape == clean.shape
    assert np.abs(attacked - clean).max() == pytest.approx(epsilon, abs=1e-6)
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert np.abs(attacked[:, [0, 1, 30, 31]]).max() == np.abs(attacked[:, :, [0, 1, 30, 31]]).max() == 0


def test_the_mask_is_all_of_an_image_that_is_not_padded():
    assert picture_mask(DATASETS["cifar10"]).sum() == 32 * 32
    assert picture_mask(DATASETS["mnist"]).sum() == 28 * 28


def test_fgsm_is_the_best_attack_on_a_linear_network():
    kernel = np.random.default_rng(0).standard_normal((32 * 32, 2))
    images, labels = draw(8).images, np.array([0, 1] * 4)
    clean = to_pixels(images)
    towards = (kernel[:, 1] - kernel[:, 0]).reshape(1, 32, 32, 1) * np.where(labels, -1, 1)[:, None, None, None]
    best = (clean + 0.1 * np.sign(towards) * picture_mask(SPEC)).clip(0, 1)
    np.testing.assert_allclose(fgsm(linear(kernel), images, labels, epsilon=0.1), best, atol=1e-6)
    np.testing.assert_allclose(pgd(linear(kernel), images, labels, epsilon=0.1), best, atol=1e-6)


def test_attacks_lower_accuracy_more_with_epsilon_and_pgd_at_least_as_much_as_fgsm():
    scores = attacked_accuracy(trained(), draw(SAMPLE), epsilons=(0.0, 0.05, 0.1, 0.15))
    assert scores == json.loads(json.dumps(scores))
    assert scores["clean_accuracy"] > 0.95
    for attack in ("fgsm", "pgd"):
        assert scores[attack][0] == scores["clean_accuracy"]
        assert (np.diff(scores[attack]) <= 0).all(), scores
    assert scores["pgd"][-1] < 0.5 * scores["clean_accuracy"]
    assert (np.array(scores["pgd"]) <= np.array(scores["fgsm"]) + 0.005).all(), scores


def test_the_gradient_fools_where_random_signs_of_the_same_size_do_not():
    sample = draw(SAMPLE)
    signs = np.random.default_rng(0).choice([-0.1, 0.1], (SAMPLE, 32, 32, 1)) * picture_mask(SPEC)
    shaken = (to_pixels(sample.images) + signs).clip(0, 1).astype(np.float32)
    attacked = fgsm(trained(), sample.images, sample.labels, epsilon=0.1)
    assert is_right(trained(), shaken, sample.labels).mean() > is_right(trained(), attacked, sample.labels).mean() + 0.2


def test_a_network_does_not_hide_from_attacks_by_being_confident():
    sample = draw(SAMPLE)
    model = trained().network.assemble(trained().params, trained().batch_stats)
    model.head.kernel[...] = 1000 * model.head.kernel[...]
    model.head.bias[...] = 1000 * model.head.bias[...]
    confident = dataclasses.replace(trained(), params=nnx.state(model, nnx.Param))

    def loss(pixels):
        return cross_entropy(logits(confident.network, confident.variables, pixels), jnp.asarray(sample.labels))

    gradients = np.abs(jax.jit(jax.grad(loss))(jnp.asarray(to_pixels(sample.images)))).max(axis=(1, 2, 3))
    assert np.mean(gradients == 0) > 0.8  # cross-entropy shows no way for most images
    hit = 1 - is_right(confident, pgd(confident, sample.images, sample.labels, epsilon=0.1), sample.labels).mean()
    assert hit >= 1 - attacked_accuracy(trained(), sample, epsilons=(0.1,))["pgd"][0] - 0.1


def test_an_image_that_is_wrong_before_the_attack_counts_as_wrong_after_it():
    sample = draw(SAMPLE)
    wrong = Split(sample.images, ((sample.labels + 1) % len(CLASSES)).astype(np.int32))
    scores = attacked_accuracy(trained(), wrong, epsilons=(0.0, 0.3))
    assert scores["clean_accuracy"] < 0.05
    assert max(scores["fgsm"] + scores["pgd"]) <= scores["clean_accuracy"]


def test_an_attack_comes_out_the_same_again_and_otherwise_with_another_seed():
    sample = draw(SAMPLE)
    first, again, other = (
        pgd(trained(), sample.images, sample.labels, epsilon=0.1, steps=2, seed=seed) for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_batches_do_not_change_an_attack(monkeypatch):
    sample = draw(SAMPLE)
    whole = fgsm(trained(), sample.images, sample.labels, epsilon=0.1)
    monkeypatch.setattr(attacks, "BATCH_SIZE", 40)
    cut = fgsm(trained(), sample.images, sample.labels, epsilon=0.1)
    assert cut.shape == whole.shape
    assert np.mean(np.abs(cut - whole) > 1e-6) < 0.001  # a gradient next to 0 may change its sign


def test_saliency_finds_the_pixels_that_decide():
    kernel = np.zeros((32, 32, 2))
    kernel[7, 9, 1], kernel[22, 14, 1], kernel[0, 0, 1] = 2, -1, 9  # the last on the border, which is not shown
    classifier, images = linear(kernel.reshape(-1, 2)), draw(3).images
    heat = saliency.input_gradient(classifier, images, classes=np.ones(3, int))
    assert heat.shape == (3, 28, 28)
    assert {tuple(place): heat[(0, *place)] for place in np.argwhere(heat[0])} == {(5, 7): 1, (20, 12): 0.5}
    np.testing.assert_allclose(saliency.smoothgrad(classifier, images, classes=np.ones(3, int)), heat, atol=1e-5)
    assert saliency.input_gradient(classifier, images, classes=np.zeros(3, int)).max() == 0


def test_saliency_of_a_trained_network_lies_where_classes_differ():
    sample = draw(20)
    heat = saliency.smoothgrad(trained(), sample.images)
    assert heat.min() >= 0
    assert heat.max() == 1
    inside, outside = heat[:, 2:25, 5:23].mean(), np.delete(heat, slice(4, 24), axis=2).mean()
    assert inside > 1.5 * outside
    assert (heat == saliency.smoothgrad(trained(), sample.images)).all()
    assert (heat != saliency.smoothgrad(trained(), sample.images, seed=1)).any()


def test_noisy_copies_make_saliency_smoother():
    images = draw(20).images

    def roughness(heat: np.ndarray) -> float:
        return float(np.abs(np.diff(heat, axis=1)).mean() / heat.mean())

    assert roughness(saliency.smoothgrad(trained(), images)) < roughness(saliency.input_gradient(trained(), images))


def test_the_gallery_shows_each_image_beside_what_each_network_looked_at():
    images = draw(20).images
    sheet = saliency.saliency_gallery([trained(), trained()], images)
    cell, step = saliency.SCALE * 28, saliency.SCALE * 28 + saliency.GUTTER
    assert sheet.shape == (19 * step + cell, 2 * step + cell, 3)
    assert sheet.dtype == np.uint8
    shown = sheet[step : step + cell : saliency.SCALE, : cell : saliency.SCALE]
    assert (shown == np.broadcast_to(images[1], (28, 28, 3))).all()
    first, second = sheet[:cell, step : step + cell], sheet[:cell, 2 * step :]
    assert (first == second).all()
    assert (first != sheet[:cell, :cell]).any()
