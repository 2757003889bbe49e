"""FLOPs are counted on the plain convolutions and agree with published counts; peak memory is a process's own."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax import lax

from benchmarks import cost, provenance
from jax_models import create_model

# Multiply-adds at 32x32x3, full width: sums over the layers of the papers' tables.
PUBLISHED = {"resnet18": 555_417_600 + 5_120, "vgg16": 313_196_544 + 5_120}


def count(function, *shapes) -> int:
    traced = jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes))
    return cost.multiply_adds(traced.jaxpr)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_flops_of_full_models_are_the_published_ones(name):
    model = nnx.eval_shape(lambda: create_model(name, num_classes=10))
    assert cost.forward_flops(model, (32, 32, 3)) == 2 * PUBLISHED[name]


def test_flops_do_not_depend_on_the_form_that_was_traced_before():
    model = create_model("lenet5", num_classes=10, in_channels=1)
    model.eval()
    model(jnp.zeros((1, 32, 32, 1)))
    assert cost.forward_flops(model, (32, 32, 1)) == 2 * 416_520


def test_matmuls_count_the_contracted_length():
    assert count(lambda a, b: a @ b, (3, 5), (5, 7)) == 3 * 5 * 7
    assert count(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), (4, 3, 5), (4, 5, 7)) == 4 * 3 * 5 * 7


@pytest.mark.parametrize(
    ("groups", "expected"), [(1, 8 * 8 * 9 * 6 * 12), (3, 8 * 8 * 9 * 2 * 12), (6, 8 * 8 * 9 * 12)]
)
def test_convolutions_count_the_channels_of_one_group(groups, expected):
    def convolve(images, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            images, kernel, (2, 2), "SAME", dimension_numbers=numbers, feature_group_count=groups
        )

    assert count(convolve, (1, 16, 16, 6), (3, 3, 6 // groups, 12)) == expected


def test_inner_programs_are_counted_as_often_as_they_run():
    def repeat(a, b):
        return lax.scan(lambda carry, _: (jax.jit(jnp.matmul)(carry, b), None), a, length=10)[0]

    def branch(a, b):
        return lax.cond(a.sum() > 0, lambda: a @ b, lambda: a @ b @ b)

    assert count(repeat, (3, 5), (5, 5)) == 10 * 3 * 5 * 5
    assert count(branch, (3, 5), (5, 5)) == 2 * 3 * 5 * 5
    assert count(jax.checkpoint(jnp.matmul), (3, 5), (5, 5)) == 3 * 5 * 5

    double = jax.custom_vjp(lambda a, b: a @ b)
    double.defvjp(lambda a, b: (a @ b, (a, b)), lambda residuals, grads: residuals)
    assert count(double, (3, 5), (5, 5)) == 3 * 5 * 5


def test_elementwise_work_is_not_counted():
    assert count(lambda a: nnx.relu(a * 2 + 1).mean(), (3, 5)) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_is_what_the_process_held_and_not_what_its_parent_held():
    big_parent = bytearray(b"x" * 800_000_000)
    code = (
        "import numpy as np; from benchmarks import cost\n"
        "print(cost.peak_memory_bytes()); big = np.ones(40_000_000); del big; print(cost.peak_memory_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < len(big_parent)
    assert after - before == pytest.approx(320e6, rel=0.2)


def test_the_row_names_machine_and_versions():
    assert set(provenance.device()) == {"platform", "kind", "count", "cpu", "cores"}
    assert set(provenance.versions()) >= {"python", "jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn"}
    commit = provenance.commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40


def test_the_platform_is_asked_without_starting_jax_here():
    code = (
        "from benchmarks import provenance; from jax._src import xla_bridge\n"
        "print(provenance.default_platform(), xla_bridge.backends_are_initialized())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "False"
