"""Published networks: the known parameter counts, and the same answers as PyTorch's by the same weights.

`torch_state_dicts.json` holds the names and shapes that torchvision 0.28.0 and timm 1.0.31 give.
"""

import functools
import json
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from safetensors.numpy import save_file
from torch_networks import FORWARD

from jax_models import create_model, from_torch, list_models, lowering
from jax_models.errors import RunError, UsageError
from jax_models.pretrained.from_torch import load_state_dict
from jax_models.weight_files import named_leaves

PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg16_bn": 138_365_992,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "googlenet": 6_624_904,
    "xception": 22_855_952,
    "legacy_seresnet18": 11_778_592,
    "seresnet50": 28_088_024,
}
# Pixels a side: what the hidden layers of two were made for, and others; odd ones, but for VGG, which rounds them up.
SIZES = {"alexnet": (224, 75), "vgg16_bn": (224, 96), "vgg16_bn of timm": (224,)}
OTHER_SIZES = (75,)
STATE_DICTS = json.loads(Path(__file__).with_name("torch_state_dicts.json").read_text())


def state_dict(name: str) -> dict[str, torch.Tensor]:
    """Random weights, in a scale that keeps the numbers of all layers near 1."""
    generator = torch.Generator().manual_seed(0)
    normal, uniform = (functools.partial(draw, generator=generator) for draw in (torch.randn, torch.rand))
    made = {}
    for key, shape in STATE_DICTS[name].items():
        if key.endswith("num_batches_tracked"):
            made[key] = torch.tensor(7)
        elif key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
            # A bottleneck's residual is small beside its shortcut, as where training begins: sums that grow from block
            # to block saturate the excitations, and PyTorch's own float32 is then 1e-3 off its float64.
            made[key] = (0.5 + uniform(shape)) * (0.2 if key.endswith("bn3.weight") else 1)
        elif len(shape) == 1:
            made[key] = 0.1 * normal(shape)
        else:
            made[key] = normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
    return made


def variant(name: str) -> str:
    return name.partition(" ")[0]


def logits(model: Any, images: np.ndarray) -> np.ndarray:
    graph, variables = nnx.split(model)
    with lowering.plain():
        return np.asarray(jax.jit(lambda variables, images: nnx.merge(graph, variables)(images))(variables, images))


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_variant_has_the_published_parameter_count(name):
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, preset="imagenet"))
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))) == PARAMETERS[name]


def test_the_variants_are_listed_apart_from_the_seven_families():
    assert list_models(pretrained="imagenet") == tuple(PARAMETERS)
    assert len(list_models()) == 7
    with pytest.raises(UsageError, match="choose from: imagenet"):
        list_models(pretrained="cifar10")


def test_lenet5_says_that_it_has_no_imagenet_weights():
    with pytest.raises(UsageError, match=r"LeNet-5 has no ImageNet weights.* choose from: alexnet, vgg16_bn"):
        create_model("lenet5", num_classes=1000, preset="imagenet")


@pytest.mark.parametrize(("name", "size"), [(name, size) for name in FORWARD for size in SIZES.get(name, OTHER_SIZES)])
def test_the_logits_are_those_of_pytorch(name, size):
    weights = state_dict(name)
    images = torch.randn((2, 3, size, size), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = FORWARD[name](weights, images).numpy()
    found = logits(from_torch(variant(name), weights), jnp.asarray(images.permute(0, 2, 3, 1).numpy()))
    difference = np.abs(found - wanted).max() / np.abs(wanted).max()
    print(f"{name}, {size} pixels: largest difference of logits {difference:.1e} of the largest logit")
    assert np.abs(wanted).max() > 0.1
    assert difference <= 1e-4


@pytest.mark.parametrize("name", FORWARD)
def test_every_array_is_filled_from_an_entry_of_its_own(name):
    entries = {key: np.full(shape, place, np.float32) for place, (key, shape) in enumerate(STATE_DICTS[name].items())}
    model = from_torch(variant(name), entries)
    places = [int(np.asarray(leaf).flat[0]) for leaf in named_leaves(model).values()]
    keys = list(STATE_DICTS[name])
    used = {keys[place] for place in places}
    assert len(used) == len(places)
    left_out = [key for key in keys if key not in used]
    assert all(key.endswith("num_batches_tracked") or key.startswith(("aux1.", "aux2.")) for key in left_out)


def small(name: str = "resnet18") -> dict[str, np.ndarray]:
    return {key: np.zeros(shape, np.float32) for key, shape in STATE_DICTS[name].items()}


def test_entries_that_are_missing_or_left_over_are_listed():
    entries = small()
    del entries["layer2.0.bn1.running_var"]
    entries["layer5.0.conv1.weight"] = np.zeros(3, np.float32)
    with pytest.raises(UsageError) as error:
        from_torch("resnet18", entries)
    assert "missing layer2.0.bn1.running_var" in str(error.value)
    assert "unused layer5.0.conv1.weight" in str(error.value)


def test_only_googlenet_may_have_auxiliary_heads():
    with pytest.raises(UsageError, match=r"unused aux1\.fc\.weight"):
        from_torch("resnet18", small() | {"aux1.fc.weight": np.zeros(3, np.float32)})


def test_another_networks_weights_are_refused():
    with pytest.raises(UsageError, match=r"not a state dict of resnet50: missing layer1\.0\.conv3\.weight"):
        from_torch("resnet50", small())
    with pytest.raises(UsageError, match="its first layer has none of the names"):
        from_torch("resnet18", {"fc.weight": np.zeros((10, 512), np.float32)})


def test_the_entry_of_a_checkpoint_that_holds_the_weights_is_named():
    with pytest.raises(UsageError, match="is it the entry 'state_dict' of this one"):
        from_torch("resnet18", {"epoch": 3, "state_dict": small()})


def test_a_wrong_shape_is_named():
    entries = small() | {"layer1.0.conv1.weight": np.zeros((64, 64, 5, 5), np.float32)}
    with pytest.raises(UsageError, match=r"layer1\.0\.conv1\.weight has shape \(64, 64, 5, 5\)"):
        from_torch("resnet18", entries)


def test_another_number_of_classes_and_channels_is_read_from_the_shapes():
    entries = small() | {
        "fc.weight": np.zeros((10, 512), np.float32),
        "fc.bias": np.zeros(10, np.float32),
        "conv1.weight": np.zeros((64, 1, 7, 7), np.float32),
    }
    assert logits(from_torch("resnet18", entries), jnp.zeros((1, 33, 33, 1))).shape == (1, 10)


def test_files_of_both_kinds_are_read(tmp_path):
    arrays = {"a": np.arange(3, dtype=np.float32)}
    save_file(arrays, tmp_path / "a.safetensors")
    torch.save({"a": torch.arange(3.0)}, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        assert np.array_equal(load_state_dict(tmp_path / name)["a"], arrays["a"])


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_a_damaged_file_is_told_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"half of a file")
    with pytest.raises(RunError, match=r"weights\.\w+ is damaged") as error:
        load_state_dict(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(RunError, match="no state dict"):
        load_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
