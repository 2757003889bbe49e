"""GoogLeNet: "Going deeper with convolutions", Szegedy et al., 2014, arXiv 1409.4842.

Table 1: nine inception modules in three stages, 3x3 max-pooling of stride 2 between them, dropout, a linear layer.

Differences from the paper: the common CIFAR variant with batch normalisation (kuangliu/pytorch-cifar): each convolution
has no bias and is followed by batch normalisation; the 5x5 branch is two 3x3 convolutions, as in the paper on batch
normalisation (arXiv 1502.03167, appendix); the stem is one 3x3 convolution to the paper's 192 channels, without the
three strides that 224x224 images need; no auxiliary classifiers, no local response normalisation.

Parameters at full width, 3 channels, 10 classes: a module that reads i channels, with widths (a, b, c, d, e, f), has
i (a + b + d + f) + 9 (b c + d e + e e) in convolutions and two for each of its a + b + c + d + 2 e + f normalised
channels. The nine, in order: 165,152 + 423,360 + 385,344 + 462,224 + 523,184 + 610,304 + 951,552 + 1,126,656 +
1,494,752. With the stem, 5,184 + 384, and the classifier, 1024 x 10 + 10: 6,158,346 (pytorch-cifar: 6,166,250, with
7,904 convolution biases that batch normalisation cancels).
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jax_models import lowering
from jax_models.layers import ConvNormAct, Linear, conv_norm_act_side_by_side, global_avg_pool, symmetric

# Table 1, rows 3a to 5b: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
STAGES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
STEM_CHANNELS = 192
WIDE_KERNELS = (3, 3)  # the branch that is one 5x5 in the paper


class Inception(nnx.Module):
    """Figure 2b: four branches side by side, joined along the channels; `widths` is a row of `STAGES`."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], *, rngs: nnx.Rngs):
        one, reduce3, three, reduce5, five, projection = widths
        self.branch1 = ConvNormAct(in_channels, one, kernel_size=1, rngs=rngs)
        self.branch2 = nnx.Sequential(
            ConvNormAct(in_channels, reduce3, kernel_size=1, rngs=rngs), ConvNormAct(reduce3, three, rngs=rngs)
        )
        wide, channels = [ConvNormAct(in_channels, reduce5, kernel_size=1, rngs=rngs)], reduce5
        for kernel_size in WIDE_KERNELS:
            wide.append(ConvNormAct(channels, five, kernel_size=kernel_size, rngs=rngs))
            channels = five
        self.branch3 = nnx.Sequential(*wide)
        self.branch4 = ConvNormAct(in_channels, projection, kernel_size=1, rngs=rngs)
        self.out_channels = one + three + five + projection

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b h w o"]:
        pooled = lowering.max_pool(images, (3, 3), strides=(1, 1), padding=symmetric(1))
        first = [self.branch1, self.branch2.layers[0], self.branch3.layers[0]]
        direct, narrow3, narrow5 = conv_norm_act_side_by_side(first, images)
        three = nnx.Sequential(*self.branch2.layers[1:])(narrow3)
        five = nnx.Sequential(*self.branch3.layers[1:])(narrow5)
        return jnp.concatenate((direct, three, five, self.branch4(pooled)), axis=-1)


class GoogLeNet(nnx.Module):
    """GoogLeNet with batch normalisation.

    `width` multiplies the channels of table 1, `repeats` takes that many modules of each stage, from its first on.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        width: float = 1.0,
        repeats: tuple[int, ...] = (2, 5, 2),
        stem_stride: int = 1,
        dropout_rate: float = 0.4,
        rngs: nnx.Rngs,
    ):
        stem_channels = scale_channels(STEM_CHANNELS, width)
        self.stem = ConvNormAct(in_channels, stem_channels, stride=stem_stride, rngs=rngs)
        in_channels = stem_channels
        self.stages = nnx.List([])
        for rows, depth in zip(STAGES, repeats, strict=True):
            blocks = []
            for row in rows[:depth]:
                blocks.append(Inception(in_channels, tuple(scale_channels(c, width) for c in row), rngs=rngs))
                in_channels = blocks[-1].out_channels
            self.stages.append(nnx.Sequential(*blocks))
        self.dropout = nnx.Dropout(dropout_rate)
        self.head = Linear(in_channels, num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits; in training mode with dropout, `rngs` must carry a `dropout` stream."""
        first, *others = self.stages
        features = first(self.stem(images))
        for stage in others:
            features = stage(lowering.max_pool(features, (3, 3), strides=(2, 2), padding=symmetric(1)))
        return self.head(self.dropout(global_avg_pool(features), rngs=rngs))


def scale_channels(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8, at least 8."""
    return max(8, 8 * round(channels * width / 8))
