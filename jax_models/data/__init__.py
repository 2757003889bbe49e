"""MNIST, FashionMNIST and CIFAR-10 through TFDS, without TensorFlow and without depending on one host.

`load_dataset` finds and verifies a data set; `python -m jax_models.data` prepares all three and shows what is there.
"""

from jax_models.data.catalog import DATASETS, DatasetSpec, list_datasets
from jax_models.data.dataset import Dataset, Split, load_dataset

__all__ = ["DATASETS", "Dataset", "DatasetSpec", "Split", "list_datasets", "load_dataset"]
