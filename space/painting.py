"""Images for one request: which model with which settings, one image after another, with progress and what to know."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image

from space.catalog import ModelSpec
from space.choosing import Choice
from space.jobs import Job, watch
from space.limits import BadInput, whole
from space.pictures import encode_png, enlarge
from space.recipes import MAX_SEED, Recipe, write_recipe
from space.serving import Space

MOST_IMAGES = 4
SECONDS = 900.0
SHOWN = 256  # pixels; smaller images are enlarged at least to this
BLOCKED = "the model's safety checker took it for something not safe for work"


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
    "wardrobe": Native((32,), 20, 4.0),
    "stable-diffusion-1.5": Native((512, 768), 25, 7.5),
    "flux2-klein-4b": Native((1024, 768, 512), 4, 1.0),
}


@dataclass(frozen=True)
class Painted:
    """A finished image: the bytes of its PNG file, its recipe inside."""

    png: bytes
    recipe: Recipe


@dataclass(frozen=True)
class Blocked:
    """An image that is not shown, by its seed, and why."""

    seed: int
    reason: str


@dataclass(frozen=True)
class Painting:
    """The answer so far.

    Attributes:
        painted: the finished images.
        blocked: those that the model's safety checker does not let through.
        images: how many were asked for.
        choice: the model; None while it is loaded.
        steps: denoising steps of all images together, and how many of them are `done`.
        seconds: since the first image was begun.
        preview: the image under way, as the model expects it.
        notes: what the user should know of this request.
    """

    painted: tuple[Painted, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    images: int = 1
    choice: Choice | None = None
    done: int = 0
    steps: int = 0
    seconds: float = 0.0
    preview: Image.Image | None = None
    notes: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether no image is left to paint."""
        return len(self.painted) + len(self.blocked) == self.images

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes; None before the first step."""
        return self.seconds / self.done * (self.steps - self.done) if self.done else None


def paint(space: Space, recipe: Recipe, *, images: int = 1) -> Iterator[Painting]:
    """Paints `images` images; image i has the recipe's seed plus i, and that seed alone paints it again.

    Raises:
        BadInput: a value of the recipe or `images` is out of its limits.
    """
    recipe = recipe.checked()
    images = whole(images, name="The number of images", low=1, high=MOST_IMAGES)
    if recipe.seed + images - 1 > MAX_SEED:
        raise BadInput(f"The seed must be at most {MAX_SEED - images + 1} for {images} images.")

    def work(job: Job[Painting]) -> None:
        choice = space.store.chooser.choose("text_to_image", recipe.model)
        wanted = complete(recipe, choice.spec)
        with space.store.use("text_to_image", recipe.model, job=job) as loaded:
            from space.diffusion import Step, denoise, own_size, revision_of  # imports PyTorch, which takes seconds

            size = wanted.size or own_size(loaded.model)
            wanted = replace(wanted, size=size, revision=revision_of(loaded.folder))
            state = Painting(
                images=images, choice=loaded.choice, steps=images * wanted.steps, notes=_notes(loaded.model, wanted)
            )
            job.tell(state)
            started = time.monotonic()

            def tell(step: Step) -> None:
                nonlocal state
                state = replace(
                    state,
                    done=index * step.steps + step.done,
                    steps=images * step.steps,
                    seconds=time.monotonic() - started,
                    preview=enlarge(step.preview, _times(step.preview.width)) if step.preview else state.preview,
                )
                job.tell(state)

            for index in range(images):
                one = replace(wanted, seed=wanted.seed + index)
                image = denoise(loaded.model, one, job=job, tell=tell)
                state = _with_result(state, image, one, time.monotonic() - started)
                job.tell(state)

    return watch(work, first=Painting(images=images), seconds=SECONDS)


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


def _with_result(state: Painting, image: Image.Image | None, recipe: Recipe, seconds: float) -> Painting:
    state = replace(state, preview=None, seconds=seconds)
    if image is None:
        return replace(state, blocked=(*state.blocked, Blocked(recipe.seed, BLOCKED)))
    times = _times(image.width)
    png = encode_png(enlarge(image, times), write_recipe(recipe, enlarged=times))
    return replace(state, painted=(*state.painted, Painted(png, recipe)))


def _times(size: int) -> int:
    return max(1, SHOWN // size)


def _notes(pipeline: object, recipe: Recipe) -> tuple[str, ...]:
    from space.diffusion import takes, unread_tokens

    notes = []
    if recipe.negative_prompt and not takes(pipeline, "negative_prompt"):
        notes.append("This model takes no negative prompt; it was left out.")
    if left_out := unread_tokens(pipeline, recipe.prompt):
        notes.append(f"The prompt is too long for this model: its last {left_out} tokens were not read.")
    if recipe.model == "wardrobe":
        notes += _wardrobe_notes(recipe.prompt)
    return tuple(notes)


def _wardrobe_notes(prompt: str) -> list[str]:
    from space.demo_models.wardrobe import COLOURS, GARMENTS

    words = f" {' '.join(''.join(c if c.isalpha() or c == '-' else ' ' for c in prompt.lower()).split())} "
    names = [name for garment in GARMENTS for name in garment]
    if not any(f" {name} " in words or f" {name}s " in words or f" {name}es " in words for name in names):
        known = ", ".join(garment[0] for garment in GARMENTS)
        return [f"The offline model knows only ten garments, and this prompt names none of them: {known}."]
    if not any(f" {colour} " in words for colour in COLOURS):
        return [f"The offline model knows ten colours, and this prompt names none of them: {', '.join(COLOURS)}."]
    return []
