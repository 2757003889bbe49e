"""Text out of an uploaded file: bounded, and decoded by what the bytes say."""

import codecs

from space.limits import BadInput

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(data: object, *, name: str, most: int) -> tuple[str, str]:
    """The text of a file and its encoding: what a byte order mark says, else UTF-8, else Windows-1252.

    Args:
        data: its bytes.
        name: how a message calls it, for example "The file".
        most: bytes that are allowed.

    Raises:
        BadInput: there is no file, it is too large, or it holds no text.
    """
    if not isinstance(data, bytes):
        raise BadInput(f"{name} is missing; choose one first.")
    if len(data) > most:
        raise BadInput(f"{name} has {len(data):,} bytes; at most {most:,} are allowed.")
    marked = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, encoding.removesuffix("-sig")
    raise BadInput(f"{name} is not text that can be read; save it as UTF-8 and upload it again.")
