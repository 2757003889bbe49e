"""The networks that `benchmarks.speed` runs in PyTorch are ours: the same logits, the same gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_models import create_model, list_models

torch = pytest.importorskip("torch")

IMAGES = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)


def torch_images():
    return torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("preset", ["quick", pytest.param("full", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", list_models())
def test_both_sides_give_the_same_logits(name, preset):
    from benchmarks.speed.torch_peer import torch_peer

    model = create_model(name, num_classes=10, preset=preset)
    peer = torch_peer(model).eval()
    assert sum(param.numel() for param in peer.parameters()) == sum(
        param.size for param in jax.tree.leaves(nnx.state(model, nnx.Param))
    )
    model.eval()
    with torch.inference_mode():
        theirs = peer(torch_images()).numpy()
    ours = np.asarray(model(jnp.asarray(IMAGES)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())
