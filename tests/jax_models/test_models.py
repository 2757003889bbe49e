"""What every model promises, whatever its family: shapes, published sizes, gradients, and what evaluation means."""

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from jax_models import create_model, layers, list_models, lowering
from jax_models.errors import UsageError
from jax_models.registry import MODELS

NAMES = ("lenet5", "alexnet", "vgg16", "resnet18", "googlenet", "xception", "se_resnet18")
FULL_PARAMETERS = {
    "lenet5": 62_006,
    "alexnet": 23_272_266,
    "vgg16": 14_724_042,
    "resnet18": 11_173_962,
    "googlenet": 6_158_346,
    "xception": 20_827_442,
    "se_resnet18": 11_263_042,
}
WITH_DROPOUT = [("alexnet", "full"), ("googlenet", "full"), ("xception", "full")]
SLOW_TO_COMPILE = [("googlenet", "full"), ("xception", "full")]
every_model = pytest.mark.parametrize("name", NAMES)
every_preset = pytest.mark.parametrize("preset", ["quick", "full"])
# The two deepest take most of a minute to compile at full width.
every_trained_model = pytest.mark.parametrize(
    ("name", "preset"),
    [
        pytest.param(name, preset, marks=pytest.mark.slow if (name, preset) in SLOW_TO_COMPILE else ())
        for preset in ("quick", "full")
        for name in NAMES
    ],
)
# Small programs that run once: compiling them well takes longer than running them badly.
FAST_COMPILE = {"xla_backend_optimization_level": 0}


def abstract_model(name: str, **arguments: Any) -> Any:
    """The model as shapes only, so that full widths cost nothing."""
    return nnx.eval_shape(lambda: create_model(name, **{"num_classes": 10, **arguments}))


def count_parameters(model: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


class Outcome(NamedTuple):
    """What a call of the model left behind; `grads` are the largest absolute values by path, from training only."""

    logits: jax.Array
    statistics: list[jax.Array]
    grads: Any = None


@functools.cache
def train_once(name: str, preset: str) -> Outcome:
    """A step in training mode on two random images, in the plain lowering at full width, which compiles sooner."""
    graph, params, rest = nnx.split(build(name, preset=preset), nnx.Param, ...)

    def loss_fn(params, rest):
        model = nnx.merge(graph, params, rest, copy=True)
        logits = model(random_images(), rngs=nnx.Rngs(dropout=1))
        return -nnx.log_softmax(logits)[:, 3].mean(), (logits, batch_statistics(model))

    def step(params, rest):
        grads, (logits, statistics) = jax.grad(loss_fn, has_aux=True)(params, rest)
        return Outcome(logits, statistics, jax.tree.map(lambda grad: jnp.abs(grad).max(), grads))

    with lowering.plain() if preset == "full" else contextlib.nullcontext():
        return jax.jit(step, compiler_options=FAST_COMPILE)(params, rest)


def compile_call(model: Any) -> Callable[..., Outcome]:
    """`call(images, seed=0)` in the model's present mode, with dropout keyed by `seed`."""
    graph, state = nnx.split(model)

    def run(state, images, key):
        model = nnx.merge(graph, state)
        return Outcome(model(images, rngs=nnx.Rngs(dropout=key)), batch_statistics(model))

    compiled = jax.jit(run, compiler_options=FAST_COMPILE)
    return lambda images, seed=0: compiled(state, images, jax.random.key(seed))


def batch_statistics(model: Any) -> list[jax.Array]:
    return jax.tree.leaves(nnx.state(model, nnx.BatchStat))


def random_images(count: int = 2, channels: int = 3) -> jax.Array:
    return jax.random.normal(jax.random.key(7), (count, 32, 32, channels))


def build(name: str, **arguments: Any) -> Any:
    return create_model(name, **{"num_classes": 10, **arguments})


def small_alexnet_with_dropout() -> Any:
    spec = MODELS["alexnet"]
    return spec.constructor(10, **{**spec.presets["quick"], "dropout_rate": 0.5}, rngs=nnx.Rngs(0))


def block_types(model: Any) -> list[set[str]]:
    """For each stage, the types of all modules in it."""
    return [{type(module).__name__ for _, module in nnx.iter_modules(stage)} for stage in model.stages]


def test_the_seven_models_are_listed_in_the_order_of_the_tables():
    assert list_models() == NAMES


@every_model
def test_full_width_has_the_published_parameter_count(name):
    assert count_parameters(abstract_model(name)) == FULL_PARAMETERS[name]


def test_xception_with_1000_classes_has_the_published_parameter_count():
    assert count_parameters(abstract_model("xception", num_classes=1000)) == 22_855_952


def test_lenet5_on_one_channel_has_its_classic_parameter_count():
    assert count_parameters(abstract_model("lenet5", in_channels=1)) == 61_706


@every_model
def test_quick_has_the_stages_and_block_types_of_full(name):
    quick, full = (abstract_model(name, preset=preset) for preset in ("quick", "full"))
    assert block_types(quick) == block_types(full)


def test_quick_presets_together_fit_the_zoo_in_float16():
    parameters = sum(count_parameters(abstract_model(name, preset="quick")) for name in NAMES)
    assert parameters * 2 * 3 < 20e6, "bytes of three data sets' checkpoints"


@every_trained_model
def test_logits_and_gradients_are_finite_and_reach_the_first_and_the_last_layer(name, preset):
    outcome = train_once(name, preset)
    assert outcome.logits.shape == (2, 10)
    assert jnp.isfinite(outcome.logits).all()
    assert all(jnp.isfinite(grad).all() for grad in jax.tree.leaves(outcome.grads))
    kernels = [path for path, _ in nnx.to_flat_state(outcome.grads) if path[-1] == "kernel"]
    first = next(path for path in kernels if path[0] == "stem" or "stem" not in outcome.grads)
    grads = dict(nnx.to_flat_state(outcome.grads))
    assert grads[first][...] > 0
    assert grads["head", "kernel"][...] > 0


@every_trained_model
def test_training_records_batch_statistics_in_every_layer(name, preset):
    fresh = batch_statistics(build(name, preset=preset))
    assert fresh or name in ("lenet5", "alexnet"), "only the two oldest have no batch normalisation"
    recorded = train_once(name, preset).statistics
    assert all((old != new).any() for old, new in zip(fresh, recorded, strict=True))


@every_model
def test_evaluation_is_deterministic_and_records_nothing_and_judges_each_image_alone(name):
    model = build(name, preset="quick")
    model.eval()
    call, images = compile_call(model), random_images(4)
    outcome = call(images)
    assert (outcome.logits == call(images, seed=1).logits).all()
    others = images.at[2:].set(0.0)
    assert jnp.allclose(outcome.logits[:2], call(others).logits[:2], atol=1e-5)
    assert all((old == new).all() for old, new in zip(batch_statistics(model), outcome.statistics, strict=True))


@pytest.mark.parametrize(("name", "preset"), WITH_DROPOUT)
def test_dropout_is_off_during_evaluation_and_follows_its_key_in_training(name, preset):
    dropout = abstract_model(name, preset=preset).dropout
    features = jnp.ones((4, 64))
    dropped = dropout(features, rngs=nnx.Rngs(dropout=0))
    assert (dropped == 0).any()
    assert (dropped == dropout(features, rngs=nnx.Rngs(dropout=0))).all()
    assert (dropped != dropout(features, rngs=nnx.Rngs(dropout=1))).any()
    model = abstract_model(name, preset=preset)
    model.eval()
    assert (model.dropout(features) == features).all()


def test_dropout_changes_the_logits_of_alexnet_in_training_only():
    model = small_alexnet_with_dropout()
    training = compile_call(model)
    assert (training(random_images(), seed=0).logits != training(random_images(), seed=1).logits).any()
    model.eval()
    evaluation = compile_call(model)
    assert (evaluation(random_images(), seed=0).logits == evaluation(random_images(), seed=1).logits).all()


def test_training_with_dropout_and_no_key_is_an_error():
    with pytest.raises(ValueError, match="rngs"):
        small_alexnet_with_dropout()(random_images())


@every_preset
@every_model
def test_one_channel_and_any_number_of_classes(name, preset):
    def logits(images):
        model = build(name, num_classes=7, in_channels=1, preset=preset)
        model.eval()
        return model(images)

    assert jax.eval_shape(logits, random_images(3, channels=1)).shape == (3, 7)


@pytest.mark.parametrize("name", ["alexnet", "xception", "se_resnet18"])
def test_bfloat16_images_give_nearly_the_same_logits_from_float32_parameters(name):
    model = build(name, preset="quick")
    model.eval()
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    call, images = compile_call(model), random_images()
    exact, rounded = call(images).logits, call(images.astype(jnp.bfloat16)).logits
    assert jnp.abs(exact - rounded.astype(jnp.float32)).max() < 0.05 * jnp.abs(exact).max()


@pytest.mark.parametrize(("shape", "variance"), [((3, 3, 64, 128), 2 / 1152), ((1, 1, 512, 2048), 2 / 2048)])
def test_convolutions_start_with_the_variance_of_he_et_al(shape, variance):
    kernel = layers.he_fan_out(jax.random.key(0), shape)
    assert kernel.shape == shape
    assert jnp.isclose(kernel.var(), variance, rtol=0.02)
    assert jnp.abs(kernel.mean()) < 0.02 * variance**0.5


@pytest.mark.parametrize("name", ["resnet18", "se_resnet18"])
def test_residual_blocks_start_as_identity(name):
    block = build(name, preset="quick").stages[0].layers[0]
    channels = block.norm2.num_features
    images = jnp.abs(jax.random.normal(jax.random.key(0), (2, 8, 8, channels)))
    assert (block(images) == images).all()


def test_batch_statistics_are_replaced_as_a_whole_or_in_part():
    mean = layers.BatchNorm(3, rngs=nnx.Rngs(0)).mean
    mean[...] = jnp.asarray([1.0, 2.0, 3.0])
    mean[1] = 5.0
    assert mean[...].tolist() == [1.0, 5.0, 3.0]
    assert isinstance(mean, nnx.BatchStat)


def test_the_same_seed_gives_the_same_parameters_and_another_seed_gives_others():
    first, again, other = (build("lenet5", rngs=nnx.Rngs(seed)) for seed in (0, 0, 1))
    assert (first.head.kernel[...] == again.head.kernel[...]).all()
    assert (first.head.kernel[...] != other.head.kernel[...]).any()


def test_an_unknown_model_lists_the_valid_names():
    with pytest.raises(UsageError, match=r"unknown model 'resnet19'; .*" + " ".join(NAMES)):
        create_model("resnet19", num_classes=10)


def test_an_unknown_preset_lists_the_valid_ones():
    with pytest.raises(UsageError, match=r"unknown preset 'tiny'; .*full quick"):
        create_model("vgg16", num_classes=10, preset="tiny")


def test_no_classes_is_a_usage_error():
    with pytest.raises(UsageError, match="at least 1"):
        create_model("vgg16", num_classes=0)


def test_every_paper_is_named_with_its_year():
    for spec in MODELS.values():
        assert spec.title
        assert spec.paper
        assert 1998 <= spec.year <= 2017
