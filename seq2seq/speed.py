"""`python -m seq2seq.speed`: our training step and greedy decoding beside PyTorch's, of the same network.

Both sides have the same weights, which is checked, and the same work. Training, without dropout on either side: random
words among what the decoder reads, teacher forcing, cross-entropy and hits, gradients, clipping, Adam, the moving
average of the weights. Decoding: the most likely token, until all outputs have ended. Ours are the step and the search
that the project trains and decodes with.

PyTorch runs as its programmers would have it: `nn.LSTM` reads sources of one length, without packing; the attention's
keys are made once; Adam is the fused one, and what goes over all weights is `foreach`. What nobody knows beforehand is
tried: `nn.LSTMCell`, or its gates by hand (then the inputs' share in them is made before the loop, and gates and query
are one product); eager or compiled; one thread or all. The fastest is the one that counts. It does not compute the
scores of the outputs, which our search gives, too.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from rich import box
from rich.console import Console
from rich.table import Table

from jax_models.command_line import Parser, positive
from jax_models.errors import RunError, UsageError, run_cli
from jax_models.output import prepare_folder, write_text
from jax_models.training.devices import data_mesh
from jax_models.training.metrics import MetricSums
from jax_models.training.optim import make_optimizer
from jax_models.training.state import create_state, take_apart
from seq2seq.configuration import Recipe, TrainConfig
from seq2seq.decoding import Searcher
from seq2seq.learning import make_train_step
from seq2seq.machine import share_the_cores
from seq2seq.model import Seq2Seq, shift_right, wrap
from seq2seq.tasks import Examples, with_targets
from seq2seq.vocabulary import BOS, EOS, PAD, SPECIAL


def _ask_for_torch() -> NoReturn:
    raise UsageError("there is nothing to compare with: PyTorch is not installed; pip install torch")


try:
    import torch  # pyright: ignore[reportMissingImports]

    from seq2seq.torch_peer import Peer, peer_loss, time_first
except ModuleNotFoundError:
    if __name__ == "__main__":
        run_cli(_ask_for_torch)
    _ask_for_torch()

NO_DROPOUT = Recipe(dropout=0.0)
SIZES = {
    "default": TrainConfig(recipe=NO_DROPOUT),
    "large": TrainConfig(hidden_size=256, embedding_size=128, attention_size=128, batch_size=64, recipe=NO_DROPOUT),
}
STEPS = 10  # training steps, or searches, in one measurement
TRIALS = 3  # measurements of each variant of PyTorch; the least counts
TOLERANCE = 1e-4  # of logits; they are about 1
LEAST_EQUAL = 0.99  # of the outputs: where two tokens are as likely, float error decides, and all that follows differs

COLUMNS = ("size", "mode", "ms", "PyTorch", "tokens/s", "PyTorch", "ratio (range)")

DESCRIPTION = """\
Measures our training step and greedy decoding beside PyTorch's, for the same network with additive attention, on the
CPU. The two take turns, so that what else the machine does hits both. The ratio is the median over all pairs.
"""
EPILOG = """\
what lands in OUT:
  speed.json, table.md       the measurements; all PyTorch variants; date, processor, versions, threads

examples:
  python -m seq2seq.speed                                  both sizes, training and decoding
  python -m seq2seq.speed --sizes default --eager          without the minutes that torch.compile takes
  python -m seq2seq.speed --json > speed.json
"""

Block = Callable[[], Any]
"""Does `STEPS` steps, and returns when they are done."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """One size and mode. Times are medians per step or search; a token is one of the target or of the output.

    Attributes:
        ratio: the median over pairs of PyTorch's time by ours; `ratio_range` has the least and the greatest.
        torch_variant: the fastest, which is the one that was compared.
        torch_variants_ms: the least time of every variant that was tried.
        difference: the largest between the logits of the two sides.
        equal_outputs: the share of decoded sequences that are the same on both sides.
    """

    size: str
    mode: str
    ours_ms: float
    torch_ms: float
    ours_tokens_per_second: float
    torch_tokens_per_second: float
    ratio: float
    ratio_range: tuple[float, float]
    pairs: int
    torch_variant: str
    torch_variants_ms: dict[str, float]
    difference: float
    equal_outputs: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to run PyTorch."""

    by_hand: bool
    compiled: bool
    threads: int

    def __str__(self) -> str:
        cell = "gates by hand" if self.by_hand else "LSTMCell"
        return f"{cell}, {'compiled' if self.compiled else 'eager'}, {self.threads} thread{'s' * (self.threads > 1)}"


def our_training(config: TrainConfig, model: Seq2Seq, examples: Examples) -> Block:
    """The step of `seq2seq.train`, `STEPS` at a time."""
    tx = optax.chain(optax.clip_by_global_norm(config.recipe.clip_norm), make_optimizer(config.recipe))
    network, params, batch_stats = take_apart(model)
    mesh = data_mesh(config.batch_size)
    state = create_state(
        jax.tree.map(jnp.copy, params), batch_stats, tx, key=jax.random.key(0), average=config.recipe.ema_decay > 0
    )
    state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    rates = np.tile(np.array([[config.recipe.peak_learning_rate, 1]], np.float32), (STEPS, 1))
    batch = (rates, jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * STEPS), examples))
    num_tokens = model.target_embedding.shape[0]
    steps = make_train_step(network, tx, config=config, mesh=mesh, draw=None, num_tokens=num_tokens)
    step = jax.jit(steps, donate_argnums=0)
    sums = MetricSums(*(jnp.zeros(()) for _ in range(3)))

    def block() -> None:
        nonlocal state
        state, new_sums = step(state, sums, batch)
        jax.block_until_ready((state, new_sums))

    return block


def torch_training(config: TrainConfig, model: Seq2Seq, examples: Examples, *, variant: Variant) -> Block:
    """`STEPS` training steps in PyTorch."""
    recipe = config.recipe
    peer = Peer(model, by_hand=variant.by_hand)
    params: list[Any] = [param for param in peer.parameters() if param.requires_grad]
    averages = [param.detach().clone() for param in params]
    optimizer = torch.optim.Adam(params, lr=recipe.peak_learning_rate, fused=True)
    loss_fn = torch.compile(peer_loss) if variant.compiled else peer_loss
    source, target = time_first(wrap(examples.source)), time_first(examples.target)
    true_inputs = time_first(shift_right(examples.target))
    num_tokens = model.target_embedding.shape[0]
    done, loss_sum, hits_sum = 0, torch.zeros(()), torch.zeros((), dtype=torch.int64)

    def step() -> None:
        nonlocal done
        chosen = (torch.rand(true_inputs.shape) < recipe.input_noise) & (true_inputs >= SPECIAL)
        inputs = torch.where(chosen, torch.randint(SPECIAL, num_tokens, true_inputs.shape), true_inputs)
        optimizer.zero_grad()
        loss, hits = loss_fn(peer, source, inputs, target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, recipe.clip_norm, foreach=True)
        optimizer.step()
        decay = min(recipe.ema_decay, (1 + done) / (10 + done))
        torch.optim.swa_utils.get_ema_multi_avg_fn(decay)(averages, params, done)
        done += 1
        loss_sum.add_(loss.detach())
        hits_sum.add_(hits)

    def block() -> None:
        torch.set_num_threads(variant.threads)
        for _ in range(STEPS):
            step()

    return block


def our_decoding(model: Seq2Seq, source: Any, *, max_steps: int) -> Block:
    """The search of `seq2seq.decode`; gives the outputs."""
    searcher = Searcher(model, batch_size=len(source))

    def block() -> np.ndarray:
        found = [searcher(source, max_steps=max_steps) for _ in range(STEPS)]
        return np.asarray(jax.block_until_ready(found)[-1].tokens)

    return block


def torch_decoding(model: Seq2Seq, source: Any, *, max_steps: int, variant: Variant) -> Block:
    """Greedy search in PyTorch; gives the outputs."""
    peer = Peer(model, by_hand=variant.by_hand)
    write = torch.compile(peer.write) if variant.compiled else peer.write
    wrapped = time_first(wrap(jnp.asarray(source)))

    @torch.inference_mode()
    def decode() -> Any:
        memory, state = peer.encode(wrapped)
        kernels = peer.kernels()
        last = torch.full((len(source),), BOS)
        ended = torch.zeros(len(source), dtype=torch.bool)
        tokens = []
        for _ in range(max_steps):
            state, best = write(memory, state, last, kernels)
            last = torch.where(ended, PAD, best)
            tokens.append(last)
            ended |= last == EOS
            if ended.all():
                break
        return torch.stack(tokens, 1)

    def block() -> np.ndarray:
        torch.set_num_threads(variant.threads)
        found = np.asarray([decode().numpy() for _ in range(STEPS)][-1])
        return np.pad(found, ((0, 0), (0, max_steps - found.shape[1])), constant_values=PAD)

    return block


def compare(
    name: str,
    config: TrainConfig,
    *,
    pairs: int,
    compiled: Sequence[bool] = (False, True),
    say: Callable[[str], None] = lambda line: None,
) -> list[Measurement]:
    """Measures training and decoding of one size.

    All sources are of the greatest length, and so are all outputs: before the decoding the model is kept from writing
    end marks, because without training it would write them anywhere.

    Args:
        compiled: whether to run PyTorch eager (False), compiled (True), or both.
        say: is told of each variant of PyTorch as it is measured.

    Raises:
        RunError: the two sides do not compute the same.
    """
    num_tokens = SPECIAL + config.vocabulary_size
    model = config.new_model(num_tokens, rngs=nnx.Rngs(config.seed))
    shape = (config.batch_size, config.max_length)
    source = np.random.default_rng(config.seed).integers(SPECIAL, num_tokens, shape, dtype=np.int32)
    examples, max_steps = with_targets("reverse", source), config.max_length + 1
    difference = max(logits_difference(model, examples, by_hand=by_hand) for by_hand in (False, True))
    if not difference < TOLERANCE:
        raise RunError(f"the logits of the two sides differ by {difference:.1e}, so their times cannot be compared")

    training = _race(
        our_training(config, model, examples),
        lambda variant: torch_training(config, model, examples, variant=variant),
        pairs=pairs,
        compiled=compiled,
        say=lambda line: say(f"{name}, training: {line}"),
    )
    bias: Any = model.output.linear.bias
    bias[...] = bias[...].at[EOS].set(-1e6)
    decoding = _race(
        our_decoding(model, source, max_steps=max_steps),
        lambda variant: torch_decoding(model, source, max_steps=max_steps, variant=variant),
        pairs=pairs,
        compiled=compiled,
        say=lambda line: say(f"{name}, decoding: {line}"),
    )
    equal_outputs = float((decoding.ours == decoding.theirs).all(1).mean())
    if equal_outputs < LEAST_EQUAL:
        raise RunError(f"only {100 * equal_outputs:.1f} % of the outputs of the two sides are the same")
    tokens = config.batch_size * max_steps
    return [
        _measurement(race, tokens=tokens, size=name, mode=mode, difference=difference, equal_outputs=equal_outputs)
        for mode, race in (("train", training), ("decode", decoding))
    ]


def logits_difference(model: Seq2Seq, examples: Examples, *, by_hand: bool) -> float:
    """The largest difference between the logits of the two sides, under teacher forcing."""
    ours = np.asarray(model(jnp.asarray(examples.source), jnp.asarray(examples.target)))
    with torch.inference_mode():
        inputs = time_first(shift_right(examples.target))
        theirs = Peer(model, by_hand=by_hand)(time_first(wrap(examples.source)), inputs)
    return float(np.abs(theirs.numpy().swapaxes(0, 1) - ours).max())


@dataclasses.dataclass(frozen=True)
class _Race:
    """Seconds a block, a row for each pair (ours, theirs); what the blocks gave; the variants' least milliseconds."""

    seconds: np.ndarray
    ours: Any
    theirs: Any
    best: Variant
    variants_ms: dict[str, float]


def _race(
    ours: Block,
    make: Callable[[Variant], Block],
    *,
    pairs: int,
    compiled: Sequence[bool],
    say: Callable[[str], None],
) -> _Race:
    """Finds PyTorch's fastest variant, then lets the two take turns."""
    cores = _cores()
    times = {}
    for variant in (
        Variant(by_hand=by_hand, compiled=is_compiled, threads=threads)
        for is_compiled in compiled
        for threads in sorted({1, cores})
        for by_hand in (False, True)
    ):
        torch.compiler.reset()  # or else, after a few variants, PyTorch goes back to eager without a word
        block = make(variant)
        block()
        times[variant] = 1000 * min(_seconds(block) for _ in range(TRIALS)) / STEPS
        say(f"PyTorch, {variant}: {times[variant]:.2f} ms")
    best = min(times, key=lambda variant: times[variant])
    torch.compiler.reset()
    theirs = make(best)
    results: tuple[Any, Any] = ours(), theirs()
    seconds = np.array([(_seconds(ours), _seconds(theirs)) for _ in range(pairs)])
    return _Race(seconds, *results, best, {str(variant): ms for variant, ms in times.items()})


def _measurement(race: _Race, *, tokens: int, **fields: Any) -> Measurement:
    ours, theirs = np.median(race.seconds, axis=0).tolist()
    ratios = race.seconds[:, 1] / race.seconds[:, 0]
    return Measurement(
        ours_ms=1000 * ours / STEPS,
        torch_ms=1000 * theirs / STEPS,
        ours_tokens_per_second=tokens * STEPS / ours,
        torch_tokens_per_second=tokens * STEPS / theirs,
        ratio=float(np.median(ratios)),
        ratio_range=(float(ratios.min()), float(ratios.max())),
        pairs=len(ratios),
        torch_variant=str(race.best),
        torch_variants_ms=race.variants_ms,
        **fields,
    )


def surroundings() -> dict[str, Any]:
    """What the numbers depend on besides the code: date, processor, versions, threads."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": _processor(),
        "cores": _cores(),
        "jax_devices": jax.local_device_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in ("jax", "jaxlib", "flax", "optax", "torch")},
    }


def markdown(measurements: Sequence[Measurement]) -> str:
    """The table, and below it where it comes from."""
    lines = [" | ".join(("", *COLUMNS, "")).strip(), "|" + " --- |" * len(COLUMNS)]
    lines += [" | ".join(("", *_cells(measurement), "")).strip() for measurement in measurements]
    lines += ["", *(f"- {_in_words(measurement)}" for measurement in measurements)]
    facts = surroundings()
    versions = ", ".join(f"{package} {version}" for package, version in facts.pop("versions").items())
    return "\n".join([*lines, "", f"{', '.join(f'{name} {fact}' for name, fact in facts.items())}; {versions}", ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, or a folder that cannot be written.
        RunError: the two sides do not compute the same.
    """
    options = _parser().parse_args(arguments)
    if options.out:
        prepare_folder(options.out)
    jax.config.update("jax_platforms", "cpu")
    share_the_cores()
    console = Console(stderr=options.json)
    measurements = []
    for name in options.sizes:
        changes = {"batch_size": options.batch_size, "max_length": options.max_length}
        config = dataclasses.replace(SIZES[name], **{key: value for key, value in changes.items() if value})
        measurements += compare(
            name,
            config,
            pairs=options.pairs,
            compiled=(False,) if options.eager else (False, True),
            say=lambda line: console.print(line, style="dim", highlight=False),
        )
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if number > 1 else "left")
    for measurement in measurements:
        table.add_row(*_cells(measurement))
    console.print(table)
    console.print("\n".join(map(_in_words, measurements)), highlight=False, soft_wrap=True)
    rows = [dataclasses.asdict(measurement) for measurement in measurements]
    if options.json:
        print(json.dumps(rows, indent=1, allow_nan=False))
    if options.out:
        described = surroundings() | {"measurements": rows}
        write_text(options.out / "speed.json", json.dumps(described, indent=1, allow_nan=False) + "\n")
        write_text(options.out / "table.md", markdown(measurements))
        console.print(f"Written: {options.out}", highlight=False, soft_wrap=True)


def _cells(row: Measurement) -> list[str]:
    least, greatest = row.ratio_range
    return [
        row.size,
        row.mode,
        f"{row.ours_ms:.1f}",
        f"{row.torch_ms:.1f}",
        f"{row.ours_tokens_per_second:,.0f}",
        f"{row.torch_tokens_per_second:,.0f}",
        f"{row.ratio:.2f} ({least:.2f}–{greatest:.2f})",
    ]


def _in_words(row: Measurement) -> str:
    """What the table has no place for."""
    return (
        f"{row.size} {row.mode}: n = {row.pairs} pairs; PyTorch's fastest of {len(row.torch_variants_ms)} is "
        f"{row.torch_variant}; the logits differ by {row.difference:.0e} at most"
    )


def _seconds(block: Block) -> float:
    started = time.perf_counter()
    block()
    return time.perf_counter() - started


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _parser() -> Parser:
    parser = Parser(prog="python -m seq2seq.speed", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--sizes", nargs="+", choices=SIZES, default=list(SIZES), metavar="NAME", help=f"of {' '.join(SIZES)}")
    add("--pairs", type=positive, default=9, metavar="N", help="measurements of each side (default: 9)")
    add("--batch-size", type=positive, metavar="N", help="in place of the size's own")
    add("--max-length", type=positive, metavar="N", help="of the sources, in place of the size's own")
    add("--eager", action="store_true", help="without torch.compile, which takes minutes")
    add("--json", action="store_true", help="print nothing but a JSON list of measurements; the rest goes to stderr")
    add("--out", type=Path, metavar="DIR", help="folder for speed.json and table.md")
    return parser


if __name__ == "__main__":
    run_cli(main)
