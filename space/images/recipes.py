"""What a picture was made with, as a value and as the text inside its PNG file.

Two texts are written: "parameters", which other tools read and write (prompt, "Negative prompt: ...", then one line of
"Key: value" pairs), and our own JSON, which keeps every prompt exactly and is read first.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from space import limits
from space.limits import BadInput
from space.models.choosing import AUTO

LONGEST = 1_000
MAX_STEPS = 100
MAX_GUIDANCE = 30.0
MAX_SIZE = 2_048
MAX_SEED = 2**32 - 1

OWN = "classic-architectures"
COMMON = "parameters"
_LONGEST_TEXT = 20_000
_NEGATIVE = "Negative prompt:"


@dataclass(frozen=True)
class Recipe:
    """What a picture is made with; 0 means the model's own value.

    Attributes:
        prompt: what should be seen.
        negative_prompt: what should not.
        steps: of denoising.
        guidance: how closely the prompt is followed (classifier-free guidance, arXiv 2207.12598); up to 1 for none.
        size: width and height in pixels, as the model paints.
        seed: of the noise that it starts from; -1 for a random one.
        model: key of the model.
        revision: of its weights.
    """

    prompt: str
    negative_prompt: str = ""
    steps: int = 0
    guidance: float = 0.0
    size: int = 0
    seed: int = -1
    model: str = AUTO
    revision: str = ""

    def checked(self) -> "Recipe":
        """The recipe with its texts cleaned.

        Raises:
            BadInput: a value is of the wrong type or out of its limits.
        """
        return Recipe(
            prompt=limits.text(self.prompt, name="The prompt", longest=LONGEST),
            negative_prompt=limits.text(self.negative_prompt, name="The negative prompt", longest=LONGEST, shortest=0),
            steps=limits.whole(self.steps, name="Steps", low=0, high=MAX_STEPS),
            guidance=limits.number(self.guidance, name="Guidance", low=0, high=MAX_GUIDANCE),
            size=limits.whole(self.size, name="Size", low=0, high=MAX_SIZE),
            seed=limits.whole(self.seed, name="The seed", low=-1, high=MAX_SEED),
            model=limits.text(self.model, name="The model", longest=100),
            revision=limits.text(self.revision, name="The revision", longest=100, shortest=0),
        )


def write_recipe(recipe: Recipe, *, enlarged: int = 1) -> dict[str, str]:
    """The texts for a picture's PNG file.

    Args:
        enlarged: how many times wider and higher the file is than the model's picture.
    """
    settings = {
        "Steps": recipe.steps,
        "CFG scale": f"{recipe.guidance:g}",
        "Seed": recipe.seed,
        "Size": f"{recipe.size}x{recipe.size}",
        "Model hash": recipe.revision[:12],
        "Model": recipe.model,
    }
    if enlarged > 1:
        settings |= {"Hires upscale": enlarged, "Hires upscaler": "Bicubic"}
    line = ", ".join(f"{key}: {value}" for key, value in settings.items() if value != "")
    negative = [f"{_NEGATIVE} {recipe.negative_prompt}"] if recipe.negative_prompt else []
    return {COMMON: "\n".join([recipe.prompt, *negative, line]), OWN: json.dumps(asdict(recipe))}


def read_recipe(texts: Mapping[str, str]) -> Recipe:
    """The recipe in the texts of a PNG file, checked; nothing else of them is kept.

    Raises:
        BadInput: there is none, or a value in it is out of its limits.
    """
    if OWN in texts:
        return _from_json(texts[OWN]).checked()
    if COMMON in texts:
        return _from_common(texts[COMMON]).checked()
    raise BadInput("This picture carries no settings: it was not made here, or a program has removed them.")


def _from_json(text: str) -> Recipe:
    try:
        values = json.loads(text[:_LONGEST_TEXT])
        return Recipe(**{field.name: values[field.name] for field in fields(Recipe) if field.name in values})
    except (ValueError, TypeError, RecursionError):
        raise BadInput("The settings in this picture are broken.") from None


def _from_common(text: str) -> Recipe:
    *prompts, last = text[:_LONGEST_TEXT].strip().split("\n")
    if "Steps:" not in last:
        prompts, last = [*prompts, last], ""
    start = next((place for place, line in enumerate(prompts) if line.startswith(_NEGATIVE)), len(prompts))
    settings = dict(re.findall(r"([A-Z][\w ]*): *([^,]+)", last))
    width, _, height = settings.get("Size", "").partition("x")
    recipe = Recipe(
        prompt="\n".join(prompts[:start]),
        negative_prompt="\n".join(prompts[start:]).removeprefix(_NEGATIVE).strip(),
        steps=_number(settings.get("Steps"), 0),
        guidance=_number(settings.get("CFG scale"), 0.0),
        seed=_number(settings.get("Seed"), -1),
        size=_number(width, 0) if width == height else 0,
    )
    return replace(recipe, model=settings["Model"]) if "Model" in settings else recipe


def _number(text: str | None, missing: Any) -> Any:
    if not text:
        return missing
    try:
        return type(missing)(text)
    except ValueError:
        raise BadInput(f"The settings in this picture are broken: {text[:20]!r} is no number.") from None
