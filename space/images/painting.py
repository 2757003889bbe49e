"""Images for one request: which model with which settings, one image after another, with progress and what to know."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image

from space.images.painters import complete, notes_on
from space.images.pictures import encode_png, enlarge
from space.images.recipes import MAX_SEED, Recipe, write_recipe
from space.jobs import Job, watch
from space.limits import BadInput, whole
from space.models.choosing import Choice
from space.serving import Space

MOST_IMAGES = 4
SECONDS = 900.0
SHOWN = 256  # pixels; smaller images are enlarged at least to this
BLOCKED = "the model's safety checker took it for something not safe for work"


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
        waits_for: what goes on before the first step.
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
    waits_for: str = "loading the model"

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
        choice = space.store.chooser.choose("text_to_image", recipe.model, check=job.check)
        complete(recipe, choice.spec)  # refuses what cannot be painted before a model is brought in

        def wait(what: str) -> None:
            job.tell(Painting(images=images, waits_for=what))

        with space.store.use("text_to_image", recipe.model, job=job, on_wait=wait) as loaded:
            from space.images.diffusion import (  # imports PyTorch, which takes seconds
                Step,
                denoise,
                own_size,
                revision_of,
            )

            wanted = complete(recipe, loaded.spec)
            size = wanted.size or own_size(loaded.model)
            wanted = replace(wanted, size=size, revision=revision_of(loaded.folder))
            notes = notes_on(loaded.model, wanted)
            state = Painting(images=images, choice=loaded.choice, steps=images * wanted.steps, notes=notes)
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


def _with_result(state: Painting, image: Image.Image | None, recipe: Recipe, seconds: float) -> Painting:
    state = replace(state, preview=None, seconds=seconds)
    if image is None:
        return replace(state, blocked=(*state.blocked, Blocked(recipe.seed, BLOCKED)))
    times = _times(image.width)
    png = encode_png(enlarge(image, times), write_recipe(recipe, enlarged=times))
    return replace(state, painted=(*state.painted, Painted(png, recipe)))


def _times(size: int) -> int:
    return max(1, SHOWN // size)
