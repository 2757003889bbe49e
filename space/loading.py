"""How each kind of model comes into memory: safetensors only, no code from the hub, float32 on a CPU."""

from pathlib import Path
from typing import Any

import torch
import transformers

from space.catalog import ModelSpec
from space.choosing import Choice, NotReady
from space.folders import WEIGHTS, models_folder
from space.hub import cached_folder
from space.models import Loaded

_AUTO = {
    "causal": transformers.AutoModelForCausalLM,
    "seq2seq": transformers.AutoModelForSeq2SeqLM,
    "classifier": transformers.AutoModelForSequenceClassification,
    "extractive": transformers.AutoModelForQuestionAnswering,
}


def load(choice: Choice) -> Loaded:
    """Brings a model into memory.

    Raises:
        NotReady: its files are not on this machine; says how they come here.
    """
    model, tokenizer, folder = _load_offline(choice.spec) if choice.spec.offline else _load_hub(choice.spec)
    return Loaded(choice, model, tokenizer, _bytes(model), folder)


def _load_hub(spec: ModelSpec) -> tuple[Any, Any, Path]:
    folder = cached_folder(spec)
    if folder is None:
        raise NotReady(f"{spec.title} is not on this machine.")
    if spec.kind == "diffusion":
        import diffusers  # takes seconds, and only this task needs it

        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)
        return pipeline, None, folder
    model = _AUTO[spec.kind].from_pretrained(folder, dtype=torch.float32, use_safetensors=True, local_files_only=True)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True), folder


def _load_offline(spec: ModelSpec) -> tuple[Any, Any, Path]:
    if spec.key == "wardrobe":
        import diffusers  # takes seconds, and only this task needs it

        folder = WEIGHTS / "text_to_image"
        pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
            folder, use_safetensors=True, local_files_only=True
        )
        return pipeline, None, folder
    if spec.key == "smollm2-135m":
        folder = _ready(models_folder() / "smollm2-135m-instruct")
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
        return model.eval(), transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True), folder
    from space.demo_models.adapters import load_adapted

    adapter = WEIGHTS / {"minilm-sentiment": "sentiment", "minilm-qa": "question_answering"}[spec.key]
    base = _ready(models_folder() / "minilm-l6")
    return *load_adapted(base, adapter, _AUTO[spec.kind]), adapter


def _ready(folder: Path) -> Path:
    if not folder.is_dir():
        raise NotReady("The offline models are not on this machine yet; run: python -m space.demo_models")
    return folder


def _bytes(model: Any) -> int:
    modules = model.components.values() if hasattr(model, "components") else (model,)
    tensors = [t for module in modules if isinstance(module, torch.nn.Module) for t in module.state_dict().values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
