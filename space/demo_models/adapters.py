"""Low-rank adapters on MiniLM (Hu et al., "LoRA", arXiv 2106.09685): made, saved small, loaded and merged.

PyTorch, transformers and peft are imported when a function needs them: the app starts without.
"""

import contextlib
import copy
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jax_models.errors import RunError
from jax_models.output import prepare_folder, write_bytes, write_text
from space.calibration import CALIBRATION, read_calibration

METRICS = "metrics.json"
WEIGHTS = "adapter_model.safetensors"
_LINEAR_LAYERS = ["query", "key", "value", "dense"]


def load_adapted(base: Path, adapter: Path, auto_class: Any) -> tuple[Any, Any]:
    """A base model with an adapter merged into its weights, ready to answer, and its tokenizer.

    `auto_class` is the transformers class of the task, for example `AutoModelForQuestionAnswering`. The model is in
    float32 and in evaluation mode; its labels are those of the adapter's calibration.

    Raises:
        RunError: a folder lacks its files or they do not fit together.
    """
    from peft import PeftModel

    if not (adapter / WEIGHTS).is_file():
        raise RunError(f"no adapter in {adapter}: {WEIGHTS} is missing; train it, or take it from the repository")
    try:
        labels = read_calibration(adapter).get("labels")
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read the calibration in {adapter}: {error}") from error
    model, tokenizer = load_base(base, auto_class, labels=labels)
    try:
        with _known_warning():
            merged = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    except (OSError, ValueError, RuntimeError) as error:
        raise RunError(f"cannot load the adapter in {adapter}: {error}") from error
    return merged.float().eval(), tokenizer


def load_base(
    base: Path, auto_class: Any, *, labels: Sequence[str] | None = None, seed: int = 0, dropout: float | None = None
) -> tuple[Any, Any]:
    """A base encoder under a new head for a task, whose initial weights follow from the seed, and its tokenizer.

    Give `dropout`, a share of features, to train it. No attention weights are dropped then, and attention is the plain
    one: on a CPU, masks of so large a tensor and the backward pass of PyTorch's fused kernel cost a third of a step.

    Raises:
        RunError: the folder holds no such model.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoTokenizer

    try:
        config = AutoConfig.from_pretrained(base)
        tokenizer = AutoTokenizer.from_pretrained(base)
        weights = load_file(base / "model.safetensors")
    except (OSError, ValueError) as error:
        raise RunError(f"no model in {base}: {error}; run python -m space.demo_models") from error
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
    if dropout is not None:
        config.attention_probs_dropout_prob, config.hidden_dropout_prob = 0.0, dropout
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto_class.from_config(config, attn_implementation="sdpa" if dropout is None else "eager")
    missing = model.base_model.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise RunError(f"the model in {base} lacks {missing[0]} and {len(missing) - 1} more weights")
    return model, tokenizer


def adapt(model: Any, *, rank: int, head: str, task: str, seed: int = 0) -> Any:
    """The model with its weights frozen, a trainable low-rank update on each linear layer, and a trainable head.

    What is frozen is kept in bfloat16, as the matrix units of CPUs want it; what is trained is in float32.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=_LINEAR_LAYERS, modules_to_save=[head], task_type=task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with _known_warning():
            adapted = get_peft_model(model.to(torch.bfloat16), config)
    for weight in adapted.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return adapted


@contextlib.contextmanager
def _known_warning() -> Iterator[None]:
    """peft 0.21 asks transformers 5.24 for an attribute by its old name, which says nothing to a user."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield


def save_adapter(model: Any, folder: Path) -> None:
    """Writes an adapter in peft's format, in half precision.

    Raises:
        RunError: a file could not be written.
    """
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import save

    weights = {name: tensor.to(torch.float16).contiguous() for name, tensor in get_peft_model_state_dict(model).items()}
    config = copy.copy(model.peft_config["default"])
    config.base_model_name_or_path, config.inference_mode = None, True  # not the path on the machine that trained it
    prepare_folder(folder)
    config.save_pretrained(str(folder))
    write_bytes(folder / WEIGHTS, save(weights, metadata={"format": "pt"}))


def describe_adapter(folder: Path, *, calibration: dict[str, Any], metrics: dict[str, Any], card: str) -> None:
    """Writes what belongs to an adapter's weights: its calibration, its metrics, its model card.

    Raises:
        RunError: a file could not be written.
    """
    write_text(folder / CALIBRATION, json.dumps(calibration, indent=1) + "\n")
    write_text(folder / METRICS, json.dumps(metrics, indent=1, allow_nan=False) + "\n")
    write_text(folder / "README.md", card)
