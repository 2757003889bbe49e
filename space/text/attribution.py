"""Which words made a text positive or negative: integrated gradients.

Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", arXiv 1703.01365. The function explained is the
classifier's positive logit minus its negative one. The path is a straight line in the space of word embeddings, from
the same text with every word piece replaced by the mask token (a text that says nothing) to the text itself. The
integral is a Gauss-Legendre sum. Contributions are complete: they add up to the function's value at the text minus its
value at the masked text. A word's contribution is the sum over its pieces; where a text has several windows, each
counts by its share of the tokens, as it does in the verdict.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from space.jobs import Job
from space.models.store import Loaded
from space.text.polarity import Polarity, Window, windows_of
from space.text.sentiment import Word

POINTS = 32  # on the path; a sharp classifier turns within a few per cent of it, and fewer points miss that
BATCH_TOKENS = 512  # forward and backward; about 0.2 s on two cores

# Letters with apostrophes, hyphens or points inside ("don't", "well-made", "3.5"), or a run of other signs.
_WORD = re.compile(r"\w+(?:['\u2019.\-]\w+)*|[^\w\s]+")


def words_of(text: str) -> list[Word]:
    """The words of a text, without weights."""
    return [Word(found.group(), found.start(), found.end()) for found in _WORD.finditer(text)]


def attribute(
    loaded: Loaded,
    text: str,
    *,
    job: Job[Any],
    tell: Callable[[float], None] = lambda share: None,
    points: int = POINTS,
) -> list[Word]:
    """The words of a text with their weights.

    Args:
        tell: is given the share of the work that is done, 0 to 1.

    Raises:
        BadInput: the classifier knows no positive and negative.
        Stopped: the job was stopped.
    """
    polarity = Polarity.of(loaded)
    windows = windows_of(loaded, [text])
    offsets: list[tuple[int, int]] = []
    weights: list[float] = []
    for place, window in enumerate(windows):

        def tell_all(share: float, done: int = place) -> None:
            tell((done + share) / len(windows))

        found = integrated_gradients(loaded, window, polarity=polarity, points=points, job=job, tell=tell_all)
        offsets += window.offsets
        weights += (window.share * found).tolist()
    return weigh_words(words_of(text), offsets, weights)


def integrated_gradients(
    loaded: Loaded,
    window: Window,
    *,
    polarity: Polarity,
    points: int,
    job: Job[Any],
    tell: Callable[[float], None] = lambda share: None,
) -> Float[torch.Tensor, " tokens"]:
    """The contribution of each token, in logits; 0 for special tokens.

    Raises:
        Stopped: the job was stopped.
    """
    start, end, others = _path(loaded, window)
    places, shares = np.polynomial.legendre.leggauss(points)
    alphas = torch.tensor((places + 1) / 2, dtype=start.dtype, device=start.device)
    step = max(1, BATCH_TOKENS // window.tokens)
    gradient = torch.zeros_like(start)
    for first in range(0, points, step):
        job.check()
        some = alphas[first : first + step, None, None]
        embeddings = (start + some * (end - start)).requires_grad_()
        logits = loaded.model(
            inputs_embeds=embeddings, **{name: ids.expand(len(some), -1) for name, ids in others.items()}
        ).logits
        (slopes,) = torch.autograd.grad(polarity.margin(logits).sum(), embeddings)
        share = torch.tensor(shares[first : first + step] / 2, dtype=start.dtype, device=start.device)
        gradient += torch.einsum("p,pte->te", share, slopes)
        tell(min(1.0, (first + step) / points))
    return ((end - start) * gradient).sum(-1).float().cpu()


def masked(loaded: Loaded, window: Window) -> Int[torch.Tensor, "1 tokens"]:
    """The ids of a window, each word piece replaced by the mask token (by padding where there is none)."""
    tokenizer = loaded.tokenizer
    nothing = tokenizer.mask_token_id if tokenizer.mask_token_id is not None else tokenizer.pad_token_id or 0
    pairs = zip(window.inputs["input_ids"], window.offsets, strict=True)
    ids = [nothing if end > start else token for token, (start, end) in pairs]
    return torch.tensor([ids], device=loaded.model.device)


def weigh_words(words: Sequence[Word], offsets: Sequence[tuple[int, int]], weights: Sequence[float]) -> list[Word]:
    """Adds the weight of each token to the word in which its visible part begins."""
    owner = {place: number for number, word in enumerate(words) for place in range(word.start, word.end)}
    sums = [0.0] * len(words)
    for (start, end), weight in zip(offsets, weights, strict=True):
        number = next((owner[place] for place in range(start, end) if place in owner), None)
        if number is not None:
            sums[number] += weight
    return [Word(word.text, word.start, word.end, total) for word, total in zip(words, sums, strict=True)]


def _path(loaded: Loaded, window: Window) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """The embeddings at both ends of the path, and what else the model is given."""
    device = loaded.model.device
    embed = loaded.model.get_input_embeddings()
    with torch.no_grad():
        end = embed(torch.tensor([window.inputs["input_ids"]], device=device))[0]
        start = embed(masked(loaded, window))[0]
    others = {name: torch.tensor([ids], device=device) for name, ids in window.inputs.items() if name != "input_ids"}
    return start, end, others
