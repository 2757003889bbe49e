"""The forward passes of torchvision's and timm's networks in PyTorch, given a state dict with their very names.

Written from the papers and the libraries' published structure, as functions of the state dict, so that a test needs
neither library. They were compared with the libraries themselves when the names in `torch_state_dicts.json` were taken.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]


def conv(w: Weights, name: str, x: Tensor, *, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
    return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), stride, padding, groups=groups)


def norm(w: Weights, name: str, x: Tensor, *, eps: float = 1e-5) -> Tensor:
    statistics = (w[f"{name}.running_mean"], w[f"{name}.running_var"])
    return F.batch_norm(x, *statistics, w[f"{name}.weight"], w[f"{name}.bias"], eps=eps)


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x.flatten(1), w[f"{name}.weight"].flatten(1), w[f"{name}.bias"])


def alexnet(w: Weights, x: Tensor) -> Tensor:
    for place, stride, padding, pool in ((0, 4, 2, True), (3, 1, 2, True), (6, 1, 1, False), (8, 1, 1, False)):
        x = conv(w, f"features.{place}", x, stride=stride, padding=padding).relu()
        x = F.max_pool2d(x, 3, 2) if pool else x
    x = F.max_pool2d(conv(w, "features.10", x, padding=1).relu(), 3, 2)
    x = linear(w, "classifier.1", F.adaptive_avg_pool2d(x, 6)).relu()
    return linear(w, "classifier.6", linear(w, "classifier.4", x).relu())


def vgg16_bn(w: Weights, x: Tensor) -> Tensor:
    place = 0
    for depth in (2, 2, 3, 3, 3):
        for _ in range(depth):
            x = norm(w, f"features.{place + 1}", conv(w, f"features.{place}", x, padding=1)).relu()
            place += 3
        x = F.max_pool2d(x, 2)
        place += 1
    of_timm = ("pre_logits.fc1", "pre_logits.fc2", "head.fc")
    x = F.adaptive_avg_pool2d(x, 7)
    first, second, last = of_timm if "head.fc.weight" in w else ("classifier.0", "classifier.3", "classifier.6")
    return linear(w, last, linear(w, second, linear(w, first, x).relu()).relu())


def resnet(w: Weights, x: Tensor) -> Tensor:
    x = norm(w, "bn1", conv(w, "conv1", x, stride=2, padding=3)).relu()
    x = F.max_pool2d(x, 3, 2, padding=1)
    return linear(w, "fc", stages(w, x).mean((2, 3)))


def legacy_seresnet(w: Weights, x: Tensor) -> Tensor:
    x = norm(w, "layer0.bn1", conv(w, "layer0.conv1", x, stride=2, padding=3)).relu()
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    return linear(w, "last_linear", stages(w, x).mean((2, 3)))


def stages(w: Weights, x: Tensor) -> Tensor:
    for stage in (1, 2, 3, 4):
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in w:
            x = residual_block(w, f"layer{stage}.{block}", x, stride=2 if stage > 1 and block == 0 else 1)
            block += 1
    return x


def residual_block(w: Weights, name: str, x: Tensor, *, stride: int) -> Tensor:
    shortcut = x
    if f"{name}.downsample.0.weight" in w:
        shortcut = norm(w, f"{name}.downsample.1", conv(w, f"{name}.downsample.0", x, stride=stride))
    deep = f"{name}.conv3.weight" in w
    first, second = (stride, 1) if not deep else (1, stride)
    x = norm(w, f"{name}.bn1", conv(w, f"{name}.conv1", x, stride=first, padding=0 if deep else 1)).relu()
    x = norm(w, f"{name}.bn2", conv(w, f"{name}.conv2", x, stride=second, padding=1))
    if deep:
        x = norm(w, f"{name}.bn3", conv(w, f"{name}.conv3", x.relu()))
    if f"{name}.se_module.fc1.weight" in w:  # the legacy one has a ReLU before
        x = excite(w, f"{name}.se_module", x.relu())
    if f"{name}.se.fc1.weight" in w:
        x = excite(w, f"{name}.se", x)
    return (x + shortcut).relu()


def excite(w: Weights, name: str, x: Tensor) -> Tensor:
    squeezed = x.mean((2, 3), keepdim=True)
    return x * conv(w, f"{name}.fc2", conv(w, f"{name}.fc1", squeezed).relu()).sigmoid()


def googlenet(w: Weights, x: Tensor) -> Tensor:
    def unit(name: str, x: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
        return norm(w, f"{name}.bn", conv(w, f"{name}.conv", x, stride=stride, padding=padding), eps=1e-3).relu()

    def inception(name: str, x: Tensor) -> Tensor:
        three = unit(f"{name}.branch2.1", unit(f"{name}.branch2.0", x), padding=1)
        five = unit(f"{name}.branch3.1", unit(f"{name}.branch3.0", x), padding=1)
        pooled = unit(f"{name}.branch4.1", F.max_pool2d(x, 3, 1, padding=1))
        return torch.cat((unit(f"{name}.branch1", x), three, five, pooled), 1)

    x = F.max_pool2d(unit("conv1", x, stride=2, padding=3), 3, 2, ceil_mode=True)
    x = F.max_pool2d(unit("conv3", unit("conv2", x), padding=1), 3, 2, ceil_mode=True)
    for name in ("3a", "3b"):
        x = inception(f"inception{name}", x)
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for name in ("4a", "4b", "4c", "4d", "4e"):
        x = inception(f"inception{name}", x)
    x = F.max_pool2d(x, 2, 2, ceil_mode=True)
    for name in ("5a", "5b"):
        x = inception(f"inception{name}", x)
    return linear(w, "fc", x.mean((2, 3)))


def xception(w: Weights, x: Tensor) -> Tensor:
    def separable(name: str, x: Tensor) -> Tensor:
        x = conv(w, f"{name}.conv1", x, padding=1, groups=x.shape[1])
        return conv(w, f"{name}.pointwise", x)

    x = norm(w, "bn1", conv(w, "conv1", x, stride=2)).relu()
    x = norm(w, "bn2", conv(w, "conv2", x)).relu()
    for number in range(1, 13):
        name, stride = f"block{number}", 2 if number in (1, 2, 3, 12) else 1
        y, place = x, 0 if number == 1 else 1
        while f"{name}.rep.{place}.conv1.weight" in w:
            y = separable(f"{name}.rep.{place}", y.relu() if place else y)
            y = norm(w, f"{name}.rep.{place + 1}", y)
            place += 3
        y = F.max_pool2d(y, 3, 2, padding=1) if stride == 2 else y
        shortcut = x
        if f"{name}.skip.weight" in w:
            shortcut = norm(w, f"{name}.skipbn", conv(w, f"{name}.skip", x, stride=stride))
        x = y + shortcut
    x = norm(w, "bn3", separable("conv3", x)).relu()
    x = norm(w, "bn4", separable("conv4", x)).relu()
    return linear(w, "fc", x.mean((2, 3)))


FORWARD: Mapping[str, Callable[[Weights, Tensor], Tensor]] = {
    "alexnet": alexnet,
    "vgg16_bn": vgg16_bn,
    "vgg16_bn of timm": vgg16_bn,
    "resnet18": resnet,
    "resnet50": resnet,
    "googlenet": googlenet,
    "xception": xception,
    "legacy_seresnet18": legacy_seresnet,
    "seresnet50": resnet,
}
