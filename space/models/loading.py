"""How each kind of model comes into memory: safetensors only, no code from the hub, float32 on a CPU."""

import functools
import logging
import os
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from space.folders import WEIGHTS
from space.models.catalog import ModelSpec
from space.models.choosing import Choice, NotReady
from space.models.cores import usable_cores
from space.models.fetching import COMMAND, base_folder
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
log = logging.getLogger("space")
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
    except NotReady:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        log.warning("%s cannot be loaded", spec.key, exc_info=True)
        raise NotReady(f"Its files on this machine are damaged. {_repair(spec)}") from error
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
    base = base_folder(spec)
    if base and not base.is_dir():
        raise NotReady(f"The offline models are not on this machine yet; run: {COMMAND}")
    if base and spec.kind == "causal":
        return *_load_folder(spec, base), base
    task = _shipped_task(spec)
    folder = WEIGHTS / task
    if not folder.is_dir():
        raise NotReady(
            f"The weights of this task are missing in space/weights; run: python -m space.demo_models.{task}"
        )
    if base is None:
        return *_load_folder(spec, folder), folder
    from jax_models.errors import RunError  # imports JAX, and so do the adapters
    from space.demo_models.adapters import load_adapted

    try:
        model, tokenizer = load_adapted(base, folder, _AUTO[spec.kind])
    except RunError as error:
        raise ValueError(str(error)) from error
    return model.eval().to(device()), tokenizer, folder


def _shipped_task(spec: ModelSpec) -> str:
    """The folder of an offline model in `space/weights`."""
    return {"diffusion": "text_to_image", "classifier": "sentiment"}.get(spec.kind, "question_answering")


def _repair(spec: ModelSpec) -> str:
    """How damaged files become whole again."""
    if not spec.offline:
        return f"Delete the folder of {spec.repo} in the hub's cache, and they are fetched again."
    base, task = base_folder(spec), _shipped_task(spec)
    again = f"take space/weights/{task} from the repository again, or run: python -m space.demo_models.{task}"
    if base is None:
        return f"To repair them, {again}"
    fetched = f"Delete the folder {base.name} of the offline models, and run: {COMMAND}"
    return fetched if spec.kind == "causal" else f"{fetched} (or {again})"


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


def _bytes(model: Any) -> int:
    """Bytes of the weights; those that two layers share count once."""
    modules = model.components.values() if hasattr(model, "components") else (model,)
    tensors = [t for m in modules if isinstance(m, torch.nn.Module) for t in (*m.parameters(), *m.buffers())]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
