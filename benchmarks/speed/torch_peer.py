"""Our networks in PyTorch with our weights, for `benchmarks.speed`: built from our modules one by one.

Everything is as a PyTorch programmer would write it: convolutions read NCHW (or channels-last in memory), activations
work in place where nobody else reads their input, and flattened features come channel by channel, for which the
weights of the layer behind them are put into that order.
"""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from flax import nnx
from torch import nn

from jax_models import layers
from jax_models.alexnet import AlexNet
from jax_models.googlenet import GoogLeNet, Inception
from jax_models.lenet import LeNet5
from jax_models.resnet import BasicBlock, Projection, ResNet
from jax_models.senet import SEBasicBlock, SqueezeExcitation
from jax_models.vgg import VGG
from jax_models.xception import SeparableUnit, Xception, XceptionBlock


@functools.singledispatch
def torch_peer(module: Any) -> nn.Module:
    """The same network, with a copy of the same weights, in training mode; takes float32 images (b, c, h, w).

    Raises:
        TypeError: there is no peer of such a module.
    """
    raise TypeError(f"{type(module).__name__} has no peer in PyTorch here")


class Mean(nn.Module):
    """The mean over all positions."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.mean((2, 3))


class Add(nn.Module):
    """What a residual and a shortcut make of the same features, added."""

    def __init__(self, residual: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.residual, self.shortcut = residual, shortcut

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.residual(features) + self.shortcut(features)


class Join(nn.Module):
    """What branches make of the same features, side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(features) for branch in self.branches], 1)


class Rescale(nn.Module):
    """Features times a factor for each channel."""

    def __init__(self, factor: nn.Module) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features * self.factor(features)[:, :, None, None]


@torch_peer.register
def _(module: layers.Conv) -> nn.Module:
    return _conv(module, groups=1)


@torch_peer.register
def _(module: layers.DepthwiseConv) -> nn.Module:
    return _conv(module, groups=module.kernel.shape[-1])


def _conv(module: Any, *, groups: int) -> nn.Module:
    size, _, inputs, outputs = module.kernel.shape
    bias = getattr(module, "bias", None)
    conv = nn.Conv2d(
        inputs * groups,
        outputs,
        size,
        stride=getattr(module, "strides", 1),
        padding=module.padding[0][0],
        groups=groups,
        bias=bias is not None,
    )
    return _filled(conv, weight=np.transpose(module.kernel[...], (3, 2, 0, 1)), bias=bias)


@torch_peer.register
def _(module: nnx.Linear) -> nn.Module:
    return _linear(module)


def _linear(module: nnx.Linear, *, positions: int = 1) -> nn.Module:
    """A linear layer; its inputs may be features of so many positions, flattened."""
    kernel = np.asarray(module.kernel[...])
    inputs, outputs = kernel.shape
    by_channel = kernel.reshape(positions, inputs // positions, outputs).swapaxes(0, 1).reshape(inputs, outputs)
    return _filled(nn.Linear(inputs, outputs), weight=by_channel.T, bias=module.bias)


@torch_peer.register
def _(module: layers.BatchNorm) -> nn.Module:
    norm = nn.BatchNorm2d(module.num_features, eps=module.epsilon, momentum=1 - module.momentum)
    weights = {"weight": module.scale, "bias": module.bias, "running_mean": module.mean, "running_var": module.var}
    return _filled(norm, **weights)


def _filled(module: nn.Module, **weights: Any) -> nn.Module:
    with torch.no_grad():
        for name, values in weights.items():
            if values is not None:
                getattr(module, name).copy_(torch.from_numpy(np.array(values[...])))
    return module


@torch_peer.register
def _(module: nnx.Sequential) -> nn.Module:
    return nn.Sequential(*_peers(module.layers))


@torch_peer.register
def _(module: nnx.Dropout) -> nn.Module:
    return nn.Dropout(module.rate)


@torch_peer.register
def _(module: layers.ConvAct) -> nn.Module:
    return nn.Sequential(torch_peer(module.conv), nn.ReLU(inplace=True))


@torch_peer.register
def _(module: layers.ConvNormAct) -> nn.Module:
    return nn.Sequential(torch_peer(module.conv), torch_peer(module.norm), nn.ReLU(inplace=True))


@torch_peer.register
def _(module: layers.SeparableConv) -> nn.Module:
    return nn.Sequential(torch_peer(module.depthwise), torch_peer(module.pointwise))


@torch_peer.register
def _(module: LeNet5) -> nn.Module:
    return nn.Sequential(*_pooled(module.stages), nn.Flatten(), *_hidden(module), torch_peer(module.head))


@torch_peer.register
def _(module: AlexNet) -> nn.Module:
    dropout = module.dropout
    return nn.Sequential(
        *_pooled(module.stages), nn.Flatten(), *_hidden(module, dropout=dropout), torch_peer(module.head)
    )


@torch_peer.register
def _(module: VGG) -> nn.Module:
    return nn.Sequential(*_pooled(module.stages), *_classifier(module))


@torch_peer.register
def _(module: ResNet) -> nn.Module:
    return nn.Sequential(torch_peer(module.stem), *_peers(module.stages), *_classifier(module))


@torch_peer.register
def _(module: Projection) -> nn.Module:
    return nn.Sequential(torch_peer(module.conv), torch_peer(module.norm))


@torch_peer.register
def _(module: BasicBlock) -> nn.Module:
    residual = nn.Sequential(*_peers((module.conv1, module.conv2, module.norm2)))
    if isinstance(module, SEBasicBlock):
        residual.append(torch_peer(module.excitation))
    return nn.Sequential(Add(residual, _shortcut(module.shortcut)), nn.ReLU(inplace=True))


@torch_peer.register
def _(module: SqueezeExcitation) -> nn.Module:
    reduce, expand = _peers((module.reduce, module.expand))
    return Rescale(nn.Sequential(Mean(), reduce, nn.ReLU(inplace=True), expand, nn.Sigmoid()))


@torch_peer.register
def _(module: GoogLeNet) -> nn.Module:
    first, *others = _peers(module.stages)
    rest = [layer for stage in others for layer in (nn.MaxPool2d(3, 2, 1), stage)]
    return nn.Sequential(torch_peer(module.stem), first, *rest, *_classifier(module))


@torch_peer.register
def _(module: Inception) -> nn.Module:
    *branches, projection = _peers((module.branch1, module.branch2, module.branch3, module.branch4))
    return Join(*branches, nn.Sequential(nn.MaxPool2d(3, 1, 1), projection))


@torch_peer.register
def _(module: Xception) -> nn.Module:
    return nn.Sequential(torch_peer(module.stem), *_peers(module.stages), nn.ReLU(inplace=True), *_classifier(module))


@torch_peer.register
def _(module: XceptionBlock) -> nn.Module:
    units = nn.Sequential(*_peers(module.units))
    if module.stride > 1:
        units.append(nn.MaxPool2d(3, module.stride, 1))
    return Add(units, _shortcut(module.shortcut))


@torch_peer.register
def _(module: SeparableUnit) -> nn.Module:
    activation = nn.Identity() if module.activation is layers.identity else nn.ReLU()
    return nn.Sequential(activation, torch_peer(module.conv), torch_peer(module.norm))


def _peers(modules: Iterable[Any]) -> list[nn.Module]:
    return [torch_peer(module) for module in modules]


def _pooled(stages: Iterable[Any]) -> list[nn.Module]:
    """Each stage, then 2x2 max-pooling, which leaves a single pixel as it is."""
    return [layer for stage in stages for layer in (torch_peer(stage), nn.MaxPool2d(2, ceil_mode=True))]


def _hidden(module: Any, *, dropout: Any = None) -> list[nn.Module]:
    last = module.stages[-1]
    conv = (last.layers[-1] if isinstance(last, nnx.Sequential) else last).conv
    positions = module.hidden[0].kernel.shape[0] // conv.kernel.shape[-1]
    found: list[nn.Module] = []
    for linear in module.hidden:
        found += [torch_peer(dropout)] if dropout is not None else []
        found += [_linear(linear, positions=positions), nn.ReLU(inplace=True)]
        positions = 1
    return found


def _classifier(module: Any) -> list[nn.Module]:
    return [Mean(), torch_peer(module.dropout), torch_peer(module.head)]


def _shortcut(shortcut: Any) -> nn.Module:
    return nn.Identity() if shortcut is layers.identity else torch_peer(shortcut)
