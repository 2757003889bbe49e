"""Story: a model tells one from an idea, goes on with it, or tells it anew; the seed says which of its many it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from space import limits
from space.choosing import AUTO, Choice
from space.jobs import Job, watch
from space.models import Loaded
from space.prompts import chat_prompt, follows_instructions, plain_prompt
from space.serving import Space
from space.widgets import Page, header, model_picker, on_run, status_html, status_line
from space.windows import whole_sentences

if TYPE_CHECKING:
    import torch

LONGEST_IDEA = 500
LONGEST_STORY = 20_000
SECONDS = 240.0
MAX_SEED = 2**31 - 1
LENGTHS = {"short": 120, "medium": 250, "long": 450}  # tokens
TEMPERATURE, TOP_P, REPETITION = 0.8, 0.95, 1.05

# How each genre begins with a model that only continues text, and what it is called for one that follows instructions.
GENRES = {
    "fairy tale": "Once upon a time there lived",
    "adventure": "The map was torn, and the boat was smaller than promised.",
    "mystery": "Nobody in the village had heard the shot.",
    "science fiction": "The ship woke the crew two hundred years too early.",
    "horror": "The house had been empty for years, and yet there was light in the attic.",
    "comedy": "It was supposed to be a quiet wedding.",
}
EXAMPLES = (
    ("a lighthouse keeper who finds a letter in a bottle", "adventure", "short"),
    ("a robot who wants to learn to paint", "science fiction", "medium"),
    ("a cat who is sure that it is the mayor", "comedy", "short"),
)


@dataclass(frozen=True)
class Story:
    """The story so far.

    Attributes:
        text: all of it, what it went on from included.
        seed: of the random numbers; the same input with the same seed gives the same story on the same machine.
        tokens: written in this run.
        dropped: tokens at the beginning of the story that the model could not see any more.
    """

    text: str
    seed: int
    tokens: int = 0
    rate: float = 0.0
    first_seconds: float = 0.0
    seconds: float = 0.0
    dropped: int = 0
    choice: Choice | None = None
    done: bool = False


def tell_story(
    space: Space,
    idea: str,
    *,
    genre: str = "fairy tale",
    length: str = "medium",
    seed: int = -1,
    begun: str = "",
    model: str = AUTO,
) -> Iterator[Story]:
    """Tells a story about `idea`.

    Args:
        seed: -1 for a new one.
        begun: a story to go on with.

    Raises:
        BadInput: a text, a name or a number is not allowed.
    """
    idea = limits.text(idea, name="The idea", longest=LONGEST_IDEA)
    genre = limits.one_of(genre, tuple(GENRES), name="Genre")
    tokens = LENGTHS[limits.one_of(length, tuple(LENGTHS), name="Length")]
    seed = limits.whole(seed, name="Seed", low=-1, high=MAX_SEED)
    begun = limits.text(begun, name="The story", longest=LONGEST_STORY, shortest=0)
    if seed < 0:
        from space.generation import new_seed

        seed = new_seed()

    def work(job: Job[Story]) -> None:
        with space.store.use("story", model, job=job) as loaded:
            from space.generation import Progress, Sampling, generate

            start = begun or ("" if follows_instructions(loaded) else _opening(idea, genre))
            prompt, dropped = _prompt(loaded, idea, genre, start, room=tokens)

            def story(progress: Progress, *, done: bool = False) -> Story:
                text = progress.text if progress.ended or not done else whole_sentences(progress.text)
                return Story(
                    _join(start, text),
                    seed,
                    tokens=progress.tokens,
                    rate=progress.rate,
                    first_seconds=progress.first_seconds,
                    seconds=progress.seconds,
                    dropped=dropped,
                    choice=loaded.choice,
                    done=done,
                )

            sampling = Sampling(temperature=TEMPERATURE, top_p=TOP_P, repetition_penalty=REPETITION, seed=seed)
            last = generate(
                loaded, prompt, max_new_tokens=tokens, sampling=sampling, job=job, tell=lambda p: job.tell(story(p))
            )
            job.check()
            job.tell(story(last, done=True))

    return watch(work, first=Story(begun, seed), seconds=SECONDS)


def _opening(idea: str, genre: str) -> str:
    return f"This is a {genre} about {idea.rstrip('.')}.\n\n{GENRES[genre]}"


def _join(start: str, text: str) -> str:
    return start + text if start else text.lstrip()


def _prompt(loaded: Loaded, idea: str, genre: str, start: str, *, room: int) -> "tuple[torch.Tensor, int]":
    """The prompt, and how many tokens of `start` had to be left out at its front to keep `room` for what comes."""
    if not follows_instructions(loaded):
        ids = plain_prompt(loaded, start)
        dropped = max(0, ids.shape[1] + room - loaded.context)
        return ids[:, dropped:], dropped
    messages = [{"role": "user", "content": f"Write a {genre} story about this: {idea}"}]
    head, whole = chat_prompt(loaded, messages), chat_prompt(loaded, messages, begun=start)
    dropped = max(0, whole.shape[1] + room - loaded.context)
    if not dropped:
        return whole, 0
    import torch

    return torch.cat([head, whole[:, head.shape[1] + dropped :]], dim=1), dropped


def _build(space: Space) -> None:
    header(PAGE.title, PAGE.lead)
    with gr.Row(equal_height=False):
        with gr.Column():
            idea = gr.Textbox(EXAMPLES[0][0], label="Idea", lines=3, max_length=LONGEST_IDEA)
            genre = gr.Radio(list(GENRES), value=EXAMPLES[0][1], label="Genre")
            length = gr.Radio(list(LENGTHS), value=EXAMPLES[0][2], label="Length")
            with gr.Row():
                run = gr.Button("Tell a story", variant="primary")
                stop = gr.Button("Stop", variant="secondary", elem_classes="stop")
            gr.Examples([list(example) for example in EXAMPLES], [idea, genre, length], label="Examples")
            with gr.Accordion("Settings", open=False):
                seed = gr.Number(-1, label="Seed", info="-1 for a new one each time", precision=0, minimum=-1)
                model = model_picker(space, "story")
        with gr.Column():
            text = gr.Textbox(
                label="Story", lines=14, max_lines=30, max_length=LONGEST_STORY, interactive=True, buttons=["copy"],
                info="You may edit it; Continue goes on from what is here.",
            )  # fmt: skip
            status = status_line()
            with gr.Row():
                go_on = gr.Button("Continue")
                again = gr.Button("Regenerate")
                keep = gr.Button("Keep this seed")
    used = gr.State(-1)

    def show(answers: Iterator[Story]) -> Iterator[tuple[Any, ...]]:
        for answer in answers:
            yield answer.text, _status(answer), answer.seed

    def begin(idea: str, genre: str, length: str, seed: int, model: str) -> Iterator[tuple[Any, ...]]:
        return show(tell_story(space, idea, genre=genre, length=length, seed=seed, model=model))

    def regenerate(idea: str, genre: str, length: str, model: str) -> Iterator[tuple[Any, ...]]:
        return show(tell_story(space, idea, genre=genre, length=length, model=model))

    def resume(idea: str, genre: str, length: str, seed: int, model: str, begun: str) -> Iterator[tuple[Any, ...]]:
        return show(tell_story(space, idea, genre=genre, length=length, seed=seed, begun=begun, model=model))

    outputs = [text, status, used]
    settings = [idea, genre, length, seed, model]
    on_run(space, [run.click, idea.submit], begin, inputs=settings, outputs=outputs, stop=stop)
    on_run(space, [again.click], regenerate, inputs=[idea, genre, length, model], outputs=outputs, stop=stop)
    on_run(space, [go_on.click], resume, inputs=[*settings, text], outputs=outputs, stop=stop)
    keep.click(lambda seed: seed, used, seed, api_visibility="private", queue=False)

    def story(
        idea: str,
        genre: str = "fairy tale",
        length: str = "medium",
        seed: int = -1,
        begun: str = "",
        model: str = AUTO,
    ) -> Iterator[dict[str, Any]]:
        """Tells a story, or goes on with one.

        Args:
            idea: what it is about, up to 500 characters.
            genre: "fairy tale", "adventure", "mystery", "science fiction", "horror" or "comedy".
            length: "short", "medium" or "long": up to 120, 250 or 450 tokens.
            seed: -1 for a new one; the reply names it.
            begun: a story to go on with, up to 20,000 characters.
            model: "auto", or a model's key.

        Returns:
            the model that answered, the story so far, its seed, and how many tokens were written.
        """
        for answer in tell_story(space, idea, genre=genre, length=length, seed=seed, begun=begun, model=model):
            yield {
                "model": answer.choice.spec.key if answer.choice else None,
                "story": answer.text,
                "seed": answer.seed,
                "tokens": answer.tokens,
                "done": answer.done,
            }

    space.endpoint(story, name="story")


def _status(answer: Story) -> str:
    if answer.choice is None:
        return status_html(None, "loading the model", busy=True)
    return status_html(
        answer.choice,
        f"seed {answer.seed}",
        f"{answer.tokens} tokens",
        f"{answer.rate:.0f} tokens/s" if answer.rate else "",
        f"first token {answer.first_seconds:.1f} s",
        f"{answer.seconds:.1f} s",
        f"the first {answer.dropped} tokens no longer fit into what the model reads" if answer.dropped else "",
        busy=not answer.done,
    )


PAGE = Page("Story", "story", "Give an idea and a genre; the model tells the story, and you may take turns.", _build)
