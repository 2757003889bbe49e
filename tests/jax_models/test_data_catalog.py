"""The catalog says what TFDS says, and every wrong name is answered with the right ones."""

import pytest

from jax_models.data import DATASETS, list_datasets, load_dataset
from jax_models.errors import UsageError


def test_names_come_in_the_order_of_the_tables():
    assert list_datasets() == ("mnist", "fashion_mnist", "cifar10")


@pytest.mark.parametrize("name", DATASETS)
def test_version_shape_and_classes_are_those_of_the_official_builder(name, tmp_path):
    import tensorflow_datasets as tfds

    spec, builder = DATASETS[name], tfds.builder(name, data_dir=tmp_path)
    assert (spec.version, spec.shape) == (str(builder.version), builder.info.features["image"].shape)
    assert len(spec.classes) == builder.info.features["label"].num_classes
    if name != "cifar10":  # its official builder reads the class names from the archive
        assert list(spec.classes) == builder.info.features["label"].names


@pytest.mark.parametrize("name", DATASETS)
def test_official_addresses_are_taken_from_tfds_and_cover_every_file(name):
    from jax_models.data.tfds_builders import official_urls

    ends = {url.rsplit("/", 1)[-1].removesuffix(".gz") for url in official_urls(DATASETS[name])}
    assert ends == ({"cifar-10-binary.tar"} if name == "cifar10" else set(DATASETS[name].files))


def test_digits_are_never_shifted_or_mirrored():
    assert (DATASETS["mnist"].crop_padding, DATASETS["mnist"].flip) == (0, False)


def test_an_unknown_name_is_answered_with_the_valid_ones():
    with pytest.raises(UsageError, match=r"'imagenet'.*mnist, fashion_mnist, cifar10"):
        load_dataset("imagenet")
