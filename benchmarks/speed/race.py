"""Two processes side by side, ours and PyTorch's, which take turns: what else the machine does hits both.

Each has its threads to itself. In one process they would not: there one OpenMP library serves PyTorch and our oneDNN,
and PyTorch's short steps take up to seven times longer.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.cells import cell_environment
from benchmarks.children import Child
from jax_models import onednn
from jax_models.errors import RunError

Row = dict[str, Any]

# Many short turns, because a machine may be slower for seconds, which otherwise would hit one side alone: the ratios of
# Xception's quick training step went from 0.56 to 1.21 with turns of 0.3 s, one a pair.
PAIR_SECONDS = 2.0  # at least, of a pair of measurements, and of trying a variant
HOPELESS = 1.5  # times the fastest variant so far: such a one takes one turn
TOLERANCE = 1e-3  # between the logits of the two sides, by the largest of them


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to run PyTorch: eager or `torch.compile`, images NCHW or channels-last in memory."""

    compiled: bool
    channels_last: bool

    def __str__(self) -> str:
        return f"{'compile' if self.compiled else 'eager'}, {'channels-last' if self.channels_last else 'NCHW'}"


def matmul_peak() -> float:
    """GFLOP/s of the fastest square matrix product that either side does, float32.

    Raises:
        RunError: a side failed.
    """
    with _side("our_side", what="the matrix product") as ours, _side("torch_side", what="the matrix product") as theirs:
        return max(side.ask(do="peak")["gflops"] for side in (ours, theirs))


def race(network: Row, modes: Sequence[str], *, pairs: int, compiled: Sequence[bool], what: str) -> Iterator[Row]:
    """Measures one network, and gives the row of each mode.

    Args:
        network: "model" and "preset".
        pairs: measurements of each side, over several turns each if they are short.
        compiled: PyTorch is tried eager (False), by `torch.compile` (True), or both; the fastest way counts.
        what: the work in words, for the error.

    Raises:
        RunError: the two sides do not compute the same, or one failed.
    """
    variants = [Variant(compiled=one, channels_last=layout) for one in compiled for layout in (False, True)]
    with _side("our_side", what=what) as ours, _side("torch_side", what=what) as theirs:
        for mode in modes:
            yield _run(ours, theirs, network | {"mode": mode}, pairs=pairs, variants=variants)


def _side(name: str, *, what: str) -> Child:
    environment = cell_environment("cpu") | ({onednn.SWITCH: "0"} if name == "torch_side" else {})
    return Child((sys.executable, "-m", f"benchmarks.speed.{name}"), what=what, environment=environment)


def _run(ours: Child, theirs: Child, work: Row, *, pairs: int, variants: Sequence[Variant]) -> Row:
    made = ours.ask(do="prepare", **work)
    tried = {}
    for variant in variants:
        peer = theirs.ask(do="prepare", **work, **dataclasses.asdict(variant))
        difference = _difference(made["logits"], peer["logits"])
        if not difference < TOLERANCE:
            raise RunError(f"the logits of the two sides differ by {difference:.0e}: their times cannot be compared")
        least = _seconds(theirs)
        if not tried or least < HOPELESS * min(tried.values()):
            least = min(least, *_turns(lambda: _seconds(theirs)))
        tried[variant] = least
    variant = min(tried, key=lambda variant: tried[variant])
    theirs.ask(do="prepare", **work, **dataclasses.asdict(variant))
    seconds = np.array([np.mean(_turns(lambda: (_seconds(ours), _seconds(theirs))), axis=0) for _ in range(pairs)])
    ratios = seconds[:, 1] / seconds[:, 0]
    our_seconds, their_seconds = np.median(seconds, axis=0).tolist()
    done = made["forward_flops"] * (3 if work["mode"] == "train" else 1)  # a gradient costs twice its forward pass
    cold, cached = made["compile_seconds"]
    return {
        **work,
        "ours_ms": 1e3 * our_seconds,
        "torch_ms": 1e3 * their_seconds,
        "ratio": float(np.median(ratios)),
        "ratio_range": [float(ratios.min()), float(ratios.max())],
        "gflops": done / our_seconds / 1e9,
        "torch_gflops": done / their_seconds / 1e9,
        "compile_seconds": cold,
        "cached_compile_seconds": cached,
        "torch_variant": str(variant),
        "torch_variants_ms": {str(variant): 1e3 * least for variant, least in tried.items()},
        "logits_difference": difference,
    }


def _seconds(side: Child) -> float:
    return side.ask(do="measure")["seconds"]


def _turns(turn: Callable[[], Any]) -> list[Any]:
    """What turns give, until `PAIR_SECONDS` are over; one at least."""
    done, started = [], time.monotonic()
    while not done or time.monotonic() - started < PAIR_SECONDS:
        done.append(turn())
    return done


def _difference(ours: Any, theirs: Any) -> float:
    """The largest difference between the logits of the two sides, by the largest logit."""
    return float(np.abs(np.subtract(ours, theirs)).max() / np.abs(theirs).max())
