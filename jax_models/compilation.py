"""Compiled programs are kept on disk, so that the second run of a model starts at once."""

import os
from pathlib import Path

import jax


def use_compilation_cache() -> None:
    """Turns on JAX's persistent compilation cache, in `JAX_COMPILATION_CACHE_DIR` or the user's cache folder.

    A folder that was chosen before (by that variable or `jax.config`) stays; without a writable home nothing is kept.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~", ".cache").expanduser())
        if os.access(home if home.exists() else home.parent, os.W_OK):
            jax.config.update("jax_compilation_cache_dir", str(home / "jax_models" / "xla"))
