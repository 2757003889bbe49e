"""The process that runs PyTorch: `python -m benchmarks.speed.torch_side`, started by `benchmarks.speed`.

JAX only makes the weights here: it computes nothing while PyTorch is measured, and oneDNN is PyTorch's own.
"""

from typing import Any

import numpy as np
import torch
from flax import nnx

from benchmarks import provenance
from benchmarks.speed.side import CHECKED_IMAGES, LABEL_SMOOTHING, RECIPE, Block, Mode, Side, serve
from benchmarks.speed.torch_peer import torch_peer


class TorchSide(Side):
    """The same networks as a PyTorch programmer would run them."""

    def make(
        self,
        model: nnx.Module,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        mode: Mode,
        compiled: bool,
        channels_last: bool,
    ) -> dict[str, Any]:
        """Tells no more than the logits."""
        with torch.inference_mode():
            logits = torch_peer(model).eval()(_channels_first(images[:CHECKED_IMAGES]))
        self.block = torch_block(model, images, labels, mode=mode, compiled=compiled, channels_last=channels_last)
        return {"logits": logits.tolist()}

    def product(self, matrix: np.ndarray) -> Block:
        """By PyTorch."""
        operand = torch.from_numpy(matrix)
        return lambda: torch.matmul(operand, operand)


def torch_block(
    model: nnx.Module, images: np.ndarray, labels: np.ndarray, *, mode: Mode, compiled: bool, channels_last: bool
) -> Block:
    """A step of the mode: eager or by `torch.compile`, images NCHW or channels-last in memory."""
    torch.compiler.reset()  # or else, after a few variants, PyTorch goes back to eager without a word
    layout = torch.channels_last if channels_last else torch.contiguous_format
    peer: Any = torch_peer(model)
    peer = peer.to(memory_format=layout)
    inputs = _channels_first(images).contiguous(memory_format=layout)
    targets = torch.from_numpy(labels.astype(np.int64))
    if mode != "train":
        forward = torch.compile(peer.eval()) if compiled else peer.eval()

        def infer() -> Any:
            with torch.inference_mode():
                return forward(inputs)

        return infer

    def loss_fn() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(peer(inputs), targets, label_smoothing=LABEL_SMOOTHING)

    peer.train()
    decayed = [param for param in peer.parameters() if param.ndim > 1]
    others = [param for param in peer.parameters() if param.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": RECIPE.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(
        groups, lr=RECIPE.peak_learning_rate, momentum=RECIPE.momentum, nesterov=True, fused=True
    )
    compute = torch.compile(loss_fn) if compiled else loss_fn

    def block() -> Any:
        optimizer.zero_grad()
        loss = compute()
        loss.backward()
        optimizer.step()
        return loss

    return block


def _channels_first(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


if __name__ == "__main__":
    torch.set_num_threads(provenance.device()["cores"])
    serve(TorchSide())
