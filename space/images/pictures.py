"""Pictures in and out: uploads decoded within bounds, texts kept inside PNG files, small images enlarged."""

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator, Mapping

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from space.limits import BadInput

MAX_BYTES = 5_000_000
MAX_PIXELS = 4096 * 4096


def read_upload(path: str) -> bytes:
    """The bytes of an uploaded file; one byte more than `MAX_BYTES` at most, enough to be refused as too large."""
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


@contextlib.contextmanager
def decoded(data: bytes, formats: tuple[str, ...], *, most_bytes: int, most_pixels: int) -> Iterator[Image.Image]:
    """A stranger's picture, its pixels read. What the `with` does with it may still find that the file is broken.

    Args:
        formats: Pillow's names of those that are tried.

    Raises:
        BadInput: it is of another format, broken, or larger than `most_bytes` or `most_pixels`.
    """
    kinds = " or ".join(formats)
    if len(data) > most_bytes:
        raise BadInput(f"The file is larger than {most_bytes / 1e6:.0f} MB, which is the most that is allowed.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is the lower one
            picture = Image.open(io.BytesIO(data), formats=formats)  # reads the header only
        if picture.width * picture.height > most_pixels:
            raise Image.DecompressionBombError
        picture.load()
        yield picture
    except Image.DecompressionBombError:
        raise BadInput(
            f"The picture has too many pixels; at most {most_pixels / 1e6:.0f} million are allowed."
        ) from None
    except UnidentifiedImageError:
        raise BadInput(f"The file is not a {kinds} picture.") from None
    # What Pillow raises for truncated and twisted files, and for broken EXIF data.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error):
        raise BadInput(f"The file is broken: it cannot be read as a {kinds} picture.") from None


def read_texts(data: bytes) -> dict[str, str]:
    """The texts inside an uploaded PNG file, by keyword.

    Raises:
        BadInput: it is no PNG, broken, or larger than `MAX_BYTES` or `MAX_PIXELS`.
    """
    with decoded(data, ("PNG",), most_bytes=MAX_BYTES, most_pixels=MAX_PIXELS) as picture:
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
