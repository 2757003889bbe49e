"""`python -m space.demo_models.judge_images`: are the pictures what the 100 prompts asked for?"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from jaxtyping import Float, Int
from PIL import Image

from jax_models import load_dataset
from jax_models.command_line import Parser, positive
from jax_models.data import Dataset
from jax_models.errors import UsageError, run_cli
from jax_models.evaluation import predict_probabilities
from space.demo_models.intervals import wilson_interval
from space.demo_models.pictures.card import GUIDANCE, update_card
from space.demo_models.pictures.seeing import colours_of, greys_of
from space.demo_models.pictures.wardrobe import COLOURS, GARMENTS, PALETTE, Request, evaluation_requests, pad, tint
from space.demo_models.provenance import provenance
from space.folders import WEIGHTS
from space.labs.checkpoints import find_checkpoints
from space.labs.networks import load_classifier

DESCRIPTION = """\
Paints the 100 evaluation prompts, ten garments in ten colours, and judges each picture by its pixels alone: the garment
by a CNN that this project trained on FashionMNIST, the colour as the nearest of the ten in CIELAB over the foreground.
First it judges 1,000 real test images, painted, in the same way: what is missing there, no model can win.
"""
EPILOG = """\
what lands in PIPELINE:
  metrics.json   the shares and their 95 % intervals (Wilson), for pictures and real images, and the settings
  README.md      the model card, with these figures
  samples.png    the 100 pictures

examples:
  python -m jax_models --model vgg16 --dataset fashion_mnist --preset quick --out out/judge      the judge, in minutes
  python -m space.demo_models.judge_images                                                       the shipped model
"""
DATASET = "fashion_mnist"
PIPELINE, CHECKPOINT = WEIGHTS / "text_to_image", Path("out", "judge")
REAL_IMAGES = 1000
STEPS = 20
BATCH = 10


@dataclass(frozen=True)
class Verdict:
    """How many of `count` pictures were right."""

    count: int
    garment: int
    colour: int
    both: int


class Judge:
    """A CNN of this project, trained on FashionMNIST by `python -m jax_models`, and the ten colours.

    Raises:
        UsageError: the folder holds no such run.
        RunError: its checkpoint is damaged.
    """

    def __init__(self, folder: Path) -> None:
        found = [run for run in find_checkpoints("vision", (folder,)) if run.subject == DATASET]
        if len(found) != 1:
            example = f"python -m jax_models --model vgg16 --dataset {DATASET} --preset quick --out {CHECKPOINT}"
            raise UsageError(
                f"{folder} must hold one finished run on {DATASET} and holds {len(found)}; make one: {example}"
            )
        (run,) = found
        self._classifier = load_classifier(run)
        self.name = run.key if run.score is None else f"{run.key}, {100 * run.score:.2f} % right on the test split"

    def garments_of(self, pictures: Float[np.ndarray, "n h w 3"]) -> Int[np.ndarray, " n"]:
        """The class of each picture, once it is grey again."""
        cnn = self._classifier
        return predict_probabilities(
            cnn.network, cnn.params, cnn.batch_stats, images=greys_of(pictures)[..., None], spec=cnn.spec
        ).argmax(-1)

    def verdict(
        self, pictures: Float[np.ndarray, "n h w 3"], *, garments: Int[np.ndarray, " n"], colours: Int[np.ndarray, " n"]
    ) -> Verdict:
        """How often the pictures show these garments in these colours."""
        garment_right = self.garments_of(pictures) == garments
        colour_right = colours_of(pictures) == colours
        both = garment_right & colour_right
        return Verdict(len(pictures), int(garment_right.sum()), int(colour_right.sum()), int(both.sum()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Raises:
        UsageError: a wrong option, or a folder that holds no pipeline or no run on FashionMNIST.
        RunError: no source has FashionMNIST, or a file could not be written.
    """
    options = _parser().parse_args(arguments)
    made_by = provenance()
    judge, pipeline = Judge(options.checkpoint), load_pipeline(options.pipeline)
    ceiling = describe(judge_real_images(judge, load_dataset(DATASET, data_dir=options.data_dir)))
    _show("real images", ceiling)
    requests = evaluation_requests()
    pictures = paint_requests(pipeline, requests, steps=options.steps, guidance=options.guidance)
    garments, colours = (np.array([getattr(request, name) for request in requests]) for name in ("garment", "colour"))
    verdict = describe(judge.verdict(pictures, garments=garments, colours=colours))
    _show("100 prompts", verdict)
    for request, garment, colour in zip(requests, judge.garments_of(pictures), colours_of(pictures), strict=True):
        if (garment, colour) != (request.garment, request.colour):
            seen = f"{[*COLOURS, 'no colour'][colour]} {GARMENTS[garment][0]}"
            print(f"  {request.prompt}: looks like {seen}")
    settings = {"steps": options.steps, "guidance": options.guidance, "judge": judge.name, **made_by}
    judged = {"real_images": ceiling, "prompts": verdict, **settings}
    update_card(options.pipeline, evaluation=judged)
    contact_sheet(pictures).save(options.pipeline / "samples.png", optimize=True)


def load_pipeline(folder: Path) -> Any:
    """The pipeline of a folder, as any user would load it.

    Raises:
        UsageError: there is none.
    """
    if not (folder / "model_index.json").is_file():
        raise UsageError(f"{folder} holds no pipeline; --pipeline names a folder with a model_index.json")
    pipeline = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def paint_requests(
    pipeline: Any, requests: Sequence[Request], *, steps: int = STEPS, guidance: float = GUIDANCE
) -> Float[np.ndarray, "n h w 3"]:
    """A picture for each request, from its own seed; sRGB from 0 to 1, in the 256 steps of a PNG."""
    parts = []
    for start in range(0, len(requests), BATCH):
        batch = requests[start : start + BATCH]
        output = pipeline(
            [request.prompt for request in batch],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=[torch.Generator().manual_seed(request.seed) for request in batch],
            output_type="np",
        )
        parts.append(output.images)
    return np.round(np.concatenate(parts).astype(np.float64) * 255) / 255


def judge_real_images(judge: Judge, dataset: Dataset, *, count: int = REAL_IMAGES) -> Verdict:
    """The judge on test images, painted on white in the ten colours in turn."""
    garments, colours = dataset.test.labels[:count], np.arange(count) % len(COLOURS)
    grey = pad(dataset.test.images[:count])
    pictures = tint(grey, colours=PALETTE[colours], backgrounds=np.ones(count, np.float32))
    return judge.verdict(np.round(pictures.astype(np.float64) * 255) / 255, garments=garments, colours=colours)


def describe(verdict: Verdict) -> dict[str, Any]:
    """A verdict as metrics.json has it: for garment, colour and both the right ones, their share and its interval."""
    figures: dict[str, Any] = {"count": verdict.count}
    for name in ("garment", "colour", "both"):
        right = getattr(verdict, name)
        interval = list(wilson_interval(right, verdict.count))
        figures[name] = {"right": right, "share": right / verdict.count, "interval": interval}
    return figures


def contact_sheet(pictures: Float[np.ndarray, "n h w 3"], *, columns: int = 10, scale: int = 3) -> Image.Image:
    """The pictures side by side, enlarged, in rows of `columns`."""
    n, height, width, _ = pictures.shape
    rows = np.round(pictures * 255).astype(np.uint8).reshape(n // columns, columns, height, width, 3)
    sheet = rows.transpose(0, 2, 1, 3, 4).reshape(n // columns * height, columns * width, 3)
    image = Image.fromarray(sheet)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def _show(what: str, figures: dict[str, Any]) -> None:
    parts = []
    for name in ("garment", "colour", "both"):
        low, high = figures[name]["interval"]
        parts.append(f"{name} {100 * figures[name]['share']:.1f} % ({100 * low:.1f} to {100 * high:.1f})")
    print(f"{what}: {', '.join(parts)}, n = {figures['count']}", flush=True)


def _parser() -> Parser:
    parser = Parser(prog="python -m space.demo_models.judge_images", description=DESCRIPTION, epilog=EPILOG)
    add = parser.add_argument
    add("--pipeline", type=Path, default=PIPELINE, metavar="DIR", help="to be judged (default: the shipped one)")
    add("--checkpoint", type=Path, default=CHECKPOINT, metavar="DIR", help="the judge's run (default: %(default)s)")
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="data directory of TFDS (default: TFDS_DATA_DIR or ~/tensorflow_datasets)",
    )
    add("--steps", type=positive, default=STEPS, metavar="N", help="of the sampler (default: %(default)s)")
    add("--guidance", type=_at_least_one, default=GUIDANCE, metavar="X", help="guidance scale (default: %(default)s)")
    return parser


def _at_least_one(text: str) -> float:
    try:
        if 1 <= (number := float(text)) < float("inf"):
            return number
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")


if __name__ == "__main__":
    run_cli(main)
