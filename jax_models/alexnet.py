"""AlexNet: "ImageNet classification with deep convolutional neural networks", Krizhevsky, Sutskever, Hinton, NIPS 2012.

Five convolutions, max-pooling after the first, second and fifth, two hidden layers with dropout, a linear classifier.

Differences from the paper: the widths of its single-GPU successor (arXiv 1404.5997, as in torchvision), 64, 192, 384,
256 and 256, without groups and without local response normalisation. For 32x32 images, in the common CIFAR adaptation:
all kernels 3x3, stride 2 in the first, 2x2 pooling without overlap (32 -> 16 -> 8 -> 4 -> 2), so that the classifier
reads 256 x 2 x 2 features. On 224x224 images the variant `alexnet` of ImageNet has the paper's kernels, 11x11 of stride
4, 5x5 and 3x3, and its overlapping 3x3 pooling, and reads 256 x 6 x 6: 61,100,840 parameters with 1000 classes, as
torchvision's.

Parameters at full width, 3 channels, 10 classes: the convolutions with biases 1,792 + 110,784 + 663,936 + 884,992 +
590,080, the classifier 1024 x 4096 + 4096 = 4,198,400, 4096 x 4096 + 4096 = 16,781,312 and 40,970: 23,272,266.
"""

from flax import nnx
from jaxtyping import Array, Float

from jax_models import lowering
from jax_models.layers import ConvAct, Linear, adaptive_avg_pool, flatten, he_fan_in

STAGES = (1, 1, 3)  # figure 2 of the paper: convolutions before each max-pooling


class AlexNet(nnx.Module):
    """AlexNet; its classifier reads `grid_size` x `grid_size` positions, to which images of other sizes are averaged.

    `channels` and `kernel_sizes` are those of the five convolutions, `hidden` the units of the two dense layers. The
    first convolution has `stem_stride` and `stem_padding` (None: half its kernel); pooling windows move by 2.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        channels: tuple[int, ...] = (64, 192, 384, 256, 256),
        kernel_sizes: tuple[int, ...] = (3, 3, 3, 3, 3),
        hidden: int = 4096,
        stem_stride: int = 2,
        stem_padding: int | None = None,
        pool_size: int = 2,
        grid_size: int = 2,
        dropout_rate: float = 0.5,
        rngs: nnx.Rngs,
    ):
        self.stages = nnx.List([])
        self.pool_size, self.grid_size = pool_size, grid_size
        shapes, stride, padding = zip(channels, kernel_sizes, strict=True), stem_stride, stem_padding
        for repeats in STAGES:
            blocks = []
            for _ in range(repeats):
                out_channels, kernel_size = next(shapes)
                padding = kernel_size // 2 if padding is None else padding
                shape = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
                blocks.append(ConvAct(in_channels, out_channels, **shape, rngs=rngs))
                in_channels, stride, padding = out_channels, 1, None
            self.stages.append(nnx.Sequential(*blocks))
        features = grid_size * grid_size * in_channels
        self.hidden = nnx.List([])
        for _ in range(2):
            self.hidden.append(Linear(features, hidden, kernel_init=he_fan_in, rngs=rngs))
            features = hidden
        self.dropout = nnx.Dropout(dropout_rate)
        self.head = Linear(features, num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits; in training mode `rngs` must carry a `dropout` stream."""
        features = images
        for stage in self.stages:
            features = lowering.max_pool(stage(features), (self.pool_size, self.pool_size), strides=(2, 2))
        features = flatten(adaptive_avg_pool(features, self.grid_size))
        for linear in self.hidden:
            features = nnx.relu(linear(self.dropout(features, rngs=rngs)))
        return self.head(features)
