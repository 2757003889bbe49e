"""Seven classic CNN families in Flax NNX, and the core that trains them."""

from jax_models.registry import create_model, list_models

__all__ = ["create_model", "list_models"]
