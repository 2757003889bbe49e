"""Story: a model tells one from an idea, goes on with it, or tells it anew; the seed says which of its many it is."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from space.models.choosing import AUTO
from space.serving import Space
from space.text.stories import GENRES, LENGTHS, LONGEST_IDEA, LONGEST_STORY, Story, tell_story
from space.ui.widgets import Page, header, key_of, model_picker, on_run, run_and_stop, run_status, status_line

EXAMPLES = (
    ("a lighthouse keeper who finds a letter in a bottle", "adventure", "short"),
    ("a robot who wants to learn to paint", "science fiction", "medium"),
    ("a cat who is sure that it is the mayor", "comedy", "short"),
)


def _build(space: Space) -> None:
    header(PAGE.title, PAGE.lead)
    with gr.Row(equal_height=False):
        with gr.Column():
            idea = gr.Textbox(EXAMPLES[0][0], label="Idea", lines=3, max_length=LONGEST_IDEA)
            genre = gr.Radio(list(GENRES), value=EXAMPLES[0][1], label="Genre")
            length = gr.Radio(list(LENGTHS), value=EXAMPLES[0][2], label="Length")
            with gr.Row():
                run, stop = run_and_stop("Tell a story")
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
    for triggers, run_one, inputs in (
        ([run.click, idea.submit], begin, settings),
        ([again.click], regenerate, [idea, genre, length, model]),
        ([go_on.click], resume, [*settings, text]),
    ):
        on_run(space, triggers, run_one, inputs=inputs, outputs=outputs, stop=stop, status=status)
    keep.click(lambda seed: seed, used, seed, api_visibility="private", queue=False)
    _publish(space)


def _publish(space: Space) -> None:
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
                "model": key_of(answer.choice),
                "story": answer.text,
                "seed": answer.seed,
                "tokens": answer.tokens,
                "done": answer.done,
            }

    space.endpoint(story, name="story")


def _status(answer: Story) -> str:
    if not answer.tokens:
        return run_status(answer, "reading", busy=True)
    return run_status(
        answer,
        f"seed {answer.seed}",
        f"{answer.tokens} tokens",
        f"{answer.rate:.0f} tokens/s" if answer.rate else "",
        f"first token {answer.first_seconds:.1f} s",
        f"{answer.seconds:.1f} s",
        f"the first {answer.dropped} tokens no longer fit into what the model reads" if answer.dropped else "",
        busy=not answer.done,
    )


PAGE = Page("Story", "story", "Give an idea and a genre; the model tells the story, and you may take turns.", _build)
