"""How weights are updated: a frozen description. Image and sequence tasks add their own fields to it."""

import dataclasses
import hashlib
import json
from typing import Any, Literal


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimiser, schedule and averaging. The learning rate warms up to its peak, then falls linearly to zero.

    Attributes:
        optimizer: "sgd" (Nesterov momentum), "adam" (without weight decay), "adamw", or "muon" (`muon.py`; what is no
            matrix goes to NAdam).
        peak_learning_rate: for `optimizer`, at the top of the schedule.
        weight_decay: decoupled for adamw and muon, L2 for sgd; on kernels only, never on biases and scales.
        momentum: of sgd and muon.
        warmup: fraction of the steps that the learning rate rises.
        ema_decay: decay per step of the averaged weights that are evaluated; 0 evaluates the last weights.
    """

    optimizer: Literal["sgd", "adam", "adamw", "muon"] = "sgd"
    peak_learning_rate: float = 0.1
    weight_decay: float = 5e-4
    momentum: float = 0.9
    warmup: float = 0.2
    ema_decay: float = 0.0


def fingerprint(settings: Any) -> str:
    """Eight hexadecimal digits that change with any value in `settings`, which JSON must be able to hold."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
