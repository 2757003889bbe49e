"""What each diffusion model paints best with, and what it cannot do with a request."""

import secrets
from dataclasses import dataclass, replace
from typing import Any

from space.images.pictures import read_texts
from space.images.recipes import Recipe, read_recipe
from space.limits import BadInput
from space.models.catalog import ModelSpec
from space.models.choosing import AUTO
from space.serving import Space


@dataclass(frozen=True)
class Native:
    """What a model paints best with.

    Attributes:
        sizes: widths and heights in pixels that may be asked for; its own is read from the model.
        steps: of denoising.
        guidance: classifier-free guidance; 1 for none.
    """

    sizes: tuple[int, ...]
    steps: int
    guidance: float


NATIVE = {
    "wardrobe": Native((32,), 20, 5.0),
    "stable-diffusion-1.5": Native((512, 768), 25, 7.5),
    "flux2-klein-4b": Native((1024, 768, 512), 4, 1.0),
}


def complete(recipe: Recipe, spec: ModelSpec) -> Recipe:
    """A recipe with the model's own steps and guidance where it leaves them open, and a seed where it has none.

    Raises:
        BadInput: the model does not paint that size.
    """
    native = NATIVE[spec.key]
    if recipe.size and recipe.size not in native.sizes:
        sizes = " or ".join(str(size) for size in native.sizes)
        raise BadInput(f"{spec.title} paints {sizes} pixels, not {recipe.size}; 0 takes its own size.")
    return replace(
        recipe,
        model=spec.key,
        steps=recipe.steps or native.steps,
        guidance=recipe.guidance or native.guidance,
        seed=secrets.randbelow(2**31) if recipe.seed < 0 else recipe.seed,
    )


def sizes_of(space: Space, model: str) -> list[int]:
    """The sizes that may be asked of a model, or of all that are offered; 0 stands for the model's own."""
    keys = [spec.key for spec in space.store.chooser.allowed("text_to_image")] if model == AUTO else [model]
    return [0, *sorted({size for key in keys for size in NATIVE[key].sizes})]


def recall(space: Space, data: bytes) -> tuple[Recipe, str]:
    """The recipe in a picture's PNG file, as far as this app can follow it, and a sentence about it.

    Raises:
        BadInput: the file is no PNG, broken, too large, or carries no valid settings.
    """
    recipe = read_recipe(read_texts(data))
    model, size = recipe.model, recipe.size
    if model not in {AUTO, *(spec.key for spec in space.store.chooser.allowed("text_to_image"))}:
        model = AUTO
    if size not in sizes_of(space, model):
        size = 0
    missing = [
        *([f"its model, {recipe.model}"] if model != recipe.model else []),
        *([f"its size of {recipe.size} pixels"] if size != recipe.size else []),
    ]
    kept = Recipe(recipe.prompt, recipe.negative_prompt, recipe.steps, recipe.guidance, size, recipe.seed, model)
    return kept, f"Settings read, but not {' and '.join(missing)}: not offered here." if missing else "Settings read."


def notes_on(pipeline: Any, recipe: Recipe) -> tuple[str, ...]:
    """What a user should know before the images come: what of the request this model leaves out or does not know."""
    from space.images.diffusion import takes, unread_tokens  # imports PyTorch, which takes seconds

    notes = []
    if recipe.negative_prompt and not takes(pipeline, "negative_prompt"):
        notes.append("This model takes no negative prompt; it was left out.")
    if left_out := unread_tokens(pipeline, recipe.prompt):
        notes.append(f"The prompt is too long for this model: its last {left_out} tokens were not read.")
    if recipe.model == "wardrobe":
        notes += _wardrobe_notes(recipe.prompt)
    return tuple(notes)


def _wardrobe_notes(prompt: str) -> list[str]:
    from space.demo_models.pictures.wardrobe import COLOURS, GARMENTS

    words = f" {' '.join(''.join(c if c.isalpha() or c == '-' else ' ' for c in prompt.lower()).split())} "
    names = [name for garment in GARMENTS for name in garment]
    if not any(f" {name} " in words or f" {name}s " in words or f" {name}es " in words for name in names):
        known = ", ".join(garment[0] for garment in GARMENTS)
        return [f"The offline model knows only ten garments, and this prompt names none of them: {known}."]
    if not any(f" {colour} " in words for colour in COLOURS):
        return [f"The offline model knows ten colours, and this prompt names none of them: {', '.join(COLOURS)}."]
    return []
