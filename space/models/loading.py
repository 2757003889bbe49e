"""How each kind of model comes into memory: safetensors only, no code from the hub, float32 on a CPU."""

import functools
import os
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from space.folders import WEIGHTS, models_folder
from space.models.catalog import ModelSpec
from space.models.choosing import Choice, NotReady
from space.models.cores import usable_cores
from space.models.hub import cached_folder
from space.models.hub_files import variant_of
from space.models.store import Loaded
from space.serving import LANES

_AUTO = {
    "causal": transformers.AutoModelForCausalLM,
    "seq2seq": transformers.AutoModelForSeq2SeqLM,
    "classifier": transformers.AutoModelForSequenceClassification,
    "extractive": transformers.AutoModelForQuestionAnswering,
}
_SAFE: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": True}


def load(choice: Choice) -> Loaded:
    """Brings a model into memory, onto the accelerator if there is one.

    Raises:
        NotReady: its files are not on this machine, or damaged; says how they come here.
    """
    _share_cores()
    transformers.logging.disable_progress_bar()
    spec = choice.spec
    try:
        model, tokenizer, folder = _load_offline(spec) if spec.offline else _load_hub(spec)
    except (SafetensorError, OSError) as error:
        raise NotReady("Its files on this machine are damaged; delete them, and they are fetched again.") from error
    return Loaded(choice, model, tokenizer, _bytes(model), folder)


@functools.cache
def device() -> torch.device:
    """Where models compute."""
    for name, backend in (("cuda", torch.cuda), ("mps", torch.backends.mps)):
        if backend.is_available():
            return torch.device(name)
    return torch.device("cpu")


def dtype() -> torch.dtype:
    """In which numbers: float32 on a CPU, where bfloat16 is fast only on the newest; half of it elsewhere."""
    if device().type == "cpu":
        return torch.float32
    return torch.bfloat16 if device().type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16


@functools.cache
def _share_cores() -> None:
    """Gives each of the requests that run side by side its part of the cores; `OMP_NUM_THREADS` overrides it."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, usable_cores() // LANES))


def _load_hub(spec: ModelSpec) -> tuple[Any, Any, Path]:
    folder = cached_folder(spec)
    if folder is None:
        raise NotReady("It is not on this machine.")
    return *_load_folder(spec, folder), folder


def _load_offline(spec: ModelSpec) -> tuple[Any, Any, Path]:
    if spec.kind == "causal":
        folder = _ready(models_folder() / "smollm2-135m-instruct")
        return *_load_folder(spec, folder), folder
    folder = _shipped({"diffusion": "text_to_image", "classifier": "sentiment"}.get(spec.kind, "question_answering"))
    if spec.kind == "diffusion":
        return *_load_folder(spec, folder), folder
    from space.demo_models.adapters import load_adapted

    model, tokenizer = load_adapted(_ready(models_folder() / "minilm-l6"), folder, _AUTO[spec.kind])
    return model.eval().to(device()), tokenizer, folder


def _load_folder(spec: ModelSpec, folder: Path) -> tuple[Any, Any]:
    if spec.kind == "diffusion":
        return _load_pipeline(folder), None
    model = _AUTO[spec.kind].from_pretrained(folder, dtype=dtype(), **_SAFE)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    return model.eval().to(device()), tokenizer


def _load_pipeline(folder: Path) -> Any:
    # These take seconds, and only this kind needs them.
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline
    from diffusers.utils import logging

    logging.disable_progress_bar()
    # The class is the one that the repository names, Stable Diffusion with its safety checker or FLUX without.
    pipeline = DiffusionPipeline.from_pretrained(folder, dtype=dtype(), variant=variant_of(folder), **_SAFE)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device())


def _ready(folder: Path) -> Path:
    if not folder.is_dir():
        raise NotReady("The offline models are not on this machine yet; run: python -m space.demo_models")
    return folder


def _shipped(task: str) -> Path:
    if not (WEIGHTS / task).is_dir():
        raise NotReady(
            f"The weights of this task are missing in space/weights; run: python -m space.demo_models.{task}"
        )
    return WEIGHTS / task


def _bytes(model: Any) -> int:
    """Bytes of the weights; those that two layers share count once."""
    modules = model.components.values() if hasattr(model, "components") else (model,)
    tensors = [t for m in modules if isinstance(m, torch.nn.Module) for t in (*m.parameters(), *m.buffers())]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
