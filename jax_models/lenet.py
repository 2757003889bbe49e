"""LeNet-5: "Gradient-based learning applied to document recognition", LeCun, Bottou, Bengio, Haffner, Proc. IEEE 1998.

Figure 2: two 5x5 convolutions without padding, each followed by 2x2 subsampling, then 120, 84 and one unit per class.
The paper's input is 32x32, so MNIST padded by 2 is LeNet's own size.

Differences from the paper: the common modern variant, 62,006 parameters with 3 channels and 10 classes (61,706 with one
channel): ReLU for the scaled tanh; max-pooling for the trainable subsampling; every map of the second convolution sees
all six maps of the first (table I of the paper connects some); linear logits with a softmax loss for the RBF units.
"""

from flax import nnx
from jaxtyping import Array, Float

from jax_models import lowering
from jax_models.layers import ConvAct, Linear, flatten, he_fan_in

FEATURE_SIZE = 5  # figure 2: layer S4 is 5x5 for 32x32 images


class LeNet5(nnx.Module):
    """LeNet-5 for 32x32 images; `channels` are those of C1 and C3, `hidden` the units of C5 and F6."""

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 3,
        channels: tuple[int, int] = (6, 16),
        hidden: tuple[int, int] = (120, 84),
        rngs: nnx.Rngs,
    ):
        self.stages = nnx.List([])
        for out_channels in channels:
            self.stages.append(ConvAct(in_channels, out_channels, kernel_size=5, padding=0, rngs=rngs))
            in_channels = out_channels
        self.hidden = nnx.List([])
        features = FEATURE_SIZE * FEATURE_SIZE * in_channels
        for out_features in hidden:
            self.hidden.append(Linear(features, out_features, kernel_init=he_fan_in, rngs=rngs))
            features = out_features
        self.head = Linear(features, num_classes, rngs=rngs)

    def __call__(self, images: Float[Array, "b h w c"], *, rngs: nnx.Rngs | None = None) -> Float[Array, "b k"]:
        """Logits of 32x32 images; `rngs` is not used, the network has no dropout."""
        features = images
        for stage in self.stages:
            features = lowering.max_pool(stage(features), (2, 2))
        features = flatten(features)
        for linear in self.hidden:
            features = nnx.relu(linear(features))
        return self.head(features)
