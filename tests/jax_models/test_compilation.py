"""How programs are compiled: the options reach XLA, where the device is a CPU."""

import platform

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_models import compilation


def convolve(images, kernel):
    return lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere XLA may have no YNNPACK")
def test_convolutions_are_not_handed_to_ynnpack_but_sums_are():
    images, kernel = jnp.ones((4, 8, 8, 32)), jnp.ones((3, 3, 32, 32))
    assert "ynn_fusion" in jax.jit(convolve).lower(images, kernel).compile().as_text(), "XLA has changed: measure again"
    assert "ynn_fusion" not in compilation.jit(convolve).lower(images, kernel).compile().as_text()
    features = jnp.ones((128, 16, 16, 32))
    sums = compilation.jit(lambda features: jnp.exp(features).sum((0, 1, 2))).lower(features).compile()
    assert "ynn_fusion" in sums.as_text()


def test_the_options_do_not_change_what_is_computed():
    rng = np.random.default_rng(0)
    images, kernel = (rng.normal(size=shape).astype(np.float32) for shape in ((4, 8, 8, 32), (3, 3, 32, 32)))
    np.testing.assert_allclose(
        compilation.jit(convolve)(images, kernel), jax.jit(convolve)(images, kernel), rtol=1e-4, atol=1e-4
    )


def test_settings_of_jit_are_passed_on():
    double = compilation.jit(lambda count, values: values * count, static_argnums=0)
    assert double(2, jnp.ones(3)).tolist() == [2.0, 2.0, 2.0]


def test_on_other_platforms_there_are_no_options(monkeypatch):
    given = {}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "jit", lambda function, **settings: given.update(settings))
    compilation.jit(convolve, donate_argnums=0)
    assert given == {"compiler_options": None, "donate_argnums": 0}
