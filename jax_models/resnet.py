"""ResNet: "Deep residual learning for image recognition", He, Zhang, Ren, Sun, 2015, arXiv 1512.03385.

Table 1, column "18-layer": four stages of two basic blocks; the first block of stages two to four halves the image.

Differences from the paper: the common CIFAR variant of the ImageNet network, 11,173,962 parameters with 3 channels and
10 classes: for 32x32 images a 3x3 stem of stride 1 without max-pooling (the paper's is 7x7, stride 2, max-pooling);
projection shortcuts where the shape changes (the paper's option B); the last scale of each block starts at zero.
The variants of ImageNet, `resnet18` and `resnet50`, have the paper's stem: 11,689,512 and 25,557,032 parameters with
1000 classes, as torchvision's. A bottleneck takes its stride in the 3x3 convolution, as there (the paper: in the first
1x1).
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array, Float

from jax_models.layers import (
    BatchNorm,
    Conv,
    ConvNormAct,
    Linear,
    global_avg_pool,
    identity,
    pool_with_edges,
    pool_with_far_edge,
)


class Projection(nnx.Module):
    """The shortcut of option B: 1x1 convolution with the block's stride and batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, rngs: nnx.Rngs):
        self.conv = Conv(in_channels, out_channels, kernel_size=1, stride=stride, rngs=rngs)
        self.norm = BatchNorm(out_channels, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        return self.norm(self.conv(images))


class BasicBlock(nnx.Module):
    """Figure 5, left: relu(residual(x) + shortcut(x)) with two 3x3 convolutions in the residual."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, rngs: nnx.Rngs):
        self.conv1 = ConvNormAct(in_channels, out_channels, stride=stride, rngs=rngs)
        self.conv2 = Conv(out_channels, out_channels, rngs=rngs)
        # Zero-init the last scale so that each block starts as identity (arXiv 1706.02677, section 5.1).
        self.norm2 = BatchNorm(out_channels, scale_init=nnx.initializers.zeros, rngs=rngs)
        same_shape = stride == 1 and in_channels == out_channels
        self.shortcut = identity if same_shape else Projection(in_channels, out_channels, stride=stride, rngs=rngs)
        self.out_channels = out_channels

    def residual(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        """What the block adds to its shortcut."""
        return self.norm2(self.conv2(self.conv1(images)))

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        return nnx.relu(self.residual(images) + self.shortcut(images))


class Bottleneck(nnx.Module):
    """Figure 5, right: 1x1, 3x3 and 1x1 convolutions in the residual, the last of four times the channels."""

    expansion = 4  # table 1

    def __init__(self, in_channels: int, channels: int, *, stride: int, rngs: nnx.Rngs):
        self.out_channels = self.expansion * channels
        self.conv1 = ConvNormAct(in_channels, channels, kernel_size=1, rngs=rngs)
        self.conv2 = ConvNormAct(channels, channels, stride=stride, rngs=rngs)
        self.conv3 = Conv(channels, self.out_channels, kernel_size=1, rngs=rngs)
        self.norm3 = BatchNorm(self.out_channels, scale_init=nnx.initializers.zeros, rngs=rngs)
        same_shape = stride == 1 and in_channels == self.out_channels
        self.shortcut = identity if same_shape else Projection(in_channels, self.out_channels, stride=stride, rngs=rngs)

    def residual(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        """What the block adds to its shortcut."""
        return self.norm3(self.conv3(self.conv2(self.conv1(images))))

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        return nnx.relu(self.residual(images) + self.shortcut(images))


STEM_POOLS = {"none": identity, "all edges": pool_with_edges, "far edge": pool_with_far_edge}


class ResNet(nnx.Module):
    """A ResNet; `channels` and `repeats` of the four stages (table 1, "18-layer").

    `block` is a name of `blocks`, `stem_pool` one of `STEM_POOLS`: 3x3 max-pooling of stride 2 after the stem, or none.
    """

    blocks: ClassVar[Mapping[str, Callable[..., Any]]] = {"basic": BasicBlock, "bottleneck": Bottleneck}

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        channels: tuple[int, ...] = (64, 128, 256, 512),
        repeats: tuple[int, ...] = (2, 2, 2, 2),
        block: str = "basic",
        stem_kernel_size: int = 3,
        stem_stride: int = 1,
        stem_pool: str = "none",
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ):
        new_block = self.blocks[block]
        self.stem = ConvNormAct(in_channels, channels[0], kernel_size=stem_kernel_size, stride=stem_stride, rngs=rngs)
        self.stem_pool = STEM_POOLS[stem_pool]
        in_channels = channels[0]
        self.stages = nnx.List([])
        for index, (out_channels, depth) in enumerate(zip(channels, repeats, strict=True)):
            blocks = []
            for position in range(depth):
                stride = 2 if index > 0 and position == 0 else 1
                blocks.append(new_block(in_channels, out_channels, stride=stride, rngs=rngs))
                in_channels = blocks[-1].out_channels
            self.stages.append(nnx.Sequential(*blocks))
        self.dropout = nnx.Dropout(dropout_rate)
        self.head = Linear(in_channels, num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits; in training mode with dropout, `rngs` must carry a `dropout` stream."""
        features = self.stem_pool(self.stem(images))
        for stage in self.stages:
            features = stage(features)
        return self.head(self.dropout(global_avg_pool(features), rngs=rngs))
