"""Pictures in and out: what uploads may be, texts inside PNG files, enlarging."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from space.images.pictures import MAX_BYTES, decoded, encode_png, enlarge, read_texts, read_upload
from space.limits import BadInput


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_by_hand(width, height, *extra, pixels=b""):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


GREY = Image.new("RGB", (40, 30), "gray")
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8))
HOSTILE = {
    "empty": b"",
    "text": b"not a picture at all",
    "a script": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "another format": encoded(GREY, "GIF"),
    "cut in its pixels": encoded(NOISE)[:-200],
    "cut in its header": encoded(NOISE)[:20],
    "changed bytes": encoded(NOISE).replace(b"IDAT", b"IDAX"),
    "too many bytes": encoded(GREY) + bytes(MAX_BYTES),
    "3.6 billion pixels claimed": png_by_hand(60_000, 60_000),
    "100 million pixels claimed": png_by_hand(10_000, 10_000),
    "25 million pixels": png_by_hand(5_000, 5_000, pixels=bytes(5_001 * 5_000)),
    "a text that inflates to 100 MB": png_by_hand(
        1, 1, chunk(b"zTXt", b"parameters\0\0" + zlib.compress(bytes(100_000_000))), pixels=b"\0\0"
    ),
}


def read_photo(data):
    with decoded(data, ("PNG", "JPEG", "WEBP"), most_bytes=MAX_BYTES, most_pixels=12_000_000) as picture:
        return ImageOps.exif_transpose(picture)


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("read", [read_photo, read_texts])
def test_hostile_files_are_refused_in_one_line(read, data):
    with pytest.raises(BadInput) as refused:
        read(data)
    assert "\n" not in refused.value.message
    assert len(refused.value.message) < 120


def test_texts_are_read_from_png_files_only():
    with pytest.raises(BadInput, match="not a PNG"):
        read_texts(encoded(GREY, "JPEG"))


def test_texts_in_any_script_come_back_from_a_png():
    texts = {"parameters": "a red sneaker\nSteps: 20", "own": '{"prompt": "ein roter Schuh – 赤い靴 👟"}'}
    assert read_texts(encode_png(GREY, texts)) == texts


def test_a_long_text_that_fits_is_read_without_harm():
    assert len(read_texts(encode_png(GREY, {"parameters": "x" * 1_000_000}))["parameters"]) == 1_000_000


def test_equal_pictures_with_equal_texts_are_equal_files():
    assert encode_png(NOISE, {"a": "b"}) == encode_png(NOISE.copy(), {"a": "b"})


def test_an_upload_is_read_only_a_byte_beyond_its_limit(tmp_path):
    file = tmp_path / "large.png"
    file.write_bytes(bytes(MAX_BYTES + 1_000))
    assert len(read_upload(str(file))) == MAX_BYTES + 1


def test_exif_data_that_breaks_as_it_is_used_counts_as_a_broken_file():
    exif = bytes.fromhex(  # one of its entries, 0x0152, holds a text where a number belongs
        "4578696600004d4d002a00000008000201520002000000046162630001120003000000010006000000000000"
    )
    with pytest.raises(BadInput, match="broken"):
        read_photo(encoded(NOISE, "JPEG", exif=exif))


def test_png_texts_of_the_wrong_type_do_not_pass():
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"tEXt", b"no separator")
    assert all(isinstance(text, str) for text in read_texts(encoded(GREY, pnginfo=chunks)).values())


def test_enlarging_keeps_a_flat_colour():
    flat = Image.new("RGB", (4, 4), (200, 30, 90))
    large = np.asarray(enlarge(flat, 8))
    assert large.shape == (32, 32, 3)
    assert (large == (200, 30, 90)).all()


def test_enlarging_an_edge_leaves_no_rim_beside_it():
    edge = Image.fromarray(np.repeat(np.array([[30] * 4 + [220] * 4], np.uint8), 8, axis=0)).convert("RGB")
    large = np.asarray(enlarge(edge, 8)).astype(int)
    assert large.min() > 10
    assert large.max() < 240
