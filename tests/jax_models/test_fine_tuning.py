"""Networks made for ImageNet on a data set's images: what they are given, and what their published weights bring."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import published
import pytest
import toy
from flax import nnx
from huggingface_hub import constants

from jax_models.adapted import Adapted
from jax_models.classification import FitResult, fit, new_model
from jax_models.data import DATASETS, Dataset
from jax_models.data.augment import normalize
from jax_models.errors import RunError
from jax_models.evaluation import predict_probabilities
from jax_models.recipes import TrainConfig, Variant, resolve_config
from jax_models.training.state import take_apart
from jax_models.weight_files import arrays_of

EPOCHS = 4
SPEC = toy.SPEC


def stripes() -> Dataset:
    """108 images to train on, 12 to validate: how fine the stripes are is the class."""
    random = np.random.default_rng(0)
    labels = np.arange(120, dtype=np.int32) % 4
    rows = [np.arange(28) + random.integers(28) for _ in labels]
    images = [np.tile((row // 2**label % 2)[:, None], (1, 28)) for row, label in zip(rows, labels, strict=True)]
    pixels = 160 * np.stack(images)[..., None] + random.integers(0, 90, (120, 28, 28, 1))
    return Dataset(SPEC, source="drawn", official_train=(pixels.astype(np.uint8), labels), open_test=toy.closed_test)


class Seeing(nnx.Module):
    """Answers with all that it is given, in one row."""

    def __call__(self, images: jax.Array, *, rngs: nnx.Rngs | None = None) -> jax.Array:
        return images.reshape(len(images), -1)


def config(preset: str = "quick-imagenet", **changes) -> TrainConfig:
    usual = resolve_config("resnet18", "mnist", preset=preset, epochs=EPOCHS, batch_size=18)
    recipe = dataclasses.replace(usual.recipe, peak_learning_rate=0.02)
    return dataclasses.replace(usual, recipe=recipe, **changes)


@pytest.fixture(autouse=True)
def small_hub(tmp_path, monkeypatch):
    """A hub that has nothing yet, and no network."""
    published.shrink(monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def weights(small_hub, tmp_path, monkeypatch):
    """Published weights that know the classes; returns their network."""
    known = config("quick-scratch", epochs=20)
    model = fit(known, stripes()).model.network
    published.pin(monkeypatch, published.put_into_cache(tmp_path / "hub", model))
    return model


@pytest.mark.parametrize(("dataset", "name"), [("mnist", "resnet18"), ("cifar10", "googlenet")])
def test_a_network_is_given_images_as_its_weights_know_them(dataset, name):
    spec = DATASETS[dataset]
    variant = resolve_config(name, dataset, preset="quick-imagenet").variant
    pixels = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 32, 32, spec.shape[-1])), jnp.uint8)
    given = Adapted(Seeing(), variant, spec)(normalize(pixels, jnp.asarray(spec.mean), jnp.asarray(spec.std)))
    colours = np.broadcast_to(pixels, (2, 32, 32, 3)) / 255
    normal = (colours - np.array(variant.mean)) / np.array(variant.std)
    wanted = np.asarray(jax.image.resize(normal, (2, 64, 64, 3), "bilinear"))
    np.testing.assert_allclose(given, wanted.reshape(2, -1), atol=1e-4)


def test_half_precision_reaches_the_network_as_it_came():
    spec = DATASETS["mnist"]
    variant = resolve_config("resnet18", "mnist", preset="quick-imagenet").variant
    assert Adapted(Seeing(), variant, spec)(jnp.zeros((1, 32, 32, 1), jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize(("image_size", "together"), [(64, 500), (96, 32)])
def test_as_many_images_are_shown_at_once_as_their_enlarged_size_allows(image_size, together, monkeypatch):
    shown = []

    def predict(network: Any, params: Any, batch_stats: Any, images: Any, *_: Any) -> jax.Array:
        shown.append(len(images))
        return jnp.zeros((len(images), 4))

    monkeypatch.setattr("jax_models.evaluation._predictor", lambda: predict)
    variant = dataclasses.replace(config().variant, image_size=image_size)
    network, params, batch_stats = take_apart(new_model(config(variant=variant), SPEC, rngs=nnx.Rngs(0)))
    images = np.zeros((520, 32, 32, 1), np.uint8)
    predict_probabilities(network, params, batch_stats, images=images, spec=SPEC)
    assert shown[0] == together


def test_published_weights_bring_more_in_the_same_epochs(weights):
    tuned, scratch = (fit(config(preset, epochs=2), stripes()) for preset in ("quick-imagenet", "quick-scratch"))
    assert tuned.num_params == scratch.num_params
    assert tuned.history[-1].validation_loss < scratch.history[-1].validation_loss - 0.2


def test_the_first_epoch_of_four_trains_the_new_head_alone(weights, tmp_path):
    """The run is stopped after its first stage, whose checkpoint is then opened by itself."""
    before = {f"network.{name}": array for name, array in arrays_of(weights).items()}

    def stop(record):
        if record.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config(), stripes(), checkpoint_dir=tmp_path / "run", on_epoch=stop)
    head = fit(
        config(epochs=1),
        stripes(),
        start=Adapted(weights, config().variant, SPEC),
        head_only=True,
        on_epoch=lambda record: pytest.fail("nothing was left to train"),
        checkpoint_dir=tmp_path / "run" / "stage0",
    )
    after = arrays_of(head.model)
    assert {name for name in before if not np.array_equal(before[name], after[name])} == {
        "network.head.kernel",
        "network.head.bias",
    }
    tuned = arrays_of(fit(config(), stripes(), checkpoint_dir=tmp_path / "run").model)
    assert not np.array_equal(before["network.stem.conv.kernel"], tuned["network.stem.conv.kernel"])


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_stopped_run_goes_on_to_the_same_weights(stopped_after, weights, tmp_path):
    def stop(record):
        if record.epoch == stopped_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config(), stripes(), checkpoint_dir=tmp_path / "run", on_epoch=stop)
    resumed, whole = fit(config(), stripes(), checkpoint_dir=tmp_path / "run"), fit(config(), stripes())
    assert [record.epoch for record in resumed.history] == [1, 2, 3, 4]
    assert toy.losses(resumed.history) == toy.losses(whole.history)
    for name, array in arrays_of(whole.model).items():
        np.testing.assert_array_equal(array, arrays_of(resumed.model)[name])


def test_both_stages_are_told_as_one_run(weights):
    epochs: list[int] = []
    steps: list[tuple[int, int]] = []
    result: FitResult = fit(
        config(),
        stripes(),
        on_epoch=lambda record: epochs.append(record.epoch),
        on_step=lambda done, total: steps.append((done, total)),
    )
    assert epochs == [record.epoch for record in result.history] == [1, 2, 3, 4]
    assert steps == [(done, 24) for done in range(1, 25)]


def test_the_second_stage_has_an_order_of_its_own(weights):
    """With one order for both, a network that no longer changes would have the same losses again."""
    still = dataclasses.replace(config(), recipe=dataclasses.replace(config().recipe, peak_learning_rate=0.0))
    start = Adapted(weights, still.variant, SPEC)
    first, second = (fit(still, stripes(), start=start, head_only=True, stage=stage) for stage in (0, 1))
    assert first.history[0].train_loss != second.history[0].train_loss


def test_one_epoch_trains_all_of_it(weights):
    assert len(fit(config(epochs=1), stripes()).history) == 1


def test_weights_that_cannot_be_had_are_told_before_anything_is_written(tmp_path):
    with pytest.raises(RunError, match=r"cannot fetch the weights of resnet18: download https.* put it at "):
        fit(config(), stripes(), checkpoint_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_of_another_network_is_refused(tmp_path, monkeypatch):
    weights = new_model(config("quick-scratch"), SPEC, rngs=nnx.Rngs(0)).network
    published.pin(monkeypatch, published.put_into_cache(tmp_path / "hub", weights))
    wider = {**published.SMALL, "channels": (8, 32)}
    monkeypatch.setitem(published.MODELS["resnet18"].imagenet, "resnet18", wider)
    with pytest.raises(Exception, match="not a state dict of resnet18"):
        fit(config(), stripes())


def test_a_variant_with_unknown_fields_is_no_configuration():
    fields = config().to_fields()
    with pytest.raises(TypeError):
        TrainConfig.from_fields(fields | {"variant": fields["variant"] | {"colour": "red"}})
    assert isinstance(TrainConfig.from_fields(fields).variant, Variant)
