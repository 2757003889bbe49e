"""A network as one file: it runs in a process that has JAX and nothing of this project."""

import subprocess
import sys

import numpy as np
import pytest

from jax_models import from_pretrained
from jax_models.errors import UsageError
from jax_models.export import main

RUN = """
import sys
import jax.export, numpy as np
network = jax.export.deserialize(bytearray(open("network.jaxexport", "rb").read()))
np.save("answers.npy", network.call(np.load("images.npy")))
assert not any(name.startswith(("jax_models", "flax")) for name in sys.modules)
"""


@pytest.mark.parametrize("name", ["mnist/lenet5-quick", "cifar10/xception-quick", "cifar10/googlenet-quick"])
def test_a_clean_process_gives_the_same_answers(name, tmp_path, capsys):
    network = from_pretrained(name)
    size, channels = network.preprocessing.image_size, network.in_channels
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, channels)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    main([name, str(tmp_path / "network.jaxexport")])
    assert f"(n, {size}, {size}, {channels})" in capsys.readouterr().out
    command = [sys.executable, "-I", "-c", RUN]  # isolated: this project is not in its path
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    answers = np.load(tmp_path / "answers.npy")
    np.testing.assert_allclose(answers, network.probabilities(images), atol=1e-5)


def test_an_unknown_network_is_refused(tmp_path):
    with pytest.raises(UsageError, match="in the zoo, did you mean mnist/lenet5-quick; choose from"):
        main(["mnist/lenet6-quick", str(tmp_path / "file")])
    assert not list(tmp_path.iterdir())
