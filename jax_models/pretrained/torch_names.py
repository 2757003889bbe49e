"""Which module of torchvision and timm is which of ours: one function for each family, given our network's shapes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Pairs = Iterator[tuple[str, str]]
"""Names of modules, theirs and ours. Pairs that a variant does not have are there as well: nobody asks for them."""


def _alexnet(model: Any, _: Mapping[str, Any]) -> Pairs:
    place = 0
    for stage, blocks in enumerate(model.stages):
        for block in range(len(blocks.layers)):
            yield f"features.{place}", f"stages.{stage}.layers.{block}.conv"
            place += 2  # a ReLU follows
        place += 1  # a pooling
    yield from (("classifier.1", "hidden.0"), ("classifier.4", "hidden.1"), ("classifier.6", "head"))


def _vgg(model: Any, state_dict: Mapping[str, Any]) -> Pairs:
    place = 0
    for stage, blocks in enumerate(model.stages):
        for block in range(len(blocks.layers)):
            yield f"features.{place}", f"stages.{stage}.layers.{block}.conv"
            yield f"features.{place + 1}", f"stages.{stage}.layers.{block}.norm"
            place += 3
        place += 1
    of_timm = "head.fc.weight" in state_dict
    last = (
        ("pre_logits.fc1", "pre_logits.fc2", "head.fc") if of_timm else ("classifier.0", "classifier.3", "classifier.6")
    )
    yield from zip(last, ("hidden.0", "hidden.1", "head"), strict=True)


def _resnet(model: Any, state_dict: Mapping[str, Any]) -> Pairs:
    legacy = "last_linear.weight" in state_dict  # timm's port of Caffe's SENets has names of its own
    stem, unit, head = ("layer0.", "se_module", "last_linear") if legacy else ("", "se", "fc")
    yield from ((f"{stem}conv1", "stem.conv"), (f"{stem}bn1", "stem.norm"), (head, "head"))
    for stage, blocks in enumerate(model.stages):
        for block in range(len(blocks.layers)):
            theirs, ours = f"layer{stage + 1}.{block}", f"stages.{stage}.layers.{block}"
            for number in (1, 2, 3):
                yield f"{theirs}.conv{number}", f"{ours}.conv{number}.conv"
                yield f"{theirs}.bn{number}", f"{ours}.conv{number}.norm"
                # The last of a block has its ReLU after the shortcut.
                yield f"{theirs}.conv{number}", f"{ours}.conv{number}"
                yield f"{theirs}.bn{number}", f"{ours}.norm{number}"
            yield f"{theirs}.downsample.0", f"{ours}.shortcut.conv"
            yield f"{theirs}.downsample.1", f"{ours}.shortcut.norm"
            yield f"{theirs}.{unit}.fc1", f"{ours}.excitation.reduce"
            yield f"{theirs}.{unit}.fc2", f"{ours}.excitation.expand"


def _googlenet(model: Any, _: Mapping[str, Any]) -> Pairs:
    units = {"conv1": "stem.layers.0", "conv2": "stem.layers.2", "conv3": "stem.layers.3"}
    for stage, blocks in enumerate(model.stages):
        for block in range(len(blocks.layers)):
            theirs, ours = f"inception{stage + 3}{'abcde'[block]}", f"stages.{stage}.layers.{block}"
            for branch in ("branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1"):
                units[f"{theirs}.{branch}"] = f"{ours}.{branch.replace('.', '.layers.')}"
            units[f"{theirs}.branch4.1"] = f"{ours}.branch4"  # after a pooling
    for theirs, ours in units.items():
        yield from ((f"{theirs}.conv", f"{ours}.conv"), (f"{theirs}.bn", f"{ours}.norm"))
    yield "fc", "head"


def _xception(model: Any, _: Mapping[str, Any]) -> Pairs:
    for number in (1, 2):
        yield from (
            (f"conv{number}", f"stem.layers.{number - 1}.conv"),
            (f"bn{number}", f"stem.layers.{number - 1}.norm"),
        )
    blocks = [
        f"stages.{stage}.layers.{block}" for stage in range(3) for block in range(len(model.stages[stage].layers))
    ]
    *blocks, third, fourth = blocks
    for number, ours in enumerate(blocks, start=1):
        yield from (
            (f"block{number}.skip", f"{ours}.shortcut.conv"),
            (f"block{number}.skipbn", f"{ours}.shortcut.norm"),
        )
        first = 0 if number == 1 else 1  # the ReLU that the first block lacks
        for unit in range(3):
            place = first + 3 * unit
            yield from _separable(f"block{number}.rep.{place}", f"{ours}.units.{unit}.conv")
            yield f"block{number}.rep.{place + 1}", f"{ours}.units.{unit}.norm"
    for number, ours in ((3, third), (4, fourth)):
        yield from _separable(f"conv{number}", f"{ours}.conv")
        yield f"bn{number}", f"{ours}.norm"
    yield "fc", "head"


def _separable(theirs: str, ours: str) -> Pairs:
    yield from ((f"{theirs}.conv1", f"{ours}.depthwise"), (f"{theirs}.pointwise", f"{ours}.pointwise"))


NAMES: Mapping[str, Callable[[Any, Mapping[str, Any]], Pairs]] = {
    "alexnet": _alexnet,
    "vgg16": _vgg,
    "resnet18": _resnet,
    "googlenet": _googlenet,
    "xception": _xception,
    "se_resnet18": _resnet,
}
