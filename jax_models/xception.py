"""Xception: "Xception: deep learning with depthwise separable convolutions", Chollet, 2016, arXiv 1610.02357.

Figure 5: an entry flow that shrinks the image, a middle flow of eight equal blocks, an exit flow.

Differences from the paper: for 32x32 images the stem has stride 1 and is padded; the strides of the three entry blocks
and of the exit block stay, so that the middle flow sees 4x4. No parameter depends on it: 20,827,442 with 3 channels
and 10 classes, 22,855,952 with 1000, as published. The variant `xception` of ImageNet, for 299x299 images, has the
paper's stem: stride 2 and no padding.
"""

from flax import nnx
from jaxtyping import Array, Float

from jax_models import lowering
from jax_models.layers import BatchNorm, ConvNormAct, Linear, SeparableConv, global_avg_pool, identity, symmetric
from jax_models.resnet import Projection

ENTRY_STRIDES = (2, 2, 2)
EXIT_STRIDE = 2


class SeparableUnit(nnx.Module):
    """ReLU (or `activation`), separable convolution, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, *, activation=nnx.relu, rngs: nnx.Rngs):
        self.activation = activation
        self.conv = SeparableConv(in_channels, out_channels, rngs=rngs)
        self.norm = BatchNorm(out_channels, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        return self.norm(self.conv(self.activation(images)))


class XceptionBlock(nnx.Module):
    """Separable units through `channels` beside a shortcut, 1x1 with batch normalisation where the shape changes.

    A stride is taken by 3x3 max-pooling after the units.
    """

    def __init__(
        self, in_channels: int, channels: tuple[int, ...], *, stride: int = 1, activation=nnx.relu, rngs: nnx.Rngs
    ):
        same_shape = stride == 1 and in_channels == channels[-1]
        self.shortcut = identity if same_shape else Projection(in_channels, channels[-1], stride=stride, rngs=rngs)
        self.units = nnx.List([])
        for out_channels in channels:
            self.units.append(SeparableUnit(in_channels, out_channels, activation=activation, rngs=rngs))
            in_channels, activation = out_channels, nnx.relu
        self.stride = stride

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        features = images
        for unit in self.units:
            features = unit(features)
        if self.stride > 1:
            strides = (self.stride, self.stride)
            features = lowering.max_pool(features, (3, 3), strides=strides, padding=symmetric(1))
        return features + self.shortcut(images)


class Xception(nnx.Module):
    """Xception; `repeats` is the number of blocks of the middle flow.

    `channels` go down figure 5: two of the stem, three of the entry blocks, three of the exit flow. `stem_padding` is
    that of both its convolutions (None keeps the size).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        channels: tuple[int, ...] = (32, 64, 128, 256, 728, 1024, 1536, 2048),
        repeats: int = 8,
        stem_stride: int = 1,
        stem_padding: int | None = None,
        dropout_rate: float = 0.5,
        rngs: nnx.Rngs,
    ):
        stem1, stem2, *entry, exit1, exit2, exit3 = channels
        self.stem = nnx.Sequential(
            ConvNormAct(in_channels, stem1, stride=stem_stride, padding=stem_padding, rngs=rngs),
            ConvNormAct(stem1, stem2, padding=stem_padding, rngs=rngs),
        )
        entry_blocks, in_channels = [], stem2
        for index, (out_channels, stride) in enumerate(zip(entry, ENTRY_STRIDES, strict=True)):
            # The stem ends in a ReLU of its own; figure 5 begins the first block without one.
            activation = identity if index == 0 else nnx.relu
            widths = (out_channels, out_channels)
            entry_blocks.append(XceptionBlock(in_channels, widths, stride=stride, activation=activation, rngs=rngs))
            in_channels = out_channels
        middle_blocks = [XceptionBlock(in_channels, (in_channels,) * 3, rngs=rngs) for _ in range(repeats)]
        exit_blocks = [
            XceptionBlock(in_channels, (in_channels, exit1), stride=EXIT_STRIDE, rngs=rngs),
            SeparableUnit(exit1, exit2, activation=identity, rngs=rngs),
            SeparableUnit(exit2, exit3, rngs=rngs),
        ]
        self.stages = nnx.List([nnx.Sequential(*blocks) for blocks in (entry_blocks, middle_blocks, exit_blocks)])
        self.dropout = nnx.Dropout(dropout_rate)  # section 4.3: 0.5 on ImageNet
        self.head = Linear(exit3, num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits; in training mode with dropout, `rngs` must carry a `dropout` stream."""
        features = self.stem(images)
        for stage in self.stages:
            features = stage(features)
        features = global_avg_pool(nnx.relu(features))
        return self.head(self.dropout(features, rngs=rngs))
