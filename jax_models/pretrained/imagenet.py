"""Published ImageNet weights: where each file lies, pinned, and what it wants done to a picture.

Two networks come from the Hugging Face hub, at one commit and by their sha256. The others are files of PyTorch on the
servers of torchvision and timm, whose names carry the beginning of their sha256; they are kept where PyTorch keeps such
files, so that those which torchvision or timm have fetched before are used.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flax import nnx

from jax_models.errors import RunError, UsageError
from jax_models.pretrained.from_torch import download, from_torch, load_state_dict, torch_cache
from jax_models.pretrained.hub_files import hub_errors, hub_file
from jax_models.pretrained.model import PretrainedModel
from jax_models.pretrained.preprocessing import Preprocessing
from jax_models.registry import IMAGENET, MODELS, family_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
NUM_CLASSES = 1000
LABELS = ("huggingface/label-files", "imagenet-1k-id2label.json")  # a data set on the hub, and its file


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """model.safetensors of a repository on the hub, at a commit."""

    repo: str
    revision: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class WebFile:
    """A file of PyTorch on the web; its name ends in the first digits of its sha256."""

    url: str

    @property
    def name(self) -> str:
        """Of the file."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Published:
    """The weights of one network.

    Attributes:
        licence: of the weights, by its identifier on the hub.
    """

    file: HubFile | WebFile
    preprocessing: Preprocessing
    licence: str

    @property
    def source(self) -> str:
        """Where the file comes from, pinned: a repository and its commit, or an address with a part of the sha256."""
        file = self.file
        return f"{file.repo}@{file.revision[:7]}" if isinstance(file, HubFile) else file.url


def _photo(*, image_size: int = 224, resize: int = 256, interpolation: str = "bilinear", mean=MEAN, std=STD) -> Any:
    return Preprocessing(
        form="photo", image_size=image_size, resize=resize, interpolation=interpolation, mean=mean, std=std
    )


_TORCHVISION = "https://download.pytorch.org/models"
_TIMM = "https://github.com/huggingface/pytorch-image-models/releases/download"

WEIGHTS: Mapping[str, Published] = {
    "alexnet": Published(
        file=WebFile(url=f"{_TORCHVISION}/alexnet-owt-7be5be79.pth"),
        preprocessing=_photo(),
        licence="bsd-3-clause",
    ),
    "vgg16_bn": Published(
        file=WebFile(url=f"{_TORCHVISION}/vgg16_bn-6c64b313.pth"),
        preprocessing=_photo(),
        licence="bsd-3-clause",
    ),
    "resnet18": Published(
        file=HubFile(
            repo="timm/resnet18.tv_in1k",
            revision="bbd144b3e5565108aad885f145491d11bc6ce807",
            sha256="694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
        ),
        preprocessing=_photo(),
        licence="bsd-3-clause",
    ),
    "resnet50": Published(
        file=HubFile(
            repo="timm/resnet50.tv_in1k",
            revision="78f3ecfdb38e06d9b8397f662e7ab8fee96026fa",
            sha256="5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
        ),
        preprocessing=_photo(),
        licence="bsd-3-clause",
    ),
    # torchvision turns normalised images into those of Inception (its transform_input), which pixels in -1..1 are.
    "googlenet": Published(
        file=WebFile(url=f"{_TORCHVISION}/googlenet-1378be20.pth"),
        preprocessing=_photo(mean=HALF, std=HALF),
        licence="bsd-3-clause",
    ),
    "xception": Published(
        file=WebFile(url=f"{_TIMM}/v0.1-cadene/xception-43020ad28.pth"),
        preprocessing=_photo(image_size=299, resize=333, interpolation="bicubic", mean=HALF, std=HALF),
        licence="apache-2.0",
    ),
    "legacy_seresnet18": Published(
        file=WebFile(url=f"{_TIMM}/v0.1-weights/seresnet18-4bb0ce65.pth"),
        preprocessing=_photo(interpolation="bicubic"),
        licence="apache-2.0",
    ),
    "seresnet50": Published(
        file=WebFile(url=f"{_TIMM}/v0.1-weights/seresnet50_ra_224-8efdb4bb.pth"),
        preprocessing=_photo(interpolation="bicubic"),
        licence="apache-2.0",
    ),
}


def load(name: str, *, file: Path | None = None) -> PretrainedModel:
    """A network with published ImageNet weights.

    Args:
        name: one of `list_models(pretrained="imagenet")`.
        file: weights on this machine that are read instead.

    Raises:
        UsageError: there is no such network, a package is missing, or the file is of another network.
        RunError: the file is damaged or cannot be fetched; the message says which file to put where.
    """
    family = family_of(name)
    published = WEIGHTS[name]
    model: Any = network(name, file=file)
    return PretrainedModel(
        name=f"{IMAGENET}/{name}",
        family=family,
        architecture=MODELS[family].imagenet[name],
        model=model,
        classes=_labels(model.head.bias.shape[0]),
        preprocessing=published.preprocessing,
        about={"source": file.name if file else published.source, "license": published.licence},
    )


def network(name: str, *, file: Path | None = None) -> nnx.Module:
    """The network alone, without its classes' names; arguments and errors as for `load`."""
    return from_torch(name, load_state_dict(file or fetch(name)))


def fetch(name: str) -> Path:
    """The file of a network's published weights, from a cache or the network, checked by its sha256.

    Raises:
        UsageError: a package is missing.
        RunError: it is damaged or cannot be fetched; the message says which file to put where.
    """
    file = WEIGHTS[name].file
    path, address = _from_hub(name, file) if isinstance(file, HubFile) else _from_web(name, file)
    wanted = file.sha256 if isinstance(file, HubFile) else path.stem.rpartition("-")[2]
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if not digest.startswith(wanted):
        raise RunError(
            f"{path} is damaged or not the published file: its sha256 is not {wanted}; get it from {address}"
        )
    return path


def _from_hub(name: str, file: HubFile) -> tuple[Path, str]:
    address = f"https://huggingface.co/{file.repo}/resolve/{file.revision}/model.safetensors"
    try:
        return hub_file(file.repo, "model.safetensors", revision=file.revision), address
    except hub_errors() as error:
        from huggingface_hub import constants

        cache = Path(constants.HF_HUB_CACHE) / f"models--{file.repo.replace('/', '--')}"
        place = cache / "snapshots" / file.revision / "model.safetensors"
        raise RunError(_cannot_fetch(name, address, place)) from error


def _from_web(name: str, file: WebFile) -> tuple[Path, str]:
    path = torch_cache() / file.name
    if not path.is_file():
        try:
            download(file.url, path)
        except (OSError, RuntimeError) as error:  # no network, no such file; another sha256
            raise RunError(_cannot_fetch(name, file.url, path)) from error
    return path, file.url


def _cannot_fetch(name: str, address: str, place: Path) -> str:
    return f"cannot fetch the weights of {name}: download {address} on a machine with network and put it at {place}"


def _labels(count: int) -> tuple[str, ...]:
    """The names of ImageNet's classes where they can be had; else numbers."""
    numbers = tuple(map(str, range(count)))
    if count != NUM_CLASSES:
        return numbers
    try:
        path = hub_file(*LABELS, repo_type="dataset")
    except UsageError:
        return numbers
    except hub_errors():
        return numbers
    names = json.loads(path.read_text(encoding="utf-8"))
    return tuple(names.get(number, number) for number in numbers)
