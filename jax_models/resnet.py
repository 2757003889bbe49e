"""ResNet-18: "Deep residual learning for image recognition", He, Zhang, Ren, Sun, 2015, arXiv 1512.03385.

Table 1, column "18-layer": four stages of two basic blocks; the first block of stages two to four halves the image.

Differences from the paper: the common CIFAR variant of the ImageNet network, 11,173,962 parameters with 3 channels and
10 classes: for 32x32 images a 3x3 stem of stride 1 without max-pooling (the paper's is 7x7, stride 2, max-pooling);
projection shortcuts where the shape changes (the paper's option B); the last scale of each block starts at zero.
"""

from flax import nnx
from jaxtyping import Array, Float

from jax_models.layers import BatchNorm, Conv, ConvNormAct, Linear, global_avg_pool, identity


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

    def residual(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        """What the block adds to its shortcut."""
        return self.norm2(self.conv2(self.conv1(images)))

    def __call__(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        return nnx.relu(self.residual(images) + self.shortcut(images))


class ResNet(nnx.Module):
    """A ResNet of `block`s; `channels` and `repeats` of the four stages (table 1, "18-layer")."""

    block = BasicBlock

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        channels: tuple[int, ...] = (64, 128, 256, 512),
        repeats: tuple[int, ...] = (2, 2, 2, 2),
        stem_stride: int = 1,
        dropout_rate: float = 0.0,
        rngs: nnx.Rngs,
    ):
        self.stem = ConvNormAct(in_channels, channels[0], stride=stem_stride, rngs=rngs)
        in_channels = channels[0]
        self.stages = nnx.List([])
        for index, (out_channels, depth) in enumerate(zip(channels, repeats, strict=True)):
            blocks = []
            for position in range(depth):
                stride = 2 if index > 0 and position == 0 else 1
                blocks.append(self.block(in_channels, out_channels, stride=stride, rngs=rngs))
                in_channels = out_channels
            self.stages.append(nnx.Sequential(*blocks))
        self.dropout = nnx.Dropout(dropout_rate)
        self.head = Linear(in_channels, num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits; in training mode with dropout, `rngs` must carry a `dropout` stream."""
        features = self.stem(images)
        for stage in self.stages:
            features = stage(features)
        return self.head(self.dropout(global_avg_pool(features), rngs=rngs))
