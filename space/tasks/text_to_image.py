"""Text to image: Stable Diffusion with all its settings, seen while it paints; a picture keeps how it was made."""

import base64
import io
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, NamedTuple

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from space.images.painters import NATIVE, recall, sizes_of
from space.images.painting import MOST_IMAGES, Painting, paint
from space.images.pictures import read_upload
from space.images.recipes import LONGEST, MAX_GUIDANCE, MAX_STEPS, Recipe
from space.models.choosing import AUTO
from space.serving import Space
from space.ui.widgets import (
    Page,
    header,
    key_of,
    model_picker,
    on_run,
    run_and_stop,
    run_status,
    status_html,
    status_line,
)

EXAMPLES = ("a red sneaker", "a blue dress on black", "a yellow handbag, studio photo", "green trousers")
OWN_SIZE = "The model's own"


class _Settings(NamedTuple):
    images: gr.Slider
    steps: gr.Slider
    guidance: gr.Slider
    size: gr.Dropdown
    seed: gr.Number
    model: gr.Dropdown
    last_seed: gr.State
    again: gr.Button


def _build(space: Space) -> None:
    header(PAGE.title, PAGE.lead)
    with gr.Row(equal_height=False):
        with gr.Column():
            prompt = gr.Textbox(EXAMPLES[0], label="Prompt", lines=2, max_length=LONGEST, autofocus=True)
            negative = gr.Textbox(label="Negative prompt", placeholder="what should not be seen", max_length=LONGEST)
            with gr.Row():
                run, stop = run_and_stop("Paint")
            gr.Examples([[example] for example in EXAMPLES], [prompt], label="Examples")
            chosen = _settings(space)
            with gr.Accordion("Settings from a picture", open=False):
                dropped = gr.File(label="A PNG file made here or by a similar program", file_types=[".png"], height=170)
        with gr.Column():
            preview = gr.HTML(visible=False, padding=False, elem_classes="under-way")
            gallery = gr.Gallery(
                label="Images", format="png", columns=2, object_fit="contain", interactive=False,
                buttons=["download", "download_all", "fullscreen"], elem_classes="paintings",
            )  # fmt: skip
            notice = gr.HTML(visible=False, padding=False, elem_classes="notices")
            status = status_line()

    recipe = [prompt, negative, chosen.steps, chosen.guidance, chosen.size, chosen.seed, chosen.model]
    painting = on_run(
        space,
        [run.click, prompt.submit, negative.submit],
        _painter(space, gallery),
        inputs=[chosen.images, *recipe],
        outputs=[preview, gallery, notice, status, chosen.last_seed, chosen.again],
        stop=stop,
        status=status,
    )
    painting.failure(  # or a stop: finished images stay, and the one under way goes
        lambda: (gr.HTML(visible=False), gr.Gallery(visible=True)),
        None, [preview, gallery], api_visibility="private", queue=False,
    )  # fmt: skip

    def read(path: str | None) -> Iterator[tuple[Any, ...]]:
        recipe, sentence = recall(space, read_upload(path or ""))
        yield (
            recipe.prompt, recipe.negative_prompt, recipe.steps, recipe.guidance,
            gr.Dropdown(_size_choices(space, recipe.model), value=recipe.size),
            recipe.seed, recipe.model, None, status_html(None, sentence),
        )  # fmt: skip

    dropped.upload(
        space.handler(read), dropped, [*recipe, dropped, status], api_visibility="private", show_progress="hidden"
    )
    _publish(space)


def _settings(space: Space) -> _Settings:
    with gr.Accordion("Settings", open=False):
        images = gr.Slider(1, MOST_IMAGES, value=1, step=1, label="Images")
        steps = gr.Slider(0, MAX_STEPS, value=0, step=1, label="Steps", info=_own(space, "steps"))
        own = _own(space, "guidance")
        guidance = gr.Slider(0, MAX_GUIDANCE, value=0, step=0.5, label="Guidance scale", info=own)
        size = gr.Dropdown(_size_choices(space, AUTO), value=0, label="Size", filterable=False)
        seed = gr.Number(-1, label="Seed", info="-1 for a random one", precision=0, minimum=-1)
        with gr.Row():
            again = gr.Button("Use the last seed", size="sm", interactive=False)
            random = gr.Button("Random seed", size="sm")
        model = model_picker(space, "text_to_image")
    last_seed = gr.State(-1)
    again.click(lambda seed: seed, last_seed, seed, api_visibility="private", queue=False)
    random.click(lambda: -1, None, seed, api_visibility="private", queue=False)
    model.input(  # not `change`: a size read from a picture stays
        lambda model: gr.Dropdown(_size_choices(space, model), value=0),
        model, size, api_visibility="private", queue=False,
    )  # fmt: skip
    return _Settings(images, steps, guidance, size, seed, model, last_seed, again)


def _painter(space: Space, gallery: gr.Gallery) -> Callable[..., Iterator[tuple[Any, ...]]]:
    def show(images: int, *recipe: Any) -> Iterator[tuple[Any, ...]]:
        before = None
        for answer in paint(space, Recipe(*recipe), images=images):
            if answer is before:  # a beat in between: nothing is new
                yield (gr.skip(),) * 6
                continue
            pictures = gr.skip()
            if before is None or answer.painted != before.painted:
                files = [_saved(one.png, one.recipe, gallery) for one in answer.painted]
                pictures = gr.Gallery(files, visible=bool(files))
            before = answer
            seeds = [one.recipe.seed for one in answer.painted] + [one.seed for one in answer.blocked]
            found = (min(seeds), gr.Button(interactive=True)) if seeds else (gr.skip(), gr.skip())
            yield _preview(answer), pictures, _notice(answer), _status(answer), *found

    return show


def _publish(space: Space) -> None:
    def text_to_image(
        prompt: str,
        negative_prompt: str = "",
        steps: int = 0,
        guidance: float = 0.0,
        seed: int = -1,
        images: int = 1,
        size: int = 0,
        model: str = AUTO,
    ) -> Iterator[dict[str, Any]]:
        """Paints images of what a text says.

        Args:
            prompt: what should be seen, up to 1,000 characters. The offline model paints ten garments in ten colours.
            negative_prompt: what should not be seen.
            steps: of denoising, 1 to 100; 0 for the model's own number.
            guidance: how closely the prompt is followed, up to 30; 0 for the model's own.
            seed: of the first image, the next ones count up; -1 for a random one. The same seed gives the same image.
            images: how many, 1 to 4.
            size: width and height in pixels; 0 for the model's own.
            model: "auto", or a model's key.

        Returns:
            the model that answered; the images as data URLs of PNG files with their settings inside, in the last reply;
            their seeds; which seeds the safety checker blocked and why; how much is done, 0 to 1.
        """
        recipe = Recipe(prompt, negative_prompt, steps, guidance, size, seed, model)
        for answer in paint(space, recipe, images=images):
            yield {
                "model": key_of(answer.choice),
                "seeds": [one.recipe.seed for one in answer.painted],
                "images": [_data_url(one.png, "png") for one in answer.painted] if answer.finished else [],
                "blocked": [{"seed": one.seed, "reason": one.reason} for one in answer.blocked],
                "notes": list(answer.notes),
                "progress": answer.done / answer.steps if answer.steps else 0.0,
            }

    space.endpoint(text_to_image, name="text_to_image")


def _size_choices(space: Space, model: str) -> list[tuple[str, int]]:
    return [(f"{size} x {size}" if size else OWN_SIZE, size) for size in sizes_of(space, model)]


def _own(space: Space, name: str) -> str:
    models = space.store.chooser.allowed("text_to_image")
    return f"0 for the model's own: {', '.join(f'{getattr(NATIVE[m.key], name):g} ({m.title})' for m in models)}"


def _saved(png: bytes, recipe: Recipe, gallery: gr.Gallery) -> tuple[str, str]:
    words = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in recipe.prompt).split()
    name = f"{'-'.join(words)[:40] or 'image'}-{recipe.seed}.png"
    return save_bytes_to_cache(png, name, gallery.GRADIO_CACHE), f"seed {recipe.seed}"


def _status(answer: Painting) -> str:
    if not answer.finished:
        image = len(answer.painted) + len(answer.blocked) + 1
        left = answer.seconds_left
        return run_status(
            answer,
            f"image {image} of {answer.images}" if answer.images > 1 else "",
            f"step {answer.done} of {answer.steps}",
            f"about {left:.0f} s left" if left is not None else "",
            busy=True,
        )
    details = [f"{answer.seconds:.1f} s"]
    if answer.painted:
        first = answer.painted[0].recipe
        seeds = ", ".join(str(one.recipe.seed) for one in answer.painted)
        details += [
            f"{first.size} x {first.size} pixels",
            f"{first.steps} steps",
            f"guidance {first.guidance:g}",
            f"seed {seeds}",
        ]
    return run_status(answer, *details)


def _preview(answer: Painting) -> Any:
    if answer.preview is None:
        return gr.HTML(visible=False)
    file = io.BytesIO()
    answer.preview.convert("RGB").save(file, "JPEG", quality=85)
    share = 100 * answer.done / answer.steps
    return gr.HTML(
        f'<figure class="painting"><img alt="The image so far" src="{_data_url(file.getvalue(), "jpeg")}">'
        f'<div class="bar"><span style="width:{share:.0f}%"></span></div></figure>',
        visible=True,
    )


def _notice(answer: Painting) -> gr.HTML:
    lines = [*answer.notes, *(f"The image with seed {one.seed} is not shown: {one.reason}." for one in answer.blocked)]
    if answer.blocked:
        lines.append("Another seed or another prompt may pass.")
    return gr.HTML("".join(f'<p class="notice">{escape(line)}</p>' for line in lines), visible=bool(lines))


def _data_url(file: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"


PAGE = Page("Text to image", "text-to-image", "Say what you want to see, and watch it take shape out of noise.", _build)
