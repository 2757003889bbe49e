"""Every form of convolution and pooling computes what the plain XLA operation computes, gradients included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_models import lowering, onednn

CONVOLUTIONS = [  # images, kernel, strides, padding, groups
    ((3, 8, 8, 20), (3, 3, 20, 24), (1, 1), "SAME", 1),
    ((5, 7, 9, 20), (3, 3, 20, 24), (1, 1), "SAME", 1),
    ((17, 16, 16, 4), (5, 5, 4, 6), (1, 1), "VALID", 1),
    ((2, 9, 6, 4), (3, 3, 4, 6), (1, 1), ((0, 2), (1, 0)), 1),
    ((4, 8, 8, 6), (3, 3, 6, 10), (2, 2), "SAME", 1),
    ((4, 8, 8, 6), (3, 3, 6, 10), (2, 2), ((1, 1), (1, 1)), 1),
    ((4, 9, 7, 6), (5, 5, 6, 10), (2, 1), ((2, 2), (2, 2)), 1),
    ((4, 11, 11, 6), (4, 4, 6, 10), (3, 3), "VALID", 1),
    ((4, 2, 2, 24), (3, 3, 24, 20), (1, 1), "SAME", 1),
    ((4, 4, 4, 24), (5, 5, 24, 20), (1, 1), ((2, 2), (2, 2)), 1),
    ((4, 1, 1, 24), (3, 3, 24, 20), (1, 1), "SAME", 1),
    ((4, 8, 8, 6), (1, 1, 6, 10), (1, 1), "SAME", 1),
    ((4, 9, 9, 6), (1, 1, 6, 10), (2, 2), "VALID", 1),
    ((4, 8, 8, 12), (3, 3, 1, 12), (1, 1), "SAME", 12),
    ((4, 9, 7, 12), (3, 3, 1, 12), (2, 2), ((1, 1), (1, 1)), 12),
    ((4, 10, 8, 12), (5, 3, 1, 12), (3, 2), "VALID", 12),
    ((4, 8, 8, 12), (3, 3, 4, 6), (1, 1), "SAME", 3),
    ((1, 5, 5, 1), (3, 3, 1, 1), (1, 1), "SAME", 1),
    ((2, 9, 12, 3), (4, 5, 3, 6), (1, 1), "VALID", 1),
    ((2, 7, 6, 1), (3, 1, 1, 8), (1, 1), "VALID", 1),
    ((3, 8, 8, 32), (3, 3, 32, 40), (1, 1), "SAME", 1),
    ((2, 7, 9, 48), (3, 3, 48, 33), (1, 1), ((1, 0), (0, 1)), 1),
    ((2, 6, 5, 32), (3, 3, 32, 32), (1, 1), "VALID", 1),
]
POOLS = [  # images, window, strides, padding
    ((3, 8, 8, 4), (2, 2), None, "VALID"),
    ((3, 8, 8, 16), (2, 2), None, "VALID"),
    ((3, 9, 7, 16), (3, 2), None, "VALID"),
    ((3, 9, 7, 17), (2, 2), None, "SAME"),
    ((3, 8, 6, 4), (2, 3), None, "VALID"),
    ((3, 9, 7, 4), (2, 2), None, "VALID"),
    ((3, 9, 7, 4), (2, 2), None, "SAME"),
    ((3, 1, 1, 4), (2, 2), None, "SAME"),
    ((3, 8, 8, 4), (3, 3), (2, 2), "SAME"),
    ((3, 8, 8, 4), (3, 3), (2, 2), ((1, 1), (1, 1))),
    ((3, 8, 8, 4), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ((3, 11, 8, 4), (3, 3), (2, 2), "VALID"),
    ((2, 13, 14, 2), (12, 12), (1, 1), "VALID"),  # more taps than a byte counts
]


@pytest.fixture(params=["oneDNN", "XLA alone"])
def with_and_without_onednn(request, monkeypatch):
    if request.param == "XLA alone":
        monkeypatch.setattr(onednn, "available", lambda: False)
    elif not onednn.available():
        pytest.skip("oneDNN is not installed")
    else:  # whatever the size
        monkeypatch.setattr(lowering, "LARGE_CONVOLUTION", 0)
        monkeypatch.setattr(lowering, "LARGE_DEPTHWISE", 0)
        monkeypatch.setattr(lowering, "LARGE_PRODUCT", 0)
        monkeypatch.setattr(lowering, "LARGE_WINOGRAD", 0)
        monkeypatch.setattr(lowering, "MANY_TILES", 0)
        monkeypatch.setattr(lowering, "MOST_CHANNELS_PER_ROW", 1000)


def random_arrays(*shapes):
    return [jax.random.normal(jax.random.key(seed), shape) for seed, shape in enumerate(shapes)]


def assert_close(ours, theirs):
    for mine, reference in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-4, atol=1e-4)


def value_and_pullback(function, *arguments):
    value, pullback = jax.vjp(jax.jit(function), *arguments)
    cotangent = jax.random.normal(jax.random.key(99), value.shape)
    return value, pullback(cotangent)


@pytest.mark.usefixtures("with_and_without_onednn")
@pytest.mark.parametrize(("images", "kernel", "strides", "padding", "groups"), CONVOLUTIONS)
def test_every_form_of_convolution_equals_lax_in_value_and_both_gradients(images, kernel, strides, padding, groups):
    images, kernel = random_arrays(images, kernel)

    def plain(images, kernel):
        return lax.conv_general_dilated(
            images, kernel, strides, padding, feature_group_count=groups, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def ours(images, kernel):
        return lowering.conv(images, kernel, strides=strides, padding=padding, groups=groups)

    assert_close(value_and_pullback(ours, images, kernel), value_and_pullback(plain, images, kernel))


@pytest.mark.parametrize(
    ("images", "kernel", "groups", "called"),
    [
        ((128, 8, 8, 64), (3, 3, 64, 64), 1, True),
        ((1, 8, 8, 64), (3, 3, 64, 64), 1, False),
        ((1, 8, 8, 64), (1, 1, 64, 64), 1, False),
        ((128, 32, 32, 192), (1, 1, 192, 64), 1, True),
        ((128, 4, 4, 728), (1, 1, 728, 728), 1, False),
        ((128, 4, 4, 728), (3, 3, 1, 728), 728, True),
        ((128, 4, 4, 96), (3, 3, 1, 96), 96, False),
    ],
)
def test_large_convolutions_are_worth_a_call_of_onednn(images, kernel, groups, called):
    if not onednn.available():
        pytest.skip("oneDNN is not installed")
    given = [jax.ShapeDtypeStruct(shape, np.float32) for shape in (images, kernel)]
    jaxpr = jax.make_jaxpr(lambda *given: lowering.conv(*given, groups=groups))(*given)
    assert ("jax_models_onednn" in str(jaxpr)) == called


@pytest.mark.parametrize(
    ("images", "kernel", "by_winograd"),
    [
        ((128, 8, 8, 64), (3, 3, 64, 64), True),
        ((128, 4, 4, 512), (3, 3, 512, 512), True),
        ((128, 2, 2, 512), (3, 3, 512, 512), False),
        ((128, 32, 32, 16), (3, 3, 16, 32), False),
        ((16, 8, 8, 64), (3, 3, 64, 64), False),
        ((2048, 32, 32, 64), (3, 3, 64, 64), False),
        ((1, 16, 16, 160), (3, 3, 160, 320), False),
        ((1, 32, 32, 128), (3, 3, 128, 192), True),
    ],
)
def test_winograd_takes_over_where_it_saves_more_than_its_transforms_cost(images, kernel, by_winograd):
    usual = onednn.Geometry((8, 16, 16, 64), (3, 3, 64, 64), (1, 1), ((1, 1), (1, 1)), "float32", algorithm="winograd")
    if not (onednn.available() and onednn.supports(usual)):
        pytest.skip("needs oneDNN and AVX-512")
    given = [jax.ShapeDtypeStruct(shape, np.float32) for shape in (images, kernel)]
    assert ("_winograd" in str(jax.make_jaxpr(lowering.conv)(*given))) == by_winograd


@pytest.mark.parametrize(("images", "window", "strides", "padding"), POOLS)
def test_max_pooling_equals_lax_in_value_and_gradient(images, window, strides, padding):
    (images,) = random_arrays(images)

    def ours(images):
        return lowering.max_pool(images, window, strides=strides, padding=padding)

    def plain(images):
        with lowering.plain():
            return lowering.max_pool(images, window, strides=strides, padding=padding)

    assert_close(value_and_pullback(ours, images), value_and_pullback(plain, images))


@pytest.mark.parametrize("channels", [1, 16])
def test_the_gradient_of_max_pooling_goes_to_the_first_of_equal_pixels(channels):
    images = jnp.zeros((1, 4, 4, channels))
    grads = jax.grad(lambda images: lowering.max_pool(images, (3, 3), strides=(3, 3)).sum())(images)
    assert np.ravel(grads).tolist() == [1.0] * channels + [0.0] * 15 * channels


@pytest.mark.usefixtures("with_and_without_onednn")
def test_the_cpu_forms_have_no_slow_convolution():
    """XLA's CPU backend is slow for strided, depthwise and window-sized convolutions: none may be left."""
    for images, kernel, strides, padding, groups in CONVOLUTIONS[4:15]:
        jaxpr = jax.make_jaxpr(
            lambda images, kernel, s=strides, p=padding, g=groups: lowering.conv(
                images, kernel, strides=s, padding=p, groups=g
            )
        )(*random_arrays(images, kernel))
        assert "conv_general_dilated" not in str(jaxpr)
