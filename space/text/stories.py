"""Stories: begun from an idea or gone on with, drawn by a seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from space import limits
from space.jobs import Job, watch
from space.models.choosing import AUTO, Choice
from space.models.store import Loaded
from space.serving import Space
from space.text.prompts import chat_prompt, follows_instructions, plain_prompt
from space.text.windows import whole_sentences
from space.text.writing import Progress, Sampling

if TYPE_CHECKING:
    import torch

LONGEST_IDEA = 500
LONGEST_STORY = 20_000
SECONDS = 240.0
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


@dataclass(frozen=True)
class Story:
    """The story so far.

    Attributes:
        text: all of it, what it went on from included.
        seed: of the random numbers; the same input with the same seed gives the same story on the same machine.
        tokens: written in this run.
        dropped: tokens at the beginning of the story that the model could not see any more.
        waits_for: what the request waits for, while no model answers yet.
    """

    text: str
    seed: int
    tokens: int = 0
    rate: float = 0.0
    first_seconds: float = 0.0
    seconds: float = 0.0
    dropped: int = 0
    choice: Choice | None = None
    waits_for: str = "loading the model"
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
    seed = limits.seed(seed)
    begun = limits.text(begun, name="The story", longest=LONGEST_STORY, shortest=0)

    sampling = Sampling(temperature=TEMPERATURE, top_p=TOP_P, repetition_penalty=REPETITION, seed=seed)

    def work(job: Job[Story]) -> None:
        def wait(said: str) -> None:
            job.tell(Story(begun, seed, waits_for=said))

        with space.store.use("story", model, job=job, on_wait=wait) as loaded:
            from space.text.generation import generate

            job.tell(Story(begun, seed, choice=loaded.choice))
            start = begun or ("" if follows_instructions(loaded) else _opening(idea, genre))
            prompt, dropped = _prompt(loaded, idea, genre, start, room=tokens)
            state = Story(start, seed, dropped=dropped, choice=loaded.choice)

            def tell(progress: Progress) -> None:
                job.tell(_written(state, progress, progress.text))

            last = generate(loaded, prompt, max_new_tokens=tokens, sampling=sampling, job=job, tell=tell)
            text = last.text if last.ended else whole_sentences(last.text)
            job.tell(replace(_written(state, last, text), done=True))

    return watch(work, first=Story(begun, seed), seconds=SECONDS)


def _written(start: Story, progress: Progress, text: str) -> Story:
    """The story with `text` after its start."""
    return replace(
        start,
        text=start.text + text if start.text else text.lstrip(),
        tokens=progress.tokens,
        rate=progress.rate,
        first_seconds=progress.first_seconds,
        seconds=progress.seconds,
    )


def _opening(idea: str, genre: str) -> str:
    return f"This is a {genre} about {idea.rstrip('.')}.\n\n{GENRES[genre]}"


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
