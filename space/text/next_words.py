"""Next words: the likeliest tokens to follow a text, and what the settings of sampling make of their probabilities."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from space import limits
from space.jobs import Job, watch
from space.models.choosing import AUTO, Choice
from space.models.store import Loaded
from space.serving import Space
from space.text.writing import Sampling

if TYPE_CHECKING:
    import torch

LONGEST = 4_000
SECONDS = 60.0
MOST_ROWS = 20
MOST_K = 100


@dataclass(frozen=True)
class Candidate:
    """A token that may come next.

    Attributes:
        token: as text.
        probability: as the model gives it.
        sampled: after temperature, top k and top p; 0 if they leave it out.
    """

    token: str
    probability: float
    sampled: float

    @property
    def whole(self) -> bool:
        """Whether it is text of its own; some tokens are only a part of a character's bytes."""
        return bool(self.token) and "\ufffd" not in self.token


@dataclass(frozen=True)
class NextWords:
    """The answer so far: `candidates` is empty while the model is loaded.

    Attributes:
        kept: how many tokens of the vocabulary can be drawn.
        kept_probability: what the model gives to them together.
        read: how many tokens of the text the model has read, the last ones.
        unread: how many at its beginning it could not.
        waits_for: what the request waits for, while no model answers yet.
    """

    candidates: tuple[Candidate, ...] = ()
    kept: int = 0
    kept_probability: float = 0.0
    read: int = 0
    unread: int = 0
    choice: Choice | None = None
    waits_for: str = "loading the model"
    seconds: float = 0.0


def predict(
    space: Space,
    text: str,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    rows: int = 10,
    model: str = AUTO,
) -> Iterator[NextWords]:
    """The `rows` likeliest tokens after `text`.

    Args:
        top_k: only so many can be drawn; 0 for all.
        top_p: only the likeliest that reach this probability together can.

    Raises:
        BadInput: the text or a number is out of its limits.
    """
    text = limits.text(text, name="The text", longest=LONGEST, strip=False)
    temperature = limits.number(temperature, name="Temperature", low=0.1, high=2.0)
    top_k = limits.whole(top_k, name="Top k", low=0, high=MOST_K)
    top_p = limits.number(top_p, name="Top p", low=0.05, high=1.0)
    rows = limits.whole(rows, name="Rows", low=1, high=MOST_ROWS)

    sampling = Sampling(temperature, top_k, top_p)

    def work(job: Job[NextWords]) -> None:
        def wait(said: str) -> None:
            job.tell(NextWords(waits_for=said))

        with space.store.use("next_word", model, job=job, on_wait=wait) as loaded:
            from space.text.generation import next_logits

            started = time.monotonic()
            ids = loaded.tokenizer(text, return_tensors="pt").input_ids
            seen = ids[:, -loaded.context :]
            found = _ranked(loaded, seen, next_logits(loaded, seen, job=job), sampling, rows=rows)
            unread = ids.shape[1] - seen.shape[1]
            job.tell(replace(found, unread=unread, choice=loaded.choice, seconds=time.monotonic() - started))

    return watch(work, first=NextWords(), seconds=SECONDS)


def _ranked(
    loaded: Loaded, seen: "torch.LongTensor", logits: "torch.Tensor", sampling: Sampling, *, rows: int
) -> NextWords:
    import torch

    from space.text.generation import filters

    raw = torch.softmax(logits[0], dim=-1)
    sampled = torch.softmax(filters(sampling)(seen, logits)[0], dim=-1)
    top = torch.topk(raw, min(rows, raw.shape[0]))
    candidates = tuple(
        Candidate(loaded.tokenizer.decode([token]), probability, sampled[token].item())
        for probability, token in zip(top.values.tolist(), top.indices.tolist(), strict=True)
    )
    kept = sampled > 0
    return NextWords(candidates, int(kept.sum()), raw[kept].sum().item(), read=seen.shape[1])
