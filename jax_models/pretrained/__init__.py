"""Trained networks: our own zoo, the hub, published ImageNet weights, and how to make one that others can load."""

from jax_models.pretrained.from_torch import from_torch
from jax_models.pretrained.hub import from_pretrained, list_zoo, push_to_hub
from jax_models.pretrained.model import PretrainedModel
from jax_models.pretrained.preprocessing import Preprocessing

__all__ = ["Preprocessing", "PretrainedModel", "from_pretrained", "from_torch", "list_zoo", "push_to_hub"]
