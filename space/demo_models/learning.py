"""A plain training loop for PyTorch modules on a CPU, which goes on after a stop exactly where it was.

Nothing is random in it but what `loss_at(step)` draws, and that it draws from the step's number: so a run that was
killed and resumed ends with the same weights, bit for bit, as one that was not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from jax_models.errors import RunError
from jax_models.output import replacing

WARMUP_STEPS = 200
COOLDOWN_SHARE = 0.3
GRADIENT_NORM = 1.0
SAVE_EVERY = 250


@dataclass(frozen=True)
class Plan:
    """How one part is trained.

    Attributes:
        steps: updates in all; 200 of warm-up, and over the last 30 % the rate falls to zero in a straight line.
        learning_rate: between the two.
        batch_size: pictures in each step.
        average: the longest memory of the moving average of the weights, which is what training returns.
        seed: of everything that the steps draw.
    """

    steps: int
    learning_rate: float
    batch_size: int = 64
    average: float = 0.999
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        left = (self.steps - step) / max(1.0, COOLDOWN_SHARE * self.steps)
        return self.learning_rate * min(1.0, (step + 1) / WARMUP_STEPS, left)


def learn(
    module: nn.Module,
    loss_at: Callable[[int], Tensor],
    *,
    plan: Plan,
    checkpoint: Path,
    on_step: Callable[[int, float], None],
) -> None:
    """Trains a module in place with AdamW, and leaves the moving average of its weights in it.

    Args:
        loss_at: the loss of a step; it must draw from the step's number alone.
        checkpoint: file of the state, written every 250 steps and at the end, and gone on from if it exists.
        on_step: is told the steps done and the last loss.

    Raises:
        RunError: the loss is no longer a number.
    """
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=plan.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    average = [parameter.detach().clone() for parameter in module.parameters()]
    done = _restore(checkpoint, module, average=average, optimiser=optimiser) if checkpoint.exists() else 0
    module.train()
    for step in range(done, plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(step)
        loss = loss_at(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), GRADIENT_NORM)
        optimiser.step()
        with torch.no_grad():
            memory = min(plan.average, (step + 1) / (step + 10))
            for mean, parameter in zip(average, module.parameters(), strict=True):
                mean.lerp_(parameter, 1 - memory)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == plan.steps:
            if not torch.isfinite(loss):
                raise RunError(f"the loss is {loss.item()} at step {step + 1}; try a lower learning rate")
            _save(checkpoint, module, average=average, optimiser=optimiser, step=step + 1)
        on_step(step + 1, loss.item())
    with torch.no_grad():
        for parameter, mean in zip(module.parameters(), average, strict=True):
            parameter.copy_(mean)
    module.eval()


def _save(path: Path, module: nn.Module, *, average: list[Tensor], optimiser: torch.optim.Optimizer, step: int) -> None:
    weights = [parameter.detach() for parameter in module.parameters()]
    state = {"step": step, "weights": weights, "average": average, "optimiser": optimiser.state_dict()}
    with replacing(path) as file:
        torch.save(state, file)


def _restore(path: Path, module: nn.Module, *, average: list[Tensor], optimiser: torch.optim.Optimizer) -> int:
    state = torch.load(path, weights_only=True)
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), state["weights"], strict=True):
            parameter.copy_(value)
        for mean, value in zip(average, state["average"], strict=True):
            mean.copy_(value)
    optimiser.load_state_dict(state["optimiser"])
    return state["step"]
