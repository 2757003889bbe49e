"""From pictures of any size to the numbers that a network was trained on; travels with its weights."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jax_models.data import DatasetSpec
from jax_models.data.batches import IMAGE_SIZE
from jax_models.pretrained.pictures import FORMS, on_white

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What happens to a picture before the network.

    Attributes:
        form: "photo": the shorter side is scaled to `resize` pixels by `interpolation`, and the middle square of
            `image_size` is cut out. Or the name of a data set, in whose form the picture is brought; it is then padded
            evenly with black to `image_size`.
        image_size: pixels a side of what the network reads.
        mean, std: per channel, pixels in 0..1.
    """

    form: str
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None
    interpolation: str = "bilinear"

    @classmethod
    def of_dataset(cls, spec: DatasetSpec) -> "Preprocessing":
        """That of the networks trained on one of the three data sets."""
        return cls(form=spec.name, image_size=IMAGE_SIZE, mean=spec.mean, std=spec.std)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Preprocessing":
        """Out of JSON.

        Raises:
            TypeError, ValueError: a field is missing, unknown or not one that is allowed.
        """
        numbers = {name: tuple(map(float, fields.get(name, ()))) for name in ("mean", "std")}
        new = cls(**{**fields, **numbers})
        forms, filters = ("photo", *FORMS), tuple(FILTERS)
        if new.form not in forms or new.interpolation not in filters or not 1 <= new.image_size <= 4096:
            raise ValueError(f"its form must be one of {', '.join(forms)}, its interpolation {' or '.join(filters)}")
        if len(new.mean) not in (1, 3) or len(new.std) != len(new.mean) or not np.isfinite(new.mean + new.std).all():
            raise ValueError("mean and std must be one finite number each, or three")
        if min(new.std) <= 0:
            raise ValueError("std must be positive")
        return new

    def picture(self, picture: Image.Image) -> UInt8[np.ndarray, "s s c"]:
        """A picture as pixels of the size that the network reads.

        Raises:
            UsageError: there is nothing on it where a figure is wanted.
        """
        if self.form == "photo":
            return self._photo(on_white(picture))
        return self.padded(FORMS[self.form](picture)[None])[0]

    def padded(self, images: UInt8[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "n s s c"]:
        """Images of the data set, surrounded evenly with black."""
        margins = [self.image_size - size for size in images.shape[1:3]]
        return np.pad(images, ((0, 0), *((margin // 2, margin - margin // 2) for margin in margins), (0, 0)))

    def _photo(self, picture: Image.Image) -> UInt8[np.ndarray, "s s 3"]:
        scale = (self.resize or self.image_size) / min(picture.size)
        width, height = (max(self.image_size, round(scale * side)) for side in picture.size)
        left, top = (width - self.image_size) // 2, (height - self.image_size) // 2
        scaled = picture.resize((width, height), FILTERS[self.interpolation])
        return np.asarray(scaled.crop((left, top, left + self.image_size, top + self.image_size)))
