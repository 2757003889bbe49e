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

The variant `googlenet` of ImageNet is torchvision's, 6,624,904 parameters with 1000 classes, with the three strides of
the paper's stem. Its weights ask for other differences from the paper: batch normalisation (epsilon 1e-3); one 3x3
convolution where the paper has 5x5 (torchvision issue 906); pooling that rounds up, the last of 2x2.
"""

from functools import partial

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jax_models import lowering
from jax_models.layers import (
    ConvNormAct,
    Linear,
    conv_norm_act_side_by_side,
    global_avg_pool,
    pool_with_edges,
    pool_with_far_edge,
    symmetric,
)

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
STEM_CHANNELS = (64, 64, 192)  # table 1, rows above 3a: 7x7 of stride 2, 1x1, 3x3
POOLS = {"all edges": pool_with_edges, "far edge": pool_with_far_edge}


class Inception(nnx.Module):
    """Figure 2b: four branches side by side, joined along the channels; `widths` is a row of `STAGES`.

    `wide_kernels` are the sizes of the convolutions in the branch that is one of 5x5 in the paper.
    """

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, ...],
        *,
        wide_kernels: tuple[int, ...] = (3, 3),
        epsilon: float = 1e-5,
        rngs: nnx.Rngs,
    ):
        one, reduce3, three, reduce5, five, projection = widths
        unit = partial(ConvNormAct, epsilon=epsilon, rngs=rngs)
        self.branch1 = unit(in_channels, one, kernel_size=1)
        self.branch2 = nnx.Sequential(unit(in_channels, reduce3, kernel_size=1), unit(reduce3, three))
        wide, channels = [unit(in_channels, reduce5, kernel_size=1)], reduce5
        for kernel_size in wide_kernels:
            wide.append(unit(channels, five, kernel_size=kernel_size))
            channels = five
        self.branch3 = nnx.Sequential(*wide)
        self.branch4 = unit(in_channels, projection, kernel_size=1)
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
    `full_stem` is the paper's, for large images; without it the stem is its last convolution alone. `pool_sizes` are
    those of the two poolings between stages, `pool_edges` a name of `POOLS`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        width: float = 1.0,
        repeats: tuple[int, ...] = (2, 5, 2),
        wide_kernels: tuple[int, ...] = (3, 3),
        full_stem: bool = False,
        stem_stride: int = 1,
        pool_sizes: tuple[int, int] = (3, 3),
        pool_edges: str = "all edges",
        epsilon: float = 1e-5,
        dropout_rate: float = 0.4,
        rngs: nnx.Rngs,
    ):
        self.pool, self.pool_sizes = POOLS[pool_edges], pool_sizes
        unit = partial(ConvNormAct, epsilon=epsilon, rngs=rngs)
        stem1, stem2, stem3 = (scale_channels(channels, width) for channels in STEM_CHANNELS)
        if full_stem:
            first = unit(in_channels, stem1, kernel_size=7, stride=stem_stride)
            rest = (unit(stem1, stem2, kernel_size=1), unit(stem2, stem3), self.pool)
            self.stem = nnx.Sequential(first, self.pool, *rest)
        else:
            self.stem = unit(in_channels, stem3, stride=stem_stride)
        in_channels = stem3
        self.stages = nnx.List([])
        for rows, depth in zip(STAGES, repeats, strict=True):
            blocks = []
            for row in rows[:depth]:
                widths = tuple(scale_channels(channels, width) for channels in row)
                blocks.append(Inception(in_channels, widths, wide_kernels=wide_kernels, epsilon=epsilon, rngs=rngs))
                in_channels = blocks[-1].out_channels
            self.stages.append(nnx.Sequential(*blocks))
        self.dropout = nnx.Dropout(dropout_rate)
        self.head = Linear(in_channels, num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits; in training mode with dropout, `rngs` must carry a `dropout` stream."""
        first, *others = self.stages
        features = first(self.stem(images))
        for size, stage in zip(self.pool_sizes, others, strict=True):
            features = stage(self.pool(features, size))
        return self.head(self.dropout(global_avg_pool(features), rngs=rngs))


def scale_channels(channels: int, width: float) -> int:
    """`channels` times `width`, rounded to a multiple of 8, at least 8."""
    return max(8, 8 * round(channels * width / 8))
