"""Where the app's files lie."""

import os
from importlib.util import find_spec
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent / "weights"  # trained by this project, part of it
MODELS_VARIABLE = "SPACE_MODELS_DIR"


def zoo_folder() -> Path:
    """Where the trained CNNs of `jax_models` lie; found without importing JAX."""
    package = find_spec("jax_models")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pretrained" / "zoo"


def models_folder() -> Path:
    """Where the offline base models lie: $SPACE_MODELS_DIR, else ~/.cache/classic-architectures/space."""
    given = os.environ.get(MODELS_VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".cache" / "classic-architectures" / "space"
