"""Going on from a trained network: what a probe leaves alone, what fine-tuning gives, and the command."""

import dataclasses

import jax
import numpy as np
import pytest
import toy
from flax import nnx
from test_data_folders import make_folder

from jax_models import from_pretrained
from jax_models.adapted import with_new_head
from jax_models.classification import fit
from jax_models.errors import UsageError
from jax_models.pretrained.pictures import read_picture
from jax_models.transfer import main
from jax_models.weight_files import arrays_of


@pytest.fixture(scope="module")
def start() -> nnx.Module:
    """A small ResNet, whose batch normalisation has statistics, that knows the toy's classes."""
    config = dataclasses.replace(toy.config(), model="resnet18", architecture=toy.TINY_RESNET)
    return fit(config, toy.dataset()).model


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


def run(start: nnx.Module, **options) -> dict[str, np.ndarray]:
    config = dataclasses.replace(toy.config(seed=1), model="resnet18", architecture=toy.TINY_RESNET)
    return arrays_of(fit(config, toy.dataset(), start=start, **options).model)


def test_a_probe_trains_the_head_alone(start):
    before = {name: array.copy() for name, array in arrays_of(start).items()}
    assert changed(before, run(start, head_only=True)) == {"head.kernel", "head.bias"}
    assert not changed(before, arrays_of(start)), "the network to start from is left as it is"


def test_fine_tuning_trains_all_of_it(start):
    before = arrays_of(start)
    after = run(start)
    assert {"head.kernel", "stem.conv.kernel", "stem.norm.mean"} <= changed(before, after)


def test_a_probe_learns(start):
    """From a network that was fitted to the same images the head alone comes far."""
    config = toy.config(epochs=8, peak_learning_rate=0.05)
    lenet = fit(dataclasses.replace(config, epochs=5), toy.dataset()).model
    probe = fit(config, toy.dataset(), start=with_new_head(lenet, 4, rngs=nnx.Rngs(3)), head_only=True)
    assert probe.history[-1].validation_accuracy > 0.9


def test_a_new_head_has_the_new_classes_and_the_old_trunk(start):
    fresh = with_new_head(start, 7, rngs=nnx.Rngs(0))
    assert fresh.head.kernel.shape[1] == 7
    assert start.head.kernel.shape[1] == 4
    assert {name for name in arrays_of(fresh) if not name.startswith("head")} == {
        name for name in arrays_of(start) if not name.startswith("head")
    }
    assert jax.numpy.isfinite(fresh(jax.numpy.zeros((1, 32, 32, 1)))).all()


def test_the_command_says_what_the_weights_are_worth_and_saves_a_network_that_predicts(tmp_path, capsys):
    folder, out = make_folder(tmp_path / "colours"), tmp_path / "out"
    command = ["--dataset", f"folder:{folder}", "--init", "cifar10/lenet5-quick", "--epochs", "10", "--out", str(out)]
    main(command)
    shown = capsys.readouterr().out
    for words in ("LeNet-5 on colours, 12 test images, one seed", "linear probe", "fine-tuned", "from scratch"):
        assert words in shown
    network = from_pretrained(out / "network")
    assert network.classes == ("blue", "green", "red")
    assert network.about["source"] == "cifar10/lenet5-quick, fine-tuned on colours"
    picture = read_picture(folder / "red" / "0.jpg")
    assert network.classify([picture]).argmax() == 2
    main(command)  # all three were finished: nothing is trained again
    assert capsys.readouterr().out == shown


def test_data_that_the_network_cannot_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("jax_models.transfer.load_dataset", lambda name, **_: toy.dataset())
    with pytest.raises(UsageError, match="reads 32x32 images of 3 channels, mnist has"):
        main(["--dataset", "mnist", "--init", "cifar10/lenet5-quick", "--out", str(tmp_path / "out")])
    with pytest.raises(UsageError, match=r"unknown data set 'pets'; choose from: mnist .*, or folder:PATH"):
        main(["--dataset", "pets", "--init", "cifar10/lenet5-quick", "--out", str(tmp_path / "out")])
    with pytest.raises(UsageError, match="there is no folder"):
        main(["--dataset", f"folder:{tmp_path / 'none'}", "--init", "mnist/lenet5-quick"])
