"""Seven classic CNN families in Flax NNX, and the core that trains and judges them."""

from jax_models.classification import fit
from jax_models.data import load_dataset
from jax_models.evaluation import evaluate
from jax_models.pretrained import PretrainedModel, from_pretrained, from_torch, list_zoo, push_to_hub
from jax_models.recipes import resolve_config
from jax_models.registry import create_model, list_models

__all__ = [
    "PretrainedModel",
    "create_model",
    "evaluate",
    "fit",
    "from_pretrained",
    "from_torch",
    "list_models",
    "list_zoo",
    "load_dataset",
    "push_to_hub",
    "resolve_config",
]
