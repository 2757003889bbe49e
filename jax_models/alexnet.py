"""AlexNet: "ImageNet classification with deep convolutional neural networks", Krizhevsky, Sutskever, Hinton, NIPS 2012.

Five convolutions, max-pooling after the first, second and fifth, two hidden layers with dropout, a linear classifier.

Differences from the paper: the widths of its single-GPU successor (arXiv 1404.5997, as in torchvision), 64, 192, 384,
256 and 256, without groups and without local response normalisation. For 32x32 images, in the common CIFAR adaptation:
all kernels 3x3, stride 2 in the first, 2x2 pooling without overlap (32 -> 16 -> 8 -> 4 -> 2), so that the classifier
reads 256 x 2 x 2 features.

Parameters at full width, 3 channels, 10 classes: the convolutions with biases 1,792 + 110,784 + 663,936 + 884,992 +
590,080, the classifier 1024 x 4096 + 4096 = 4,198,400, 4096 x 4096 + 4096 = 16,781,312 and 40,970: 23,272,266.
"""

from flax import nnx
from jaxtyping import Array, Float

from jax_models import lowering
from jax_models.data.batches import IMAGE_SIZE
from jax_models.layers import ConvAct, Linear, he_fan_in

STAGES = (1, 1, 3)  # figure 2 of the paper: convolutions before each max-pooling


class AlexNet(nnx.Module):
    """AlexNet for 32x32 images; `channels` of the five convolutions, `hidden` units of the two dense layers."""

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        channels: tuple[int, ...] = (64, 192, 384, 256, 256),
        hidden: int = 4096,
        stem_stride: int = 2,
        dropout_rate: float = 0.5,
        rngs: nnx.Rngs,
    ):
        self.stages = nnx.List([])
        widths, stride = iter(channels), stem_stride
        for repeats in STAGES:
            blocks = []
            for _ in range(repeats):
                out_channels = next(widths)
                blocks.append(ConvAct(in_channels, out_channels, stride=stride, rngs=rngs))
                in_channels, stride = out_channels, 1
            self.stages.append(nnx.Sequential(*blocks))
        feature_size = IMAGE_SIZE // stem_stride // 2 ** len(STAGES)
        features = feature_size * feature_size * in_channels
        self.hidden = nnx.List([])
        for _ in range(2):
            self.hidden.append(Linear(features, hidden, kernel_init=he_fan_in, rngs=rngs))
            features = hidden
        self.dropout = nnx.Dropout(dropout_rate)
        self.head = Linear(features, num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits of 32x32 images; in training mode `rngs` must carry a `dropout` stream."""
        features = images
        for stage in self.stages:
            features = lowering.max_pool(stage(features), (2, 2))
        features = features.reshape(len(features), -1)
        for linear in self.hidden:
            features = nnx.relu(linear(self.dropout(features, rngs=rngs)))
        return self.head(features)
