"""Configurations: which requests are refused and how, and what names a run."""

import dataclasses
import json

import pytest

from jax_models.data import DATASETS
from jax_models.errors import UsageError
from jax_models.recipes import EXCEPTIONS, LENGTHS, VARIANTS, Recipe, TrainConfig, resolve_config
from jax_models.registry import MODELS

ALL_FIELDS = Recipe(
    optimizer="sgd",
    peak_learning_rate=0.1,
    weight_decay=5e-4,
    momentum=0.9,
    warmup=0.2,
    label_smoothing=0.1,
    ema_decay=0.0,
    crop_padding=4,
    flip=True,
)


@pytest.mark.parametrize("preset", LENGTHS)
@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_has_a_recipe_for_every_data_set_and_preset(model, dataset, preset):
    if preset in VARIANTS and not MODELS[model].imagenet:
        with pytest.raises(
            UsageError, match=r"LeNet-5 has no ImageNet weights: .* choose from: alexnet, vgg16, resnet18"
        ):
            resolve_config(model, dataset, preset=preset)
        return
    config = resolve_config(model, dataset, preset=preset)
    assert (config.model, config.dataset, config.preset, config.seed) == (model, dataset, preset, 0)
    assert config.epochs >= 1
    assert config.batch_size >= 1
    assert config.recipe.crop_padding <= DATASETS[dataset].crop_padding
    assert config.recipe.flip == DATASETS[dataset].flip


def test_exceptions_are_made_for_families_that_exist():
    assert all(family in MODELS for families in EXCEPTIONS.values() for family in families)


@pytest.mark.parametrize("model", MODELS)
def test_a_digit_is_neither_moved_nor_mirrored(model):
    recipe = resolve_config(model, "mnist").recipe
    assert (recipe.crop_padding, recipe.flip) == (0, False)


def test_epochs_batch_size_and_seed_of_the_request_go_before_the_recipes():
    config = resolve_config("vgg16", "mnist", seed=7, epochs=2, batch_size=64)
    assert (config.seed, config.epochs, config.batch_size) == (7, 2, 64)
    assert config.recipe == resolve_config("vgg16", "mnist").recipe


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"model": "resnet19"}, "unknown model 'resnet19'; choose from: " + " ".join(MODELS)),
        ({"dataset": "svhn"}, "unknown data set 'svhn'; choose from: mnist fashion_mnist cifar10"),
        ({"preset": "medium"}, "unknown preset 'medium'; choose from: " + " ".join(LENGTHS)),
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"epochs": -3}, "epochs is -3; it must be at least 1"),
        ({"seed": 2**32}, "seed is 4294967296; it must be less than 4294967296"),
        ({"batch_size": 0}, "batch size is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
    ],
)
def test_a_wrong_request_says_what_is_allowed(request_, message):
    with pytest.raises(UsageError) as error:
        resolve_config(**{"model": "lenet5", "dataset": "mnist", **request_})
    assert str(error.value) == message


def test_what_imagenet_weights_bring_is_the_only_difference_between_two_presets():
    tuned, scratch = (resolve_config("vgg16", "mnist", preset=preset) for preset in ("full-imagenet", "full-scratch"))
    assert tuned.variant
    assert tuned.variant.weights
    assert tuned.variant.image_size == 224
    assert dataclasses.replace(tuned.variant, weights=None) == scratch.variant
    assert dataclasses.replace(tuned, preset="full-scratch", variant=scratch.variant) == scratch
    assert tuned.recipe_hash != scratch.recipe_hash


@pytest.mark.parametrize("preset", ["quick", "quick-imagenet", "quick-scratch"])
def test_a_configuration_comes_back_from_json(preset):
    config = resolve_config("vgg16", "cifar10", preset=preset)
    assert TrainConfig.from_fields(json.loads(json.dumps(config.to_fields()))) == config


def test_cell_names_the_run():
    config = resolve_config("resnet18", "cifar10", epochs=8, batch_size=128)
    assert config.cell == f"resnet18/cifar10/quick/s0/e8/b128/{config.recipe_hash}"


def test_recipe_hash_stays_the_same_from_run_to_run():
    """Another value here means that finished cells and checkpoints are no longer found: change it knowingly."""
    architecture = {"channels": (4, 8), "hidden": 16}
    config = dataclasses.replace(resolve_config("lenet5", "mnist"), recipe=ALL_FIELDS, architecture=architecture)
    assert config.recipe_hash == "30723a20"


def test_recipe_hash_changes_with_the_architecture_of_the_preset():
    config = resolve_config("vgg16", "cifar10")
    assert config.architecture == MODELS["vgg16"].presets["quick"]
    wider = dataclasses.replace(config, architecture={**config.architecture, "stem_stride": 1})
    assert wider.recipe_hash != config.recipe_hash


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Recipe)])
def test_recipe_hash_changes_with_every_field(field):
    value = getattr(ALL_FIELDS, field)
    other = "muon" if isinstance(value, str) else not value if isinstance(value, bool) else value + 1
    config = dataclasses.replace(resolve_config("lenet5", "mnist"), recipe=ALL_FIELDS)
    changed = dataclasses.replace(config, recipe=dataclasses.replace(ALL_FIELDS, **{field: other}))
    assert changed.recipe_hash != config.recipe_hash
    assert changed.cell != config.cell


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 9}, {"batch_size": 64}])
def test_cell_changes_with_what_is_no_recipe_and_the_hash_does_not(change):
    config, changed = resolve_config("lenet5", "mnist"), resolve_config("lenet5", "mnist", **change)
    assert changed.cell != config.cell
    assert changed.recipe_hash == config.recipe_hash
