"""Seven classic CNN families in Flax NNX, and the core that trains and judges them."""

from jax_models.classification import fit
from jax_models.data import load_dataset
from jax_models.evaluation import evaluate
from jax_models.recipes import resolve_config
from jax_models.registry import create_model, list_models

__all__ = ["create_model", "evaluate", "fit", "list_models", "load_dataset", "resolve_config"]
