"""Pictures in and out: uploads opened within bounds, texts kept inside PNG files, small images enlarged."""

import io
from collections.abc import Mapping

from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from space.limits import BadInput

MAX_BYTES = 5_000_000
MAX_PIXELS = 4096 * 4096
FORMATS = ("PNG", "JPEG", "WEBP")


def read_upload(path: str) -> bytes:
    """The bytes of an uploaded file; one byte more than `MAX_BYTES` at most, enough to be refused as too large."""
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def open_picture(data: bytes) -> Image.Image:
    """An uploaded picture, upright and as plain RGB: its metadata is dropped, what is transparent becomes white.

    Raises:
        BadInput: it is no PNG, JPEG or WebP, broken, or larger than `MAX_BYTES` or `MAX_PIXELS`.
    """
    upright = ImageOps.exif_transpose(_decode(data, FORMATS)).convert("RGBA")
    white = Image.new("RGBA", upright.size, "white")
    return Image.alpha_composite(white, upright).convert("RGB")


def read_texts(data: bytes) -> dict[str, str]:
    """The texts inside an uploaded PNG file, by keyword.

    Raises:
        BadInput: it is no PNG, broken, or larger than `MAX_BYTES` or `MAX_PIXELS`.
    """
    picture = _decode(data, ("PNG",))
    return {str(key): str(text) for key, text in picture.text.items()}  # type: ignore[attr-defined]


def encode_png(image: Image.Image, texts: Mapping[str, str]) -> bytes:
    """A PNG file with texts in it, which `read_texts` finds again. The same arguments give the same bytes."""
    chunks = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        chunks.add_text(keyword, text)
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def enlarge(image: Image.Image, times: int) -> Image.Image:
    """A small image so many times wider and higher.

    Bicubic, on the stored values: in linear light dark garments get a black rim, and Lanczos rings more.
    """
    return image.resize((image.width * times, image.height * times), Image.Resampling.BICUBIC)


def _decode(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    kinds = " or ".join(formats)
    if len(data) > MAX_BYTES:
        raise BadInput(f"The file is larger than {MAX_BYTES / 1e6:.0f} MB, which is the most that is allowed.")
    try:
        picture = Image.open(io.BytesIO(data), formats=formats)  # reads the header only
        if picture.width * picture.height > MAX_PIXELS:
            raise BadInput(
                f"The picture has {picture.width} x {picture.height} pixels; "
                f"at most {MAX_PIXELS / 1e6:.0f} million are allowed."
            )
        picture.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput(
            f"The picture has too many pixels; at most {MAX_PIXELS / 1e6:.0f} million are allowed."
        ) from None
    except UnidentifiedImageError:
        raise BadInput(f"The file is not a {kinds} picture.") from None
    except (OSError, ValueError, SyntaxError, EOFError):  # what Pillow raises for truncated and twisted files
        raise BadInput(f"The file is broken: it cannot be read as a {kinds} picture.") from None
    return picture
