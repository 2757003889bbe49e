"""What holds for every test: the CPU unless told otherwise, strict broadcasting, checked shape annotations.

Programs that tests compile are kept for the session, never in the user's cache; child processes share them.
"""

import os
import signal

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from jaxtyping import install_import_hook

# Of the app what computes with arrays; its other functions are handed anything and have to refuse it themselves.
WITH_SHAPES = [
    *("jax_models", "seq2seq", "benchmarks", "space.demo_models", "space.labs.networks"),
    *("space.images.previews", "space.text.attribution", "space.text.polarity", "space.text.spans"),
]

jax.config.update("jax_numpy_rank_promotion", "raise")
install_import_hook(WITH_SHAPES, "beartype.beartype")

# A shell that starts pytest in the background has it ignore Ctrl-C, and so would every child of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("xla"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", folder)
        jax.config.update("jax_compilation_cache_dir", folder)
        yield
