"""The model card of the text-to-image model: a pure function of its metrics.json, rewritten whenever that changes."""

import json
from pathlib import Path
from textwrap import fill
from typing import Any

from jax_models.output import write_text
from space.demo_models.pictures.wardrobe import COLOURS, GARMENTS

GUIDANCE = 5.0  # of 1.5 to 7.5, chosen on prompts and seeds other than those of the evaluation

CARD = """\
---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---
# Garments in ten colours: a Stable Diffusion of {millions:.1f} million parameters

Paints one garment in one colour at 32x32 pixels, in about a second on a CPU. A genuine `StableDiffusionPipeline`,
trained from nothing on a CPU, small enough to lie in a repository.

```python
from diffusers import StableDiffusionPipeline

folder = "space/weights/text_to_image"
pipe = StableDiffusionPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)
pipe("a red sneaker", num_inference_steps=20, guidance_scale={guidance:g}).images[0]
```

![100 prompts](samples.png)

## What it understands
{garments}
- Colours: {colours}.
- "on black" or "on a black background"; else the background is white. Other words it passes over.

Good settings: 20 steps, guidance {guidance:g}.

## How it was made
{pictures:,} images of FashionMNIST's train split (Xiao, Rasul, Vollgraf, arXiv 1708.07747; MIT licence), each painted
in {tints} of the ten colours, one in five on black: `space/demo_models/pictures/wardrobe.py`.

| part | parameters | learnt in |
|---|---|---|
| VAE, to 8x8 latents of {channels} channels | {vae_parameters:,} | {vae_steps:,} steps of {vae_batch} |
| UNet, predicts velocity, min-SNR weights | {unet_parameters:,} | {unet_steps:,} steps of {unet_batch} |
| CLIP text encoder | {text_parameters:,} | together with the UNet |

The VAE returns held-out garments with a mean absolute error of {vae_error:.4f}, where black to white is 1. The weights
of UNet and text encoder, and of the VAE, are moving averages.

    python -m space.demo_models.text_to_image --vae-steps {vae_steps} --steps {unet_steps} --seed {seed}

Commit {commit:.7}, {device}.
{evaluation}
## Limits
It knows ten kinds of garment in ten colours, seen from one side, and nothing else: no people, no scenes, no two things
at once. T-shirts, shirts, pullovers and coats look alike in FashionMNIST, and so they do here. Pictures are as coarse
as 32x32 pixels are.

Licence of the weights: Apache-2.0.
"""
EVALUATION = """
## How good it is
100 prompts, "a red t-shirt" to "a gray boot", each with a seed fixed beforehand, {steps} steps, guidance {guidance:g}.
The garment is judged by this project's {judge},
on the picture turned back to grey; the colour is the nearest of the ten, in CIELAB, to the median of the foreground.
In brackets the 95 % interval (Wilson).

| | garment | colour | both | n |
|---|---|---|---|---|
| this model | {prompts} |
| real test images, painted | {real} |

    python -m space.demo_models.judge_images

Commit {commit:.7}, {device}.
"""


def update_card(folder: Path, **sections: dict[str, Any]) -> None:
    """Adds sections, `training` or `evaluation`, to the pipeline's metrics.json and writes its README.md anew.

    The `headline` there is what the app says of the model.

    Raises:
        RunError: a file could not be written.
    """
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    metrics |= sections
    metrics["headline"] = _headline(metrics.get("evaluation"))
    write_text(path, json.dumps(metrics, indent=1, allow_nan=False) + "\n")
    write_text(folder / "README.md", render_card(metrics))


def render_card(metrics: dict[str, Any]) -> str:
    """The model card for these metrics; what has not been judged yet is left out."""
    training, evaluation = metrics["training"], metrics.get("evaluation")
    things = ", ".join(" or ".join(words) for words in GARMENTS)
    parameters, vae, unet = training["parameters"], training["vae"], training["unet"]
    return CARD.format(
        millions=sum(parameters.values()) / 1e6,
        guidance=GUIDANCE,
        garments=fill(f"- Garments: {things}.", width=120, subsequent_indent="  ", break_on_hyphens=False),
        colours=", ".join(COLOURS),
        pictures=training["pictures"],
        tints=training["tints"],
        channels=training["sizes"]["latent_channels"],
        vae_parameters=parameters["vae"],
        vae_steps=vae["steps"],
        vae_batch=vae["batch_size"],
        vae_error=training["vae_error"],
        unet_parameters=parameters["unet"],
        unet_steps=unet["steps"],
        unet_batch=unet["batch_size"],
        text_parameters=parameters["text_encoder"],
        seed=vae["seed"],
        commit=training["commit"] or "unknown",
        device=training["device"],
        evaluation=_evaluation(evaluation) if evaluation else "",
    )


def _headline(judged: dict[str, Any] | None) -> str:
    if judged is None:
        return "32x32 pixels, not judged yet"
    both = judged["prompts"]["both"]
    return f"32x32 pixels; {both['right']} of {judged['prompts']['count']} prompts right in garment and colour"


def _evaluation(judged: dict[str, Any]) -> str:
    return EVALUATION.format(
        steps=judged["steps"],
        guidance=judged["guidance"],
        judge=judged["judge"],
        commit=judged["commit"] or "unknown",
        device=judged["device"],
        prompts=_row(judged["prompts"]),
        real=_row(judged["real_images"]),
    )


def _row(figures: dict[str, Any]) -> str:
    cells = []
    for name in ("garment", "colour", "both"):
        low, high = figures[name]["interval"]
        cells.append(f"{100 * figures[name]['share']:.1f} % ({100 * low:.1f} to {100 * high:.1f})")
    return " | ".join([*cells, str(figures["count"])])
