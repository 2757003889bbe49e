"""A trained network together with all that is needed to use it: its classes, its preprocessing, where it comes from.

A folder of it holds `model.safetensors`, `config.json` and `README.md`, a model card in the hub's format; it is what
`from_pretrained` reads and what a repository of the hub looks like.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, UInt8
from PIL import Image

from jax_models.checks import check_choice
from jax_models.errors import RunError, UsageError
from jax_models.evaluation import FEW, predict_probabilities
from jax_models.output import prepare_folder, write_bytes, write_text
from jax_models.pretrained.card import model_card
from jax_models.pretrained.preprocessing import Preprocessing
from jax_models.registry import MODELS
from jax_models.training.state import Network, Variables, take_apart
from jax_models.weight_files import arrays_of, filled, load_weights, tuples, weights_bytes

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FORMAT = 1
DTYPES = ("float32", "float16")


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class PretrainedModel:
    """A trained network, ready for use.

    Attributes:
        name: how it is known, for example "cifar10/resnet18-quick".
        family: its name in the registry.
        architecture: the constructor's keyword arguments.
        model: the network, in evaluation mode.
        classes: their names; the index is the label.
        preprocessing: from pictures to what the network reads.
        about: where the weights come from and how good they are, as in `config.json`: `run`, `test`, `study`, `source`;
            `weights` is the digest of those that this is said of.
    """

    name: str
    family: str
    architecture: Mapping[str, Any]
    model: nnx.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"PretrainedModel({self.name!r}, {MODELS[self.family].title}, {self.num_params:,} parameters)"

    @property
    def in_channels(self) -> int:
        """Of the images: 1 (grey levels) or 3 (red, green, blue)."""
        return len(self.preprocessing.mean)

    @property
    def num_params(self) -> int:
        """Trained numbers, without batch statistics."""
        return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(self.model, nnx.Param)))

    def probabilities(self, images: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n k"]:
        """Of the classes, for images of the data set's shape or of `preprocessing.image_size` pixels a side.

        Raises:
            UsageError: the images have another size, type or other channels.
        """
        if not isinstance(images, np.ndarray):
            raise UsageError("probabilities takes an array of images; classify takes pictures")
        size, channels, shape = self.preprocessing.image_size, self.in_channels, images.shape
        fits = images.dtype == np.uint8 and len(shape) == 4 and max(shape[1:3]) <= size and shape[3] == channels
        if not fits:
            wanted = f"uint8 images (pixels 0 to 255) of shape (n, {size}, {size}, {channels}) or smaller"
            raise UsageError(f"{self.name} reads {wanted}, not {images.dtype} {shape}")
        if not len(images):
            return np.zeros((0, len(self.classes)), np.float32)
        padded, few = self.preprocessing.padded(images), len(images) if len(images) < FEW else None
        return predict_probabilities(*self._parts, images=padded, spec=self.preprocessing, batch_size=few)

    def classify(self, pictures: Sequence[Image.Image]) -> Float[np.ndarray, "n k"]:
        """Probabilities of the classes for pictures of any size.

        Raises:
            UsageError: there is nothing on a picture, it is broken, or something is no picture of Pillow's.
        """
        if not isinstance(pictures, Sequence) or not all(isinstance(picture, Image.Image) for picture in pictures):
            raise UsageError("classify takes a list of pictures, each opened by PIL.Image.open")
        for number, picture in enumerate(pictures, 1):
            try:
                picture.load()
            except OSError as error:
                raise UsageError(f"picture {number} of {len(pictures)} is broken: {error}") from error
        if not pictures:
            return np.zeros((0, len(self.classes)), np.float32)
        return self.probabilities(np.stack([self.preprocessing.picture(picture) for picture in pictures]))

    @functools.cached_property
    def _parts(self) -> tuple[Network, Variables, Variables]:
        return take_apart(self.model)

    def rounded(self, dtype: str) -> "PretrainedModel":
        """The same network with every weight rounded to `dtype`, in float32 as ever."""
        graph, variables = nnx.split(self.model)
        coarse = jax.tree.map(lambda leaf: leaf.astype(dtype).astype(leaf.dtype), variables)
        return dataclasses.replace(self, model=nnx.merge(graph, coarse))

    def save_pretrained(self, folder: Path | str, *, dtype: str = "float32") -> None:
        """Writes weights, configuration and model card; a kill leaves the files that were there.

        Scores in `about` are written only if they are of these weights, to the last bit.

        Args:
            dtype: "float32", or "float16", which halves the file and rounds the weights.

        Raises:
            UsageError: the folder cannot be written, or the type is another.
        """
        if dtype not in DTYPES:
            raise UsageError(f"unknown dtype {dtype!r}; choose from: {' '.join(DTYPES)}")
        folder = Path(folder)
        prepare_folder(folder)
        arrays = {name: array.astype(dtype) for name, array in arrays_of(self.model).items()}
        config = self._config(arrays, dtype)
        write_bytes(folder / WEIGHTS, weights_bytes(arrays, config))
        write_text(folder / CARD, model_card(config))
        write_text(folder / CONFIG, json.dumps(config, indent=1, allow_nan=False) + "\n")

    def _config(self, arrays: dict[str, np.ndarray], dtype: str) -> dict[str, Any]:
        """What `config.json` holds."""
        digest = digest_of(arrays)
        stale = () if self.about.get("weights") == digest else OF_THE_WEIGHTS
        return {
            "format": FORMAT,
            "name": self.name,
            "family": self.family,
            "architecture": dict(self.architecture),
            "classes": list(self.classes),
            "preprocessing": dataclasses.asdict(self.preprocessing),
            "num_params": self.num_params,
            "dtype": dtype,
            **{name: value for name, value in self.about.items() if name not in stale},
            "weights": digest,
        }


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 of weights by name, as float32: the same before and after they were stored in a shorter type."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].astype(np.float32).tobytes())
    return digest.hexdigest()


def load(folder: Path) -> PretrainedModel:
    """The network in a folder that `save_pretrained` wrote.

    Raises:
        UsageError: the folder does not hold one.
        RunError: a file is damaged, or the weights are not those of the configuration.
    """
    config = _read_config(folder)
    try:
        architecture = tuples(config["architecture"])
        preprocessing = Preprocessing.from_fields(config["preprocessing"])
        name, classes = str(config["name"]), tuple(map(str, config["classes"]))
        check_choice("family", config["family"], MODELS)
        family = MODELS[config["family"]]
        about = {key: value for key, value in config.items() if key not in _OWN}

        def new() -> Any:
            channels = len(preprocessing.mean)
            return family.constructor(len(classes), in_channels=channels, rngs=nnx.Rngs(0), **architecture)

        size = preprocessing.image_size
        nnx.eval_shape(lambda: _evaluated(new())(jnp.zeros((1, size, size, len(preprocessing.mean)))))
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).partition("\n")[0]
        raise RunError(f"{folder / CONFIG} does not describe a network of this version ({reason})") from error
    arrays, _ = load_weights(folder / WEIGHTS)
    try:
        model = filled(new, arrays)
    except ValueError as error:
        raise RunError(f"{folder / WEIGHTS} is not what {CONFIG} describes: {error}") from error
    if digest_of(arrays) != config.get("weights"):
        raise RunError(f"{folder / WEIGHTS} is damaged, or of another network: its digest is not that of {CONFIG}")
    return PretrainedModel(
        name=name,
        family=config["family"],
        architecture=architecture,
        model=model,
        classes=classes,
        preprocessing=preprocessing,
        about=about,
    )


OF_THE_WEIGHTS = ("test", "study", "run")
_OWN = ("format", "name", "family", "architecture", "classes", "preprocessing", "num_params", "dtype")


def _read_config(folder: Path) -> dict[str, Any]:
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"{folder} holds no trained network: {' and '.join(missing)} missing (see save_pretrained)")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if config["format"] != FORMAT:
            raise ValueError(f"its format is {config['format']}, this version reads {FORMAT}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder / CONFIG} is damaged or of another version ({error})") from error
    return config


def _evaluated(model: Any) -> Any:
    model.eval()
    return model
