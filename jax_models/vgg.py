"""VGG-16: "Very deep convolutional networks for large-scale image recognition", Simonyan, Zisserman, 2014.

arXiv 1409.1556. Table 1, column D: five stages of 3x3 convolutions, 2x2 max-pooling after each.

Differences from the paper: the common CIFAR variant with batch normalisation, 14,724,042 parameters with 3 channels and
10 classes: convolutions without bias, each followed by batch normalisation (arXiv 1502.03167); for 32x32 images the
last pooling leaves 1x1, and one linear layer takes the place of the two hidden layers of 4096 units and the classifier.
"""

from flax import nnx
from jaxtyping import Array, Float

from jax_models import lowering
from jax_models.layers import ConvNormAct, Linear, global_avg_pool


class VGG(nnx.Module):
    """VGG with batch normalisation; `channels` and `repeats` of the five stages (table 1, column D).

    `stem_stride` is the first convolution's. With 2, stage five works on 1x1 and its pooling changes nothing.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        channels: tuple[int, ...] = (64, 128, 256, 512, 512),
        repeats: tuple[int, ...] = (2, 2, 3, 3, 3),
        stem_stride: int = 1,
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ):
        self.stages = nnx.List([])
        stride = stem_stride
        for out_channels, depth in zip(channels, repeats, strict=True):
            blocks = []
            for _ in range(depth):
                blocks.append(ConvNormAct(in_channels, out_channels, stride=stride, rngs=rngs))
                in_channels, stride = out_channels, 1
            self.stages.append(nnx.Sequential(*blocks))
        self.dropout = nnx.Dropout(dropout_rate)
        self.head = Linear(in_channels, num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits; in training mode with dropout, `rngs` must carry a `dropout` stream."""
        features = images
        for stage in self.stages:
            features = lowering.max_pool(stage(features), (2, 2), padding="SAME")
        return self.head(self.dropout(global_avg_pool(features), rngs=rngs))
