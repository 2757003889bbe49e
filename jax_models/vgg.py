"""VGG-16: "Very deep convolutional networks for large-scale image recognition", Simonyan, Zisserman, 2014.

arXiv 1409.1556. Table 1, column D: five stages of 3x3 convolutions, 2x2 max-pooling after each.

Differences from the paper: the common CIFAR variant with batch normalisation, 14,724,042 parameters with 3 channels and
10 classes: convolutions without bias, each followed by batch normalisation (arXiv 1502.03167); for 32x32 images the
last pooling leaves 1x1, and one linear layer takes the place of the two hidden layers of 4096 units and the classifier.
On 224x224 images the variant `vgg16_bn` of ImageNet has those layers, which read 512 x 7 x 7 features, and biases in
its convolutions: 138,365,992 parameters with 1000 classes, as torchvision's.
"""

from flax import nnx
from jaxtyping import Array, Float

from jax_models import lowering
from jax_models.layers import ConvNormAct, Linear, adaptive_avg_pool, flatten, he_fan_in


class VGG(nnx.Module):
    """VGG with batch normalisation; `channels` and `repeats` of the five stages (table 1, column D).

    `stem_stride` is the first convolution's. With 2, stage five works on 1x1 of a 32x32 image and its pooling changes
    nothing. The layers after the stages read `grid_size` x `grid_size` positions, to which images of other sizes are
    averaged. Pooling rounds odd sizes up and torchvision's down, which is the same for 32, 64, 96, 224, ... pixels.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        channels: tuple[int, ...] = (64, 128, 256, 512, 512),
        repeats: tuple[int, ...] = (2, 2, 3, 3, 3),
        conv_bias: bool = False,
        hidden: tuple[int, ...] = (),
        stem_stride: int = 1,
        grid_size: int = 1,
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ):
        self.stages = nnx.List([])
        stride, self.grid_size = stem_stride, grid_size
        for out_channels, depth in zip(channels, repeats, strict=True):
            blocks = []
            for _ in range(depth):
                blocks.append(ConvNormAct(in_channels, out_channels, stride=stride, use_bias=conv_bias, rngs=rngs))
                in_channels, stride = out_channels, 1
            self.stages.append(nnx.Sequential(*blocks))
        features = grid_size * grid_size * in_channels
        self.hidden = nnx.List([])
        for out_features in hidden:
            self.hidden.append(Linear(features, out_features, kernel_init=he_fan_in, rngs=rngs))
            features = out_features
        self.dropout = nnx.Dropout(dropout_rate)
        self.head = Linear(features, num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits; in training mode with hidden layers and dropout, `rngs` must carry a `dropout` stream."""
        features = images
        for stage in self.stages:
            features = lowering.max_pool(stage(features), (2, 2), padding="SAME")
        features = flatten(adaptive_avg_pool(features, self.grid_size))
        for linear in self.hidden:
            features = nnx.relu(linear(features))
            features = self.dropout(features, rngs=rngs)
        return self.head(features)
