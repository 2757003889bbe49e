"""Text from a language model, piece by piece, that stops when it is told to.

Sampling adds Gumbel noise from a generator of the request's own to the filtered log-probabilities and takes the
largest, which draws from the same distribution as multinomial sampling, and repeats by seed whatever other users do.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from space.jobs import Job
from space.models.store import Loaded
from space.stopping import stoppable
from space.text.writing import Progress, Sampling

# Tokens of a prompt that are read in one pass. A layer of all of a long prompt takes longer than Stop may: at 6,000
# tokens and one thread up to 0.73 s in SmolLM2 135M, by pieces of this size 0.13 s.
PIECE = 512


def generate(
    loaded: Loaded,
    input_ids: torch.Tensor,
    *,
    max_new_tokens: int,
    sampling: Sampling,
    job: Job[Any],
    tell: Callable[[Progress], None],
) -> Progress:
    """Lets a causal or a sequence-to-sequence model write, and tells after every token.

    Args:
        input_ids: shape (1, tokens).

    Returns:
        the whole text.

    Raises:
        Stopped: the job was stopped; at the next layer, while it reads the prompt too.
    """
    listener = _Listener(loaded, prompt_tokens=input_ids.shape[1], tell=tell)
    processors = _processors(sampling, loaded.model.device)
    _run(loaded, input_ids, job, max_new_tokens=max_new_tokens, logits_processor=processors, streamer=listener)
    return listener.progress


def next_logits(loaded: Loaded, input_ids: torch.Tensor, *, job: Job[Any]) -> torch.Tensor:
    """What a causal model gives to each token as the next one, shape (1, vocabulary).

    Args:
        input_ids: shape (1, tokens).

    Raises:
        Stopped: as `generate`.
    """
    return _run(loaded, input_ids, job, max_new_tokens=1, return_dict_in_generate=True, output_logits=True).logits[0]


def _run(loaded: Loaded, input_ids: torch.Tensor, job: Job[Any], **settings: Any) -> Any:
    with torch.inference_mode(), stoppable([loaded.model], job):
        return loaded.model.generate(
            input_ids.to(loaded.model.device),
            attention_mask=torch.ones_like(input_ids).to(loaded.model.device),
            do_sample=False,
            num_beams=1,
            pad_token_id=loaded.tokenizer.pad_token_id or loaded.tokenizer.eos_token_id,
            prefill_chunk_size=None if loaded.model.config.is_encoder_decoder else PIECE,
            **settings,
        )


def filters(sampling: Sampling) -> LogitsProcessorList:
    """What `sampling` does to the logits before a token is drawn from them."""
    found: list[LogitsProcessor] = []
    if sampling.repetition_penalty != 1.0:
        found.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.temperature > 0:
        found.append(TemperatureLogitsWarper(float(sampling.temperature)))
        if sampling.top_k:
            found.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1.0:
            found.append(TopPLogitsWarper(sampling.top_p))
    return LogitsProcessorList(found)


def _processors(sampling: Sampling, device: torch.device) -> LogitsProcessorList:
    noise = [_GumbelNoise(sampling.seed, device)] if sampling.temperature > 0 else []
    return LogitsProcessorList([*filters(sampling), *noise])


class _GumbelNoise(LogitsProcessor):
    """The largest of logits plus Gumbel noise is a sample of their softmax."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device=device).manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        uniform = torch.rand(scores.shape, generator=self.generator, device=scores.device, dtype=torch.float64)
        return scores.double() - torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))


class _Listener:
    """What transformers calls a streamer: it is given the prompt, then every token."""

    def __init__(self, loaded: Loaded, *, prompt_tokens: int, tell: Callable[[Progress], None]) -> None:
        self.loaded, self.tell = loaded, tell
        self.started = time.monotonic()
        self.ids: list[int] = []
        self.prompt_seen = False
        self.progress = Progress("", 0, 0.0, 0.0, prompt_tokens)

    def put(self, value: torch.Tensor) -> None:
        if not self.prompt_seen:
            self.prompt_seen = True
            return
        self.ids += value.flatten().tolist()
        seconds = time.monotonic() - self.started
        ended = self.ids[-1] in _end_tokens(self.loaded)
        self.progress = Progress(
            text=self.loaded.tokenizer.decode(self.ids, skip_special_tokens=True).rstrip("\ufffd"),
            tokens=len(self.ids),
            first_seconds=self.progress.first_seconds or seconds,
            seconds=seconds,
            prompt_tokens=self.progress.prompt_tokens,
            ended=ended,
        )
        self.tell(self.progress)

    def end(self) -> None:
        """Nothing is held back, so there is nothing left to say."""


def _end_tokens(loaded: Loaded) -> set[int]:
    ids = loaded.model.generation_config.eos_token_id
    ids = ids if isinstance(ids, list) else [ids]
    return {token for token in (*ids, loaded.tokenizer.eos_token_id) if token is not None}
