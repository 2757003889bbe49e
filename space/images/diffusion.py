"""One image from a diffusion pipeline: seeded, watched step by step, stopped at once when nobody waits for it."""

import hashlib
import inspect
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from space.images.previews import previews
from space.images.recipes import Recipe
from space.jobs import Job
from space.stopping import stoppable

PREVIEW_SECONDS = 0.2


@dataclass(frozen=True)
class Step:
    """How far an image is.

    Attributes:
        done: steps that are done.
        steps: all of them.
        preview: the image as the model expects it now; None where the last one is fresh enough.
    """

    done: int
    steps: int
    preview: Image.Image | None = None


def denoise(
    pipeline: Any,
    recipe: Recipe,
    *,
    job: Job[Any],
    tell: Callable[[Step], None],
    preview_seconds: float = PREVIEW_SECONDS,
) -> Image.Image | None:
    """Paints the image of a complete recipe (no value is the model's own) and tells after each step.

    The noise comes from a generator of the image's own, on the CPU, and images are painted one at a time. So the same
    recipe gives the same image, bit for bit on a CPU, whatever else is painted before or after it.

    Returns:
        None if the model's safety checker has blocked the image.

    Raises:
        Stopped: the job was stopped; at the next layer of the network, not only at the next step.
    """
    shown = 0.0

    def after_step(pipeline: Any, index: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        nonlocal shown
        picture = None
        if time.monotonic() - shown >= preview_seconds:
            picture, shown = preview(), time.monotonic()
        tell(Step(index + 1, pipeline.num_timesteps, picture))
        return values

    wanted = {
        "prompt": recipe.prompt,
        "negative_prompt": recipe.negative_prompt or None,
        "num_inference_steps": recipe.steps,
        "guidance_scale": recipe.guidance,
        "width": recipe.size,
        "height": recipe.size,
        "generator": torch.Generator("cpu").manual_seed(recipe.seed),
        "callback_on_step_end": after_step,
    }
    # A pipeline's own interrupt waits for the step and then still decodes the image, which for a large model on a CPU
    # takes many seconds.
    networks = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    with torch.inference_mode(), stoppable(networks, job), previews(pipeline) as preview:
        output = pipeline(**{name: value for name, value in wanted.items() if takes(pipeline, name)})
    blocked = getattr(output, "nsfw_content_detected", None) or [False]
    return None if blocked[0] else output.images[0]


def own_size(pipeline: Any) -> int:
    """The width and height in pixels that a pipeline was trained to paint."""
    unet = getattr(pipeline, "unet", None)
    latents = unet.config.sample_size if unet is not None else pipeline.default_sample_size
    return latents * pipeline.vae_scale_factor


def takes(pipeline: Any, argument: str) -> bool:
    """Whether a pipeline knows an argument: FLUX, for example, has no negative prompt."""
    return argument in inspect.signature(pipeline.__call__).parameters


def unread_tokens(pipeline: Any, text: str) -> int:
    """How many tokens at the end of a text a pipeline with a CLIP text encoder leaves out."""
    tokenizer = getattr(pipeline, "tokenizer", None)
    if not takes(pipeline, "negative_prompt") or tokenizer is None:
        return 0
    return max(0, len(tokenizer(text, verbose=False).input_ids) - tokenizer.model_max_length)


def revision_of(folder: Path) -> str:
    """The commit of a model out of the hub's cache; for one of ours, the start of its weights' sha256."""
    if re.fullmatch("[0-9a-f]{40}", folder.name):
        return folder.name
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
