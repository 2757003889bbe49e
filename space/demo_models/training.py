"""The loop that both recipes share: AdamW, a warm-up and a straight descent, checkpoints that a stopped run resumes."""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jax_models.errors import RunError, UsageError
from jax_models.output import replacing

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Plan:
    """How long and how fast: `steps` batches of `batch_size` examples, a warm-up over that share of them."""

    steps: int
    batch_size: int
    rank: int
    learning_rate: float
    seed: int = 0
    weight_decay: float = 0.01
    warmup: float = 0.06
    checkpoint_every: int = 50


@dataclass(frozen=True)
class Progress:
    """After `step` of `steps`: the mean loss since the last report."""

    step: int
    steps: int
    loss: float


def fit(
    model: Any,
    *,
    plan: Plan,
    batches: Callable[[int], Iterable[Any]],
    loss_of: Callable[[Any], Any],
    folder: Path,
    report: Callable[[Progress], None] = lambda progress: None,
) -> float:
    """Trains the model's trainable weights in place; a checkpoint of the same plan in `folder` is gone on from.

    `batches(epoch)` gives the same batches each time it is asked, and each step's dropout follows from its number: a
    run that was stopped ends as one that was not. Returns the processor seconds of all its parts.

    Raises:
        UsageError: the checkpoint there is of another plan.
        RunError: the loss is not finite, or a checkpoint cannot be written.
    """
    import torch

    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimiser = torch.optim.AdamW(weights.values(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    step, seconds = _resume(folder / CHECKPOINT, weights, optimiser, plan)
    started = time.process_time() - seconds
    model.train()
    losses: list[float] = []
    for batch in itertools.islice(_endless(batches), step, plan.steps):
        torch.manual_seed(plan.seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * _factor(step, plan)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise RunError(f"the loss is not finite at step {step}; try a lower --learning-rate")
        if step % plan.checkpoint_every == 0 or step == plan.steps:
            seconds = time.process_time() - started
            _save(folder / CHECKPOINT, weights, optimiser, {"plan": asdict(plan), "step": step, "seconds": seconds})
            report(Progress(step, plan.steps, sum(losses) / len(losses)))
            losses.clear()
    model.eval()
    return seconds


def _endless(batches: Callable[[int], Iterable[Any]]) -> Iterator[Any]:
    for epoch in itertools.count():
        yield from batches(epoch)


def _factor(step: int, plan: Plan) -> float:
    rise = max(1.0, plan.warmup * plan.steps)
    return min((step + 1) / rise, (plan.steps - step) / max(1.0, plan.steps - rise))


def _save(path: Path, weights: dict[str, Any], optimiser: Any, state: dict[str, Any]) -> None:
    import torch

    with replacing(path) as file:
        torch.save({**state, "weights": weights, "optimiser": optimiser.state_dict()}, file)


def _resume(path: Path, weights: dict[str, Any], optimiser: Any, plan: Plan) -> tuple[int, float]:
    """The step to go on from and the seconds that went before it: none without a checkpoint."""
    import torch

    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    if state["plan"] != asdict(plan):
        raise UsageError(f"{path} is of a run with other options; delete it, or choose another --out")
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(state["weights"][name])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"], state["seconds"]
