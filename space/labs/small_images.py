"""Pictures in the form that the CNNs were trained on, from a drawing or an upload.

A picture comes as a data URL: its bytes are in the request, so nothing is fetched and no path is read.
"""

import base64
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from space.images.pictures import decoded
from space.limits import BadInput

MOST_BYTES = 3_000_000
LONGEST = MOST_BYTES * 4 // 3 + 100  # characters of a data URL
MOST_PIXELS = 12_000_000
LARGEST_SIDE = 1024  # to work with
FORMATS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}
ALLOWED = f"a PNG, JPEG or WebP picture of at most 3 MB and {MOST_PIXELS // 1_000_000} million pixels"

SIDE = 28  # of MNIST and FashionMNIST
DIGIT_SIDE = 20  # a digit of MNIST fits in 20x20, around its centre of mass (LeCun et al., 1998)
PHOTO_SIDE = 32  # of CIFAR-10
FAINTEST = 24  # grey levels between ink and ground: less is an empty picture
NOISE = 0.2  # of the strongest ink: what is weaker does not count as part of the figure


def decode_picture(url: object) -> Image.Image:
    """The picture in a data URL, upright, as RGBA, made smaller where a side has more than `LARGEST_SIDE` pixels.

    Raises:
        BadInput: it is no data URL of a picture, or too large.
    """
    if not isinstance(url, str) or not url:
        raise BadInput("There is no picture yet; draw or upload one.")
    if len(url) > LONGEST:
        raise BadInput(f"The picture is too large; allowed is {ALLOWED}.")
    head, _, body = url.partition(",")
    kind = head.removeprefix("data:image/").removesuffix(";base64")
    if head != f"data:image/{kind};base64" or kind not in FORMATS:
        raise BadInput(f"The picture must be a data URL (data:image/png;base64,...) with {ALLOWED}.")
    try:
        data = base64.b64decode(body, validate=True)
    except ValueError:
        raise BadInput(f"The picture cannot be read; allowed is {ALLOWED}.") from None
    with decoded(data, (FORMATS[kind],), most_bytes=MOST_BYTES, most_pixels=MOST_PIXELS) as image:
        picture = ImageOps.exif_transpose(image).convert("RGBA")
        picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
        return picture


def as_digit(picture: Image.Image) -> np.ndarray:
    """A picture in the form of MNIST: light ink on black, 28x28x1, the figure in 20x20 around its centre of mass.

    A picture of 28x28 pixels counts as being in that form already.

    Raises:
        BadInput: there is nothing on it.
    """
    return _in_form(picture, side=DIGIT_SIDE, corner=_around_its_mass)


def as_garment(picture: Image.Image) -> np.ndarray:
    """A picture in the form of FashionMNIST: light on black, 28x28x1, the longer side filled.

    A picture of 28x28 pixels counts as being in that form already.

    Raises:
        BadInput: there is nothing on it.
    """
    return _in_form(picture, side=SIDE, corner=_in_the_middle)


def _in_form(picture: Image.Image, *, side: int, corner: Callable[[np.ndarray], list[int]]) -> np.ndarray:
    grey = _light_on_dark(picture)
    if grey.shape == (SIDE, SIDE):
        return _as_bytes(grey)[..., None]
    figure = _shrink(_cut_out(grey), side)
    top, left = corner(figure)
    canvas = np.zeros((SIDE, SIDE), np.float32)
    canvas[top : top + figure.shape[0], left : left + figure.shape[1]] = figure
    return _as_bytes(canvas)[..., None]


def _around_its_mass(figure: np.ndarray) -> list[int]:
    mass = figure.sum()
    return [
        int(np.clip(round((SIDE - 1) / 2 - (places * figure).sum() / mass), 0, SIDE - size))
        for places, size in zip(np.indices(figure.shape), figure.shape, strict=True)
    ]


def _in_the_middle(figure: np.ndarray) -> list[int]:
    return [(SIDE - size) // 2 for size in figure.shape]


def as_photo(picture: Image.Image) -> np.ndarray:
    """The square in the middle of a picture in the form of CIFAR-10: 32x32x3."""
    ground = Image.new("RGBA", picture.size, "white")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = Image.alpha_composite(ground, picture).convert("RGB").crop((left, top, left + side, top + side))
    return np.asarray(square.resize((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS))


AS_TRAINED: dict[str, Callable[[Image.Image], np.ndarray]] = {
    "mnist": as_digit,
    "fashion_mnist": as_garment,
    "cifar10": as_photo,
}


def as_data_url(pixels: np.ndarray) -> str:
    """A PNG of pixels, uint8 (h, w, 1) or (h, w, 3), for an <img>."""
    data = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


def _light_on_dark(picture: Image.Image) -> np.ndarray:
    """Grey levels above the ground, float (h, w): the ground is what the border shows; dark ink is turned light."""
    over = {
        ground: np.asarray(Image.alpha_composite(Image.new("RGBA", picture.size, ground), picture).convert("L"))
        for ground in ("black", "white")
    }
    grey = max(over.values(), key=lambda levels: float(levels.std())).astype(np.float32)  # ink may be of either colour
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = float(np.median(border))
    grey = ground - grey if ground > 127 else grey - ground
    grey = np.clip(grey, 0, None)
    if grey.max() < FAINTEST:
        raise BadInput("The picture is empty; draw something, or upload a picture with more contrast.")
    return grey * (255 / grey.max())


def _cut_out(grey: np.ndarray) -> np.ndarray:
    ink = grey > NOISE * grey.max()
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _shrink(figure: np.ndarray, side: int) -> np.ndarray:
    """The figure with its longer side of `side` pixels and its strongest ink white again."""
    height, width = figure.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(
        Image.fromarray(figure).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    )
    return np.clip(small, 0, None) * (255 / small.max())


def _as_bytes(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
