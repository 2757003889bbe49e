"""The seven families by name: constructor, paper and presets. To tune a preset, edit its dict.

`full` is the paper's width (each constructor's defaults). `quick` is the same class with the same stages and block
types, small enough for two CPU cores: fewer channels, hidden units and repeats, a stem of stride 2 where it was 1, and
no dropout, since a few epochs leave nothing to regularise. LeNet-5 stays as it is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from flax import nnx

from jax_models.alexnet import AlexNet
from jax_models.checks import check_at_least, check_choice
from jax_models.errors import UsageError
from jax_models.googlenet import GoogLeNet
from jax_models.lenet import LeNet5
from jax_models.resnet import ResNet
from jax_models.senet import SEResNet
from jax_models.vgg import VGG
from jax_models.xception import Xception

IMAGENET = "imagenet"  # the preset of networks with published weights, which are known by names of their own


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One family: how to build it and where it comes from.

    `paper` is "Title, authors"; `arxiv` is None where the paper is not there; `presets` maps a preset's name to the
    constructor's keyword arguments, `imagenet` the name of a network with published ImageNet weights to those, the
    smallest network first.
    """

    title: str
    constructor: Callable[..., nnx.Module]
    paper: str
    year: int
    arxiv: str | None = None
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    imagenet: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_RESNET_STEM = {"stem_kernel_size": 7, "stem_stride": 2, "stem_pool": "all edges"}
_OF_50 = {"block": "bottleneck", "repeats": (3, 4, 6, 3)}  # arXiv 1512.03385, table 1, "50-layer"


MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        "lenet5": ModelSpec(
            title="LeNet-5",
            constructor=LeNet5,
            paper="Gradient-based learning applied to document recognition, LeCun, Bottou, Bengio, Haffner",
            year=1998,
            presets={"full": {}, "quick": {}},
        ),
        "alexnet": ModelSpec(
            title="AlexNet",
            constructor=AlexNet,
            paper="ImageNet classification with deep convolutional neural networks, Krizhevsky, Sutskever, Hinton",
            year=2012,
            presets={
                "full": {},
                "quick": {"channels": (32, 64, 96, 96, 96), "hidden": 256, "dropout_rate": 0.0},
            },
            imagenet={
                "alexnet": {
                    "kernel_sizes": (11, 5, 3, 3, 3),
                    "stem_stride": 4,
                    "stem_padding": 2,
                    "pool_size": 3,
                    "grid_size": 6,
                }
            },
        ),
        "vgg16": ModelSpec(
            title="VGG-16",
            constructor=VGG,
            paper="Very deep convolutional networks for large-scale image recognition, Simonyan, Zisserman",
            year=2014,
            arxiv="1409.1556",
            presets={
                "full": {},
                "quick": {"channels": (36, 68, 132, 192, 192), "repeats": (2, 2, 2, 1, 1), "stem_stride": 2},
            },
            imagenet={
                "vgg16_bn": {"conv_bias": True, "hidden": (4096, 4096), "dropout_rate": 0.5, "grid_size": 7},
            },
        ),
        "resnet18": ModelSpec(
            title="ResNet-18",
            constructor=ResNet,
            paper="Deep residual learning for image recognition, He, Zhang, Ren, Sun",
            year=2015,
            arxiv="1512.03385",
            presets={"full": {}, "quick": {"channels": (24, 32, 64, 128), "repeats": (1, 1, 1, 1), "stem_stride": 2}},
            imagenet={"resnet18": _RESNET_STEM, "resnet50": _RESNET_STEM | _OF_50},
        ),
        "googlenet": ModelSpec(
            title="GoogLeNet",
            constructor=GoogLeNet,
            paper="Going deeper with convolutions, Szegedy et al.",
            year=2014,
            arxiv="1409.4842",
            presets={
                "full": {},
                "quick": {"width": 0.1875, "repeats": (1, 1, 1), "stem_stride": 2, "dropout_rate": 0.0},
            },
            imagenet={
                "googlenet": {
                    "wide_kernels": (3,),
                    "full_stem": True,
                    "stem_stride": 2,
                    "pool_sizes": (3, 2),
                    "pool_edges": "far edge",
                    "epsilon": 1e-3,
                    "dropout_rate": 0.2,
                }
            },
        ),
        "xception": ModelSpec(
            title="Xception",
            constructor=Xception,
            paper="Xception: deep learning with depthwise separable convolutions, Chollet",
            year=2016,
            arxiv="1610.02357",
            presets={
                "full": {},
                "quick": {
                    "channels": (8, 16, 32, 96, 160, 192, 224, 288),
                    "repeats": 1,
                    "stem_stride": 2,
                    "dropout_rate": 0.0,
                },
            },
            imagenet={"xception": {"stem_stride": 2, "stem_padding": 0}},
        ),
        "se_resnet18": ModelSpec(
            title="SE-ResNet-18",
            constructor=SEResNet,
            paper="Squeeze-and-excitation networks, Hu, Shen, Albanie, Sun, Wu",
            year=2017,
            arxiv="1709.01507",
            presets={"full": {}, "quick": {"channels": (24, 32, 64, 128), "repeats": (1, 1, 1, 1), "stem_stride": 2}},
            imagenet={
                "legacy_seresnet18": _RESNET_STEM | {"stem_pool": "far edge", "block": "rectified basic"},
                "seresnet50": _RESNET_STEM | _OF_50,
            },
        ),
    }
)


def list_models(*, pretrained: str | None = None) -> tuple[str, ...]:
    """The names that `create_model` takes, in the order of the tables.

    Args:
        pretrained: "imagenet" lists the networks with published ImageNet weights instead of the seven families.

    Raises:
        UsageError: there are no weights of that name.
    """
    if pretrained is None:
        return tuple(MODELS)
    check_choice("pretrained", pretrained, (IMAGENET,))
    return tuple(name for spec in MODELS.values() for name in spec.imagenet)


def family_of(name: str) -> str:
    """The family that a network with ImageNet weights belongs to.

    Raises:
        UsageError: there is none of that name; the message lists what there is.
    """
    if name in MODELS and not MODELS[name].imagenet:
        raise UsageError(_no_imagenet_weights(name, list_models(pretrained=IMAGENET)))
    check_choice("ImageNet model", name, list_models(pretrained=IMAGENET))
    return next(family for family, spec in MODELS.items() if name in spec.imagenet)


def imagenet_network(family: str) -> str:
    """The smallest network of a family that has ImageNet weights.

    Raises:
        UsageError: there is none; the message lists the families that have one.
    """
    if not MODELS[family].imagenet:
        raise UsageError(_no_imagenet_weights(family, [name for name, spec in MODELS.items() if spec.imagenet]))
    return next(iter(MODELS[family].imagenet))


def _no_imagenet_weights(family: str, others: Iterable[str]) -> str:
    title = MODELS[family].title
    return f"{title} has no ImageNet weights: nobody has published any; choose from: {', '.join(others)}"


def create_model(
    name: str, *, num_classes: int, in_channels: int = 3, preset: str = "full", rngs: nnx.Rngs | None = None
) -> nnx.Module:
    """Builds a model in training mode, with fresh parameters from `rngs` (default `nnx.Rngs(0)`).

    The model maps images, float (b, 32, 32, in_channels), to logits (b, num_classes). Call `model(images, rngs=rngs)`
    in training, where dropout draws from the `dropout` stream, and `model.eval()` before judging. With the preset
    "imagenet", `name` is one of `list_models(pretrained="imagenet")`, and images have the size that its weights were
    trained for.

    Raises:
        UsageError: the name, the preset or a number is not one that exists; the message lists what does.
    """
    architecture, spec = _architecture(name, preset)
    check_at_least(1, "num_classes", num_classes)
    check_at_least(1, "in_channels", in_channels)
    rngs = nnx.Rngs(0) if rngs is None else rngs
    return spec.constructor(num_classes, in_channels=in_channels, rngs=rngs, **architecture)


def _architecture(name: str, preset: str) -> tuple[Mapping[str, Any], ModelSpec]:
    if preset == IMAGENET:
        spec = MODELS[family_of(name)]
        return spec.imagenet[name], spec
    if name not in MODELS and name in list_models(pretrained=IMAGENET):
        raise UsageError(f"{name} is a network of ImageNet: give preset={IMAGENET!r}")
    check_choice("model", name, MODELS)
    check_choice("preset", preset, (*MODELS[name].presets, IMAGENET))
    return MODELS[name].presets[preset], MODELS[name]
