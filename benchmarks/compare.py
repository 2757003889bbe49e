"""`python -m benchmarks.compare`: trains the families on the data sets, cell by cell, and shows who wins."""

import argparse
import contextlib
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import cells, launchers, probe_options, provenance, results, run_files
from benchmarks.progress import SweepProgress, title
from benchmarks.shares import Cores, default_shares, equal_shares
from benchmarks.signals import first_signal_asks
from benchmarks.tracking import TRACKERS, Tracker, open_tracker
from jax_models.checks import did_you_mean
from jax_models.command_line import Parser, positive
from jax_models.data import DATASETS, list_datasets, load_dataset
from jax_models.data.dataset import VALIDATION_FRACTION
from jax_models.errors import RunError, UsageError, run_cli
from jax_models.output import locked, prepare_folder
from jax_models.pretrained import imagenet
from jax_models.recipes import ARMS, PRESETS, TrainConfig, resolve_config
from jax_models.registry import IMAGENET, MODELS, imagenet_network, list_models

PROJECT = "classic-architectures"  # in an experiment tracker
LARGEST_SMALL_BATCH = 128  # with the quick preset it fits into `benchmarks.shares.MEMORY_OF_A_CELL`

DESCRIPTION = """\
Trains seven CNN families on MNIST, FashionMNIST and CIFAR-10 under one recipe and shows which is best, at what cost.
A cell is one family on one data set with one seed; each trains in a process of its own. The test split is opened once
per cell, after training. On a CPU, cells run side by side, as many as have room in memory, and on Linux one core each,
so that their times compare; `--jobs 1` gives one cell all cores.
"""
EPILOG = f"""\
models:     {" ".join(list_models())}
data sets:  {" ".join(list_datasets())}

what lands in OUT:
  runs.jsonl            one line per cell with all its measurements, written as soon as the cell ends
  table.md, table.csv   one row per family and data set: mean, standard deviation and n of each metric
  pairs.csv             every two families of a data set: their difference, its tests, and what it establishes
  gains.csv             with --init: what the published weights bring, likewise
  figures/, report.html the same to look at; report.html is one file that can be mailed
  predictions/          what each run says of every validation and test image, a byte per class
  weights/              each run's trained weights, as safetensors
  derived/, tracking/   what the flags for robustness and others found, and the files of an experiment tracker
  logs/                 what each cell's process printed

A sweep that was stopped goes on where it was: type the same command again. Finished cells are kept, failed ones are
tried again, and a cell that was at work goes on after its last whole epoch. Ctrl-C waits for that epoch's end; a second
one does not. A cell is known by model, data set, preset, seed, epochs, batch size, recipe, architecture and weights.

examples:
  python -m benchmarks.compare                                       everything; under half an hour on two CPU cores
  python -m benchmarks.compare --models lenet5 resnet18 --datasets mnist
  python -m benchmarks.compare --models lenet5 --epochs 1 --out results/try
  python -m benchmarks.compare --seeds 5                             five seeds a cell: adds those that are missing
  python -m benchmarks.compare --preset full --out results/full      the papers' widths; wants a GPU
  python -m benchmarks.compare --launcher ray --ray-address 10.0.0.5:6379
                                                                     over the machines of a Ray cluster
  python -m benchmarks.compare --init imagenet --models resnet18 --datasets cifar10
                                                                     what ImageNet's weights bring, beside from scratch
  python -m benchmarks.compare --in-depth                            robustness, attacks, saliency and more, too
  python -m benchmarks.compare --fresh                               moves old results to OUT/old-DATE, starts anew

exit codes: 0 all cells finished, 1 a cell or the run failed, 2 wrong usage, 130 stopped by Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code.

    Raises:
        UsageError: a wrong option, found before any work starts.
        RunError: the sweep could not run, or some of its cells failed.
    """
    options = _parser().parse_args(arguments)
    models = _models(options)
    datasets = choose(options.datasets, list_datasets(), kind="data set")
    console = Console()
    cluster = _cluster(options, console)
    preset = options.preset or ("quick" if _platform(cluster) == "cpu" else "full")
    wanted = plan(models, datasets, presets=ARMS[preset] if options.init else (preset,), options=options)
    out = options.out or Path("results") / (f"{preset}-{options.init}" if options.init else preset)
    tracker = open_tracker(options.track, out=out, project=PROJECT) if options.track else None
    prepare_folder(out)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be told to end is like Ctrl-C: end in order
    with locked(out):
        _tidy(out, console, fresh=options.fresh)
        run = partial(sweep, out=out, data_dir=options.data_dir, jobs=options.jobs, cluster=cluster, console=console)
        try:
            with contextlib.closing(tracker) if tracker else contextlib.nullcontext():
                failed = run(wanted, tracker=tracker)
        except KeyboardInterrupt:
            _report(out, console)
            raise
        try:
            _probe(options, out, console)
        finally:
            _report(out, console)
    if failed:
        names = "; ".join(failed)
        raise RunError(
            f"{len(failed)} of {len(wanted)} cells failed: {names} (messages in {out / 'logs'}); "
            "the same command tries them again"
        )
    return 0


def _models(options: argparse.Namespace) -> list[str]:
    """The families that the user wants; with ImageNet's weights "all" are those that have some."""
    if options.init:
        for model in MODELS.keys() & {name for word in options.models for name in word.split(",")}:
            imagenet_network(model)  # says so if there are none
    allowed = [model for model in list_models() if not options.init or MODELS[model].imagenet]
    return choose(options.models, allowed, kind="model")


def plan(
    models: Sequence[str], datasets: Sequence[str], *, presets: Sequence[str], options: argparse.Namespace
) -> list[TrainConfig]:
    """The cells of a sweep in the order they run: one seed of everything before the next seed.

    Raises:
        UsageError: the batch size is larger than a data set.
    """
    wanted = [
        resolve_config(model, dataset, preset=preset, seed=seed, epochs=options.epochs, batch_size=options.batch_size)
        for seed in range(options.seeds)
        for dataset in datasets
        for model in models
        for preset in presets
    ]
    for config in wanted:
        images = round(DATASETS[config.dataset].sizes["train"] * (1 - VALIDATION_FRACTION))
        if config.batch_size > images:
            raise UsageError(
                f"--batch-size {config.batch_size} is more than the {images:,} training images of {config.dataset}"
            )
    return wanted


def sweep(
    wanted: Sequence[TrainConfig],
    *,
    out: Path,
    data_dir: Path | None,
    jobs: int | None = None,
    cluster: launchers.Cluster | None = None,
    tracker: Tracker | None = None,
    console: Console,
) -> list[str]:
    """Runs the cells that are not finished yet, and keeps each row as soon as it is there.

    They run on this machine, or on those of a cluster, which get data and published weights themselves. Returns the
    cells that failed, with their errors.

    Raises:
        UsageError: published weights need a package that is not installed.
        RunError: a data set or published weights cannot be had, or a row cannot be written.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; cells at work have saved the epoch that they were in.
    """
    rows = results.read_rows(out)
    finished = results.finished_cells(rows)
    todo = [config for config in wanted if config.cell not in finished]
    if len(todo) < len(wanted):
        console.print(f"{len(wanted) - len(todo)} of {len(wanted)} cells are finished already, in {out}")
    small_cells = all(config.preset == "quick" and config.batch_size <= LARGEST_SMALL_BATCH for config in todo)
    if cluster:
        share = cluster.share(jobs=jobs, small_cells=small_cells)
        places = share.places
        run = partial(cluster.run_cells, share=share, out=out, data_dir=data_dir)
    else:
        variants = [config.variant for config in todo if config.variant]
        for network in dict.fromkeys(variant.network for variant in variants if variant.weights):
            console.print(f"Looking for the weights of {network}, here or on the web")
            imagenet.fetch(network)
        for dataset in dict.fromkeys(config.dataset for config in todo):
            load_dataset(dataset, data_dir=data_dir)  # fetched and checked here, once, where progress can be seen
        platform = provenance.default_platform()
        shares = equal_shares(jobs) if jobs else default_shares(platform, small_cells=small_cells)
        places = len(shares)
        environment = cells.cell_environment(platform, side_by_side=places)

        def start(config: TrainConfig, cores: Cores) -> cells.CellProcess:
            return cells.CellProcess(config, out=out, data_dir=data_dir, environment=environment, cores=cores)

        run = partial(cells.run_cells, start=start, shares=shares)

    errors = {}
    with first_signal_asks() as stop, contextlib.ExitStack() as stack:
        events = stack.enter_context(contextlib.closing(run(todo, keep=partial(_keep, out), stop=stop)))
        progress = stack.enter_context(SweepProgress(todo, finished=rows, jobs=places, console=console))
        for config, event in events:
            if event["event"] == "row" and event["row"]["status"] != "ok":
                errors[config] = event["row"]["error"]
            progress.update(config, event)
            if tracker:
                tracker.follow(config, event)
        if stop.is_set():
            raise KeyboardInterrupt
    return [f"{title(config)}: {errors[config]}" for config in todo if config in errors]


def _keep(out: Path, row: results.Row) -> None:
    results.append_row(out, row)
    if row["status"] != "failed":  # a failure of the machine's may pass, and the cell goes on
        run_files.drop_checkpoints(out, [row["cell"]])


def _cluster(options: argparse.Namespace, console: Console) -> launchers.Cluster | None:
    """The cluster that the user wants; None for this machine."""
    if options.launcher == "ray":
        return launchers.connect(
            options.ray_address, tell=partial(console.print, markup=False, highlight=False, soft_wrap=True)
        )
    if options.ray_address:
        raise UsageError("--ray-address is the address of a Ray cluster: add --launcher ray")
    return None


def _platform(cluster: launchers.Cluster | None) -> str:
    return cluster.platform if cluster else provenance.default_platform()


def choose(words: Sequence[str], allowed: Sequence[str], *, kind: str) -> list[str]:
    """The names in an option's words, which spaces or commas separate; "all" is every allowed name.

    Raises:
        UsageError: a name that is not allowed, or none at all.
    """
    names = [name for word in words for name in word.split(",") if name]
    for name in names:
        if name not in ("all", *allowed):
            raise UsageError(
                f"unknown {kind} {name!r}{did_you_mean(name, allowed)}; choose from: {' '.join(allowed)}, or all"
            )
    if not names:
        raise UsageError(f"no {kind} was named; choose from: {' '.join(allowed)}, or all")
    return list(allowed) if "all" in names else list(dict.fromkeys(names))


def _tidy(out: Path, console: Console, *, fresh: bool) -> None:
    """Moves old results aside if asked to, and what a crash has left half written in any case.

    Raises:
        UsageError: a row is left that `benchmarks.compare` does not write.
    """
    if fresh and (old := results.set_aside(out)):
        console.print(f"Old results are now in {old}", soft_wrap=True)
    if broken := results.mend_rows(out):
        lines = "1 broken line" if broken == 1 else f"{broken} broken lines"
        console.print(
            f"{lines} of {out / results.ROWS} moved to {results.TORN}; what is missing runs again", soft_wrap=True
        )
    rows = results.read_rows(out)
    run_files.drop_checkpoints(out, results.finished_cells(rows))  # a kill came between a row and this
    if rows:
        from benchmarks.report.summary import summarise  # imports plotting, which takes seconds

        summarise(rows)  # a row that no report can show is refused before hours of training, not after


def _probe(options: argparse.Namespace, out: Path, console: Console) -> None:
    """Measures what was asked for beyond accuracy."""
    rows = results.read_rows(out)
    if rows and (names := probe_options.chosen(options)):
        from benchmarks.probing import probe  # plotting takes seconds to import
        from benchmarks.report import summarise

        probe(summarise(rows, out), out, names, data_dir=options.data_dir, console=console, again=options.again)


def _report(out: Path, console: Console) -> None:
    """Shows and writes what the folder holds, if it holds anything."""
    rows = results.read_rows(out)
    if rows:
        from benchmarks.report import print_summary, summarise, write_report  # plotting takes seconds to import

        summary = summarise(rows, out)
        print_summary(summary, console)
        write_report(summary, out)
        console.print(f"\nReport: {out / 'report.html'}", soft_wrap=True, highlight=False)


def _parser() -> Parser:
    parser = Parser(prog="python -m benchmarks.compare", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    names = {"nargs": "+", "default": ["all"], "metavar": "NAME"}
    add(
        "--preset",
        choices=PRESETS,
        help="quick: small versions for a CPU; full: the papers' widths (default by device)",
    )
    add(
        "--init",
        choices=(IMAGENET,),
        help="networks made for ImageNet in the families' place, fine-tuned from their published weights and, beside "
        "that, trained from scratch; they are large: quick enlarges images to 64 pixels a side, full to those that the "
        "weights were trained on",
    )
    add("--models", **names, help="families, separated by spaces or commas (default: all)")
    add("--datasets", **names, help="data sets, separated likewise (default: all)")
    add(
        "--seeds",
        type=positive,
        default=1,
        metavar="N",
        help="runs per family and data set: seeds 0 to N-1 (default: 1)",
    )
    add("--epochs", type=positive, metavar="N", help="passes over the training images (default: the recipe's)")
    add("--batch-size", type=positive, metavar="N", help="images per step, over all devices (default: the recipe's)")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the results (default: results/PRESET; with --init imagenet results/PRESET-imagenet)",
    )
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="TFDS data directory, on each machine (default: TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
    add(
        "--jobs",
        type=positive,
        metavar="N",
        help="cells side by side, all cores dealt out to them (default: one per core on a CPU, else 1; with Ray, one "
        "per accelerator of the cluster)",
    )
    add(
        "--launcher",
        choices=launchers.LAUNCHERS,
        default="local",
        help="local: on this machine; ray: over a Ray cluster, each cell on one GPU, TPU chip or CPU core "
        "(default: local)",
    )
    add(
        "--ray-address",
        metavar="HOST:PORT",
        help="head of the cluster (default: RAY_ADDRESS, else a cluster found here, else Ray starts on this machine)",
    )
    add(
        "--track",
        choices=TRACKERS,
        help="show the sweep in an experiment tracker, too; each is an extra: pip install -e '.[trackio]'",
    )
    add("--fresh", action="store_true", help="move the results in OUT aside, to OUT/old-DATE, and start anew")
    probe_options.add_options(parser)
    return parser


if __name__ == "__main__":
    run_cli(main)
