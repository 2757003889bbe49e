"""Replies: what a model answers in a conversation, and how it is sampled."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from space import limits
from space.jobs import Job, watch
from space.models.choosing import AUTO, Choice
from space.serving import Space
from space.text.conversation import checked, fit
from space.text.writing import Progress, Sampling

LONGEST = 4_000
LONGEST_SYSTEM = 2_000
MOST_TOKENS = 512
SECONDS = 180.0
SYSTEM = "You are a helpful assistant. Answer briefly and in plain words."


@dataclass(frozen=True)
class Preset:
    """Settings of sampling that go together."""

    temperature: float
    top_p: float
    repetition_penalty: float


PRESETS = {
    "precise": Preset(0.0, 1.0, 1.05),
    "balanced": Preset(0.5, 0.9, 1.05),
    "creative": Preset(1.0, 0.95, 1.1),
}
DEFAULT = PRESETS["balanced"]


@dataclass(frozen=True)
class Reply:
    """The answer so far.

    Attributes:
        prompt_tokens: what the model read: system prompt, history and message.
        tokens: what it has written.
        context_left: tokens that still fit.
        dropped: messages at the front of the history that did not fit and were left out.
        waits_for: what the request waits for, while no model answers yet.
    """

    text: str = ""
    seed: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    context_left: int = 0
    dropped: int = 0
    rate: float = 0.0
    first_seconds: float = 0.0
    seconds: float = 0.0
    choice: Choice | None = None
    waits_for: str = "loading the model"
    done: bool = False


def reply(
    space: Space,
    message: str,
    *,
    history: object = (),
    system: str = SYSTEM,
    temperature: float = DEFAULT.temperature,
    top_p: float = DEFAULT.top_p,
    repetition_penalty: float = DEFAULT.repetition_penalty,
    max_tokens: int = 256,
    seed: int = -1,
    model: str = AUTO,
) -> Iterator[Reply]:
    """The model's answer to `message` after `history`.

    Args:
        history: messages with `role` ("user" or "assistant") and `content`, the oldest first.
        seed: -1 for a new one.

    Raises:
        BadInput: anything is out of its limits.
    """
    message = limits.text(message, name="The message", longest=LONGEST)
    system = limits.text(system, name="The system prompt", longest=LONGEST_SYSTEM, shortest=0)
    messages = checked(list(history) if isinstance(history, tuple) else history)
    room = limits.whole(max_tokens, name="Longest answer", low=1, high=MOST_TOKENS)
    sampling = Sampling(
        temperature=limits.number(temperature, name="Temperature", low=0.0, high=2.0),
        top_p=limits.number(top_p, name="Top p", low=0.05, high=1.0),
        repetition_penalty=limits.number(repetition_penalty, name="Repetition penalty", low=1.0, high=2.0),
        seed=limits.seed(seed),
    )

    def work(job: Job[Reply]) -> None:
        def wait(said: str) -> None:
            job.tell(Reply(waits_for=said))

        with space.store.use("chat", model, job=job, on_wait=wait) as loaded:
            from space.text.generation import generate

            begun = Reply(seed=sampling.seed, choice=loaded.choice)
            job.tell(begun)
            prompt, dropped = fit(loaded, messages, system=system, message=message, room=room)
            begun = replace(begun, dropped=dropped)

            def tell(progress: Progress) -> None:
                job.tell(_written(begun, progress, context=loaded.context))

            last = generate(loaded, prompt, max_new_tokens=room, sampling=sampling, job=job, tell=tell)
            job.tell(replace(_written(begun, last, context=loaded.context), done=True))

    return watch(work, first=Reply(), seconds=SECONDS)


def _written(begun: Reply, progress: Progress, *, context: int) -> Reply:
    return replace(
        begun,
        text=progress.text,
        prompt_tokens=progress.prompt_tokens,
        tokens=progress.tokens,
        context_left=context - progress.prompt_tokens - progress.tokens,
        rate=progress.rate,
        first_seconds=progress.first_seconds,
        seconds=progress.seconds,
    )
