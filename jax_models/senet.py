"""SE-ResNet-18: "Squeeze-and-excitation networks", Hu, Shen, Albanie, Sun, Wu, 2017, arXiv 1709.01507.

The network is ResNet-18 (see `resnet.py` and its differences); a squeeze-and-excitation unit rescales the channels of
each residual before the shortcut is added (figure 3), with reduction ratio 16 (section 6.1).

Differences from the paper: the paper tabulates SE-ResNet-50; the unit goes into basic blocks in the same place, as in
legacy_seresnet18 of timm.

Parameters at full width, 3 channels, 10 classes: ResNet-18 has 11,173,962. A unit on c channels has two linear layers
with biases, 2 c (c / 16) + c / 16 + c: 580, 2,184, 8,464 and 33,312 for 64 to 512 channels, each twice: 89,080.
Together 11,263,042.

The variants of ImageNet are timm's, 11,778,592 and 28,088,024 parameters with 1000 classes: `seresnet50`, the paper's,
and `legacy_seresnet18`, ported from Caffe, which has a ReLU before each unit and rounds its pooling up.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jax_models.layers import Linear, global_avg_pool, he_fan_in
from jax_models.resnet import BasicBlock, Bottleneck, ResNet

REDUCTION = 16  # section 6.1, table 10
SMALLEST = 4  # hidden units, where the quick preset has few channels; 64 channels, the fewest at full width, give 4


class SqueezeExcitation(nnx.Module):
    """Equations 2 to 4: mean over positions, two linear layers, a factor in (0, 1) for each channel."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        hidden = max(SMALLEST, channels // REDUCTION)
        self.reduce = Linear(channels, hidden, kernel_init=he_fan_in, rngs=rngs)
        self.expand = Linear(hidden, channels, rngs=rngs)

    def __call__(self, features: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        squeezed = nnx.relu(self.reduce(global_avg_pool(features)))
        scale = nnx.sigmoid(self.expand(squeezed)).astype(features.dtype)
        return features * jnp.expand_dims(scale, (1, 2))


class SEBasicBlock(BasicBlock):
    """ResNet's basic block whose residual is rescaled channel by channel (figure 3)."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, rngs: nnx.Rngs):
        super().__init__(in_channels, out_channels, stride=stride, rngs=rngs)
        self.excitation = SqueezeExcitation(out_channels, rngs=rngs)

    def residual(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        """What the block adds to its shortcut."""
        return self.excitation(super().residual(images))


class RectifiedSEBasicBlock(SEBasicBlock):
    """The same with a ReLU before the rescaling, as in Caffe's networks."""

    def residual(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        """What the block adds to its shortcut."""
        return self.excitation(nnx.relu(BasicBlock.residual(self, images)))


class SEBottleneck(Bottleneck):
    """ResNet's bottleneck whose residual is rescaled channel by channel (figure 3)."""

    def __init__(self, in_channels: int, channels: int, *, stride: int, rngs: nnx.Rngs):
        super().__init__(in_channels, channels, stride=stride, rngs=rngs)
        self.excitation = SqueezeExcitation(self.out_channels, rngs=rngs)

    def residual(self, images: Float[Array, "b h w i"]) -> Float[Array, "b y x o"]:
        """What the block adds to its shortcut."""
        return self.excitation(super().residual(images))


class SEResNet(ResNet):
    """ResNet with squeeze-and-excitation in every block; the arguments are `ResNet`'s."""

    blocks: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "basic": SEBasicBlock,
        "rectified basic": RectifiedSEBasicBlock,
        "bottleneck": SEBottleneck,
    }
