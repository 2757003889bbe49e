"""How a language model is asked to write, and what it has written. Needs no PyTorch, so that pages can say it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the likeliest token always.
        top_k: only among so many; 0 for all.
        top_p: only among the likeliest that reach this probability together.
        repetition_penalty: above 1, tokens already there become less likely (arXiv 1909.05858).
        seed: of the random numbers.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Progress:
    """What has been written so far.

    Attributes:
        text: all of it.
        tokens: how many tokens it has.
        first_seconds: from the call to the first token.
        seconds: from the call until now.
        prompt_tokens: how many tokens were read.
        ended: whether the model ended by itself.
    """

    text: str
    tokens: int
    first_seconds: float
    seconds: float
    prompt_tokens: int
    ended: bool = False

    @property
    def rate(self) -> float:
        """Tokens a second, the first left out."""
        return (self.tokens - 1) / max(self.seconds - self.first_seconds, 1e-9) if self.tokens > 1 else 0.0
