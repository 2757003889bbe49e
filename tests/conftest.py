"""What holds for every test: the CPU unless told otherwise, strict broadcasting, checked shape annotations."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from jaxtyping import install_import_hook

jax.config.update("jax_numpy_rank_promotion", "raise")
install_import_hook(["jax_models", "benchmarks"], "beartype.beartype")
