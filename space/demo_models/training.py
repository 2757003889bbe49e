"""The training loop of the recipes: AdamW, a warm-up, a straight descent, checkpoints that a stopped run resumes.

Nothing is random in it but what a step draws, and that follows from the step's number: a run that was stopped and
resumed ends with the same weights, bit for bit, as one that was not.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from jax_models.errors import RunError, UsageError
from jax_models.output import replacing

GRADIENT_NORM = 1.0
WEIGHT_DECAY = 0.01


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model is trained.

    Attributes:
        steps: updates in all.
        batch_size: examples in each.
        learning_rate: the highest.
        warmup: the share of the steps in which the rate rises to it.
        cooldown: the share of the steps in which it falls to zero, in a straight line.
        second_moment: how much of its running mean of squared gradients AdamW keeps.
        average: the longest memory of the moving average of the weights, which training ends with; 0 for the last ones.
        seed: of everything that the steps draw.
        checkpoint_every: steps between two checkpoints.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup: float
    cooldown: float
    second_moment: float = 0.999
    average: float = 0.0
    seed: int = 0
    checkpoint_every: int = 50

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rise, fall = (max(1.0, share * self.steps) for share in (self.warmup, self.cooldown))
        return self.learning_rate * min(1.0, (step + 1) / rise, (self.steps - step) / fall)


@dataclass(frozen=True)
class Progress:
    """After `step` of `steps`: the mean loss since the last report."""

    step: int
    steps: int
    loss: float


def train(
    module: nn.Module,
    *,
    batches: Iterator[Any],
    loss_of: Callable[[Any], Float[Tensor, ""]],
    plan: Plan,
    checkpoint: Path,
    report: Callable[[Progress], None] = lambda progress: None,
) -> float:
    """Trains the module's trainable weights in place; goes on from the checkpoint if there is one.

    Args:
        batches: the same, from the first step on, each time.
        loss_of: the loss of a batch; what it draws with PyTorch follows from the step's number.
        report: is told at each checkpoint.

    Returns:
        The processor seconds of all parts of the run.

    Raises:
        UsageError: the checkpoint there is of another plan.
        RunError: the loss is not finite, or a checkpoint cannot be written.
    """
    weights = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    average = {name: weight.detach().clone() for name, weight in weights.items()} if plan.average else {}
    moments = (0.9, plan.second_moment)
    optimiser = torch.optim.AdamW(
        weights.values(), lr=plan.learning_rate, betas=moments, weight_decay=WEIGHT_DECAY, fused=True
    )
    step, seconds = _resume(checkpoint, weights, average, optimiser, plan)
    started = time.process_time() - seconds
    module.train()
    losses: list[float] = []
    for batch in itertools.islice(batches, step, plan.steps):
        torch.manual_seed(plan.seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(step)
        loss = loss_of(batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights.values(), GRADIENT_NORM)
        optimiser.step()
        step += 1
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise RunError(f"the loss is not finite at step {step}; try a lower learning rate")
        memory = min(plan.average, step / (step + 9))
        for name, mean in average.items():
            mean.lerp_(weights[name].detach(), 1 - memory)
        if step % plan.checkpoint_every == 0 or step == plan.steps:
            seconds = time.process_time() - started
            _save(checkpoint, weights, average, optimiser, {"plan": asdict(plan), "step": step, "seconds": seconds})
            report(Progress(step, plan.steps, sum(losses) / len(losses)))
            losses.clear()
    _put(average, into=weights)
    module.eval()
    return seconds


def _save(
    path: Path, weights: Mapping[str, Tensor], average: Mapping[str, Tensor], optimiser: Any, state: dict[str, Any]
) -> None:
    with replacing(path) as file:
        torch.save({**state, "weights": weights, "average": average, "optimiser": optimiser.state_dict()}, file)


def _resume(
    path: Path, weights: Mapping[str, Tensor], average: Mapping[str, Tensor], optimiser: Any, plan: Plan
) -> tuple[int, float]:
    """The step to go on from and the seconds that went before it: none without a checkpoint."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    if state["plan"] != asdict(plan):
        raise UsageError(f"{path} is of a run with other options; delete it, or choose another --out")
    _put(state["weights"], into=weights)
    _put(state["average"], into=average)
    optimiser.load_state_dict(state["optimiser"])
    return state["step"], state["seconds"]


@torch.no_grad()
def _put(values: Mapping[str, Tensor], *, into: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        into[name].copy_(value)
