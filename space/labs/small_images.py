"""Pictures in the form that the CNNs were trained on, from a drawing or an upload.

A picture comes as a data URL: its bytes are in the request, so nothing is fetched and no path is read.
"""

import base64
import io

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


def in_form(picture: Image.Image, dataset: str) -> np.ndarray:
    """A picture as those of a data set are, uint8 (h, w, channels).

    Raises:
        BadInput: there is nothing on it.
    """
    from jax_models.errors import UsageError
    from jax_models.pretrained.pictures import FORMS  # with JAX, which the app starts without

    try:
        return FORMS[dataset](picture)
    except UsageError:
        raise BadInput("The picture is empty; draw something, or upload a picture with more contrast.") from None


def as_data_url(pixels: np.ndarray) -> str:
    """A PNG of pixels, uint8 (h, w, 1) or (h, w, 3), for an <img>."""
    data = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"
