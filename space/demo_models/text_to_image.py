"""`python -m space.demo_models.text_to_image`: trains the offline text-to-image model from nothing."""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from torch import nn

from jax_models import load_dataset
from jax_models.command_line import Parser, not_negative, positive
from jax_models.errors import UsageError, run_cli
from jax_models.output import locked, prepare_folder, write_text
from space.demo_models.pictures.card import update_card
from space.demo_models.pictures.losses import (
    Painted,
    Pictures,
    encode_all,
    reconstruction_error,
    unet_loss,
    vae_loss,
    whiten,
)
from space.demo_models.pictures.parts import (
    Sizes,
    make_text_encoder,
    make_tokenizer,
    make_unet,
    make_vae,
    sampler,
)
from space.demo_models.pictures.wardrobe import pad
from space.demo_models.provenance import provenance
from space.demo_models.training import Plan, Progress, train

DESCRIPTION = """\
Trains a small Stable Diffusion on FashionMNIST painted in ten colours, in about 70 minutes of one CPU core: first the
VAE (pixels to latents and back), then the UNet and the text encoder together. Prompts are such as "a red sneaker".
"""
EPILOG = """\
what lands in OUT:
  pipeline/      the model: StableDiffusionPipeline.from_pretrained(OUT/pipeline, use_safetensors=True), with its card
                 (README.md) and metrics.json
  *.pt, latents.safetensors    what a stopped run goes on from: type the command again

examples:
  python -m space.demo_models.text_to_image
  python -m space.demo_models.text_to_image --vae-steps 300 --steps 1000 --out out/quick    a first look
  python -m space.demo_models.judge_images --help                                           is it any good?
"""
DEFAULT_OUT = Path("out", "text_to_image")
WARMUP_STEPS = 200


@dataclass(frozen=True)
class Settings:
    """All that decides what a run ends with.

    Attributes:
        vae, unet: how the two are trained; the text encoder learns with the UNet.
        tints: in how many colours the UNet sees each garment.
        half: bfloat16 where it is safe; twice as fast on a CPU with AMX, slower on one without.
    """

    vae: Plan
    unet: Plan
    sizes: Sizes = field(default_factory=Sizes)
    tints: int = 2
    half: bool = True


Report = Callable[[str, Progress], None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, a folder that cannot be written, or checkpoints there of another run.
        RunError: no source has FashionMNIST, or the training diverged.
    """
    options = _parser().parse_args(arguments)
    size, seed = options.batch_size, options.seed
    settings = Settings(
        vae=plan_of(options.vae_steps, learning_rate=1e-3, batch_size=size, seed=seed),
        unet=plan_of(options.steps, learning_rate=8e-4, batch_size=size, seed=seed + 1),
        half=not options.float32,
    )
    prepare_folder(options.out)
    data = load_dataset("fashion_mnist", data_dir=options.data_dir)
    pictures, held_out = (
        Pictures(pad(split.images), split.labels.astype(np.int64)) for split in (data.train, data.validation)
    )
    with locked(options.out):
        folder = make(pictures, held_out, settings=settings, out=options.out, report=_say)
    print(f"Written: {folder}")


def plan_of(steps: int, *, learning_rate: float, batch_size: int, seed: int) -> Plan:
    """200 steps of warm-up, a straight descent over the last 30 %, and a moving average of the weights."""
    return Plan(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup=WARMUP_STEPS / steps,
        cooldown=0.3,
        second_moment=0.99,
        average=0.999,
        seed=seed,
    )


def make(pictures: Pictures, held_out: Pictures, *, settings: Settings, out: Path, report: Report) -> Path:
    """Trains the model and writes it; goes on from what an earlier, stopped run left in `out`.

    Args:
        held_out: garments that the VAE's error is measured on.
        report: is told the part that learns and how far it is.

    Returns:
        The folder of the pipeline.

    Raises:
        UsageError: `out` holds checkpoints of a run with other settings.
        RunError: the training diverged, or a file could not be written.
    """
    _claim(out, settings)
    made_by = provenance()
    vae = _train_vae(pictures, settings=settings, out=out, report=report)
    painted = _latents(vae, pictures, settings=settings, path=out / "latents.safetensors")
    parts = _train_unet(painted, settings=settings, out=out, report=report)
    error = reconstruction_error(vae, held_out)
    parts |= {"vae": vae, "scheduler": sampler(), "safety_checker": None, "feature_extractor": None}
    pipeline: Any = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    folder = out / "pipeline"
    # transformers would load a text encoder stored in float16 as that, and diffusers the rest as float32.
    for network in (pipeline.vae, pipeline.unet):
        network.to(dtype=torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    networks = {"vae": vae, "unet": pipeline.unet, "text_encoder": pipeline.text_encoder}
    training = {
        **asdict(settings),
        "pictures": len(pictures.grey),
        "parameters": {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()},
        "vae_error": error,
        **made_by,
    }
    update_card(folder, training=training)
    return folder


def _claim(out: Path, settings: Settings) -> None:
    """Notes whose folder this is; what lies there of a run with other settings cannot be gone on from."""
    path, ours = out / "settings.json", json.dumps(asdict(settings), indent=1) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != ours:
        raise UsageError(f"{out} holds a run with other settings ({path}); choose another --out or move it away")
    write_text(path, ours)


def _latents(vae: Any, pictures: Pictures, *, settings: Settings, path: Path) -> Painted:
    """Whitened latents, for which the VAE is changed too; encoding takes minutes, so they are kept."""
    if path.exists():
        painted = Painted.load(path)
    else:
        painted = encode_all(vae, pictures, seed=settings.unet.seed, half=settings.half, tints=settings.tints)
        painted.save(path)
    return whiten(vae, painted)


def _train_vae(pictures: Pictures, *, settings: Settings, out: Path, report: Report) -> Any:
    plan = settings.vae
    torch.manual_seed(plan.seed)
    vae = make_vae(settings.sizes).to(memory_format=torch.channels_last)
    train(
        vae,
        batches=itertools.count(),
        loss_of=vae_loss(vae, pictures, plan=plan, half=settings.half),
        plan=plan,
        checkpoint=out / "vae.pt",
        report=lambda progress: report("VAE", progress),
    )
    return vae


def _train_unet(painted: Painted, *, settings: Settings, out: Path, report: Report) -> dict[str, Any]:
    plan, sizes = settings.unet, settings.sizes
    torch.manual_seed(plan.seed)
    tokenizer = make_tokenizer(sizes)
    unet, text_encoder = make_unet(sizes), make_text_encoder(sizes, tokenizer)
    train(
        nn.ModuleDict({"unet": unet, "text_encoder": text_encoder}),
        batches=itertools.count(),
        loss_of=unet_loss(unet, text_encoder, tokenizer=tokenizer, painted=painted, plan=plan, half=settings.half),
        plan=plan,
        checkpoint=out / "unet.pt",
        report=lambda progress: report("UNet", progress),
    )
    return {"unet": unet, "text_encoder": text_encoder, "tokenizer": tokenizer}


def _say(part: str, progress: Progress) -> None:
    print(f"{part}: step {progress.step} of {progress.steps}, loss {progress.loss:.4f}", flush=True)


def _parser() -> Parser:
    parser = Parser(prog="python -m space.demo_models.text_to_image", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="data directory of TFDS (default: TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
    add(
        "--out",
        type=Path,
        default=DEFAULT_OUT,
        metavar="DIR",
        help="folder for what it writes (default: %(default)s)",
    )
    add("--vae-steps", type=positive, default=1100, metavar="N", help="of the VAE (default: %(default)s)")
    add("--steps", type=positive, default=10000, metavar="N", help="of UNet and text encoder (default: %(default)s)")
    add("--batch-size", type=positive, default=64, metavar="N", help="pictures per step (default: %(default)s)")
    add("--seed", type=not_negative, default=0, metavar="N", help="weights, noise and prompts (default: %(default)s)")
    add("--float32", action="store_true", help="compute in float32: for processors that are slow in bfloat16")
    return parser


if __name__ == "__main__":
    run_cli(main)
