"""How programs are compiled: with the options that are fast for convolutions, and kept on disk for the next run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

# On the CPU XLA hands convolutions to YNNPACK, which runs those with small kernels on one core and is slow at weight
# gradients: 64 channels, 3x3, 32x32, batch 128 take it 63 ms forward and 257 for the weight gradient; XLA's own code 31
# and 63 (two cores). Sums, as of batch normalisation, and matrix products stay with YNNPACK.
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE,LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}


def jit(function: Callable[..., Any], **settings: Any) -> Any:
    """`jax.jit` with the options that are fast for convolutions where the device is a CPU; for outermost functions.

    Args:
        settings: as `jax.jit` takes them.
    """
    options = CPU_OPTIONS if jax.default_backend() == "cpu" else None
    return jax.jit(function, compiler_options=options, **settings)


def use_compilation_cache() -> None:
    """Turns on JAX's persistent compilation cache, in `JAX_COMPILATION_CACHE_DIR` or the user's cache folder.

    A folder that was chosen before (by that variable or `jax.config`) stays; without a writable home nothing is kept.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~", ".cache").expanduser())
        if os.access(home if home.exists() else home.parent, os.W_OK):
            jax.config.update("jax_compilation_cache_dir", str(home / "jax_models" / "xla"))
