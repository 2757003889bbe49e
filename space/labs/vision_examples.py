"""Pictures to try the vision lab with, drawn here: strokes for digits, outlines for garments, a scene for photos."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from space.labs.small_images import as_data_url

SIDE = 280
PEN = 22
Points = Sequence[tuple[float, float]]

SEVEN: Points = ((75, 70), (205, 70), (125, 225))
THREE: Points = ((85, 70), (130, 50), (180, 70), (180, 110), (130, 135), (190, 160), (195, 205), (140, 230), (80, 210))
FOUR: Sequence[Points] = (((100, 55), (75, 150), (205, 150)), ((175, 50), (175, 230)))
SHIRT: Points = (
    *((95, 40), (120, 55), (160, 55), (185, 40), (240, 75), (220, 120), (190, 105)),
    *((190, 240), (90, 240), (90, 105), (60, 120), (40, 75)),
)
TROUSERS: Points = ((95, 25), (185, 25), (200, 255), (155, 255), (140, 90), (125, 255), (80, 255))


def _drawn(*strokes: Points) -> str:
    image = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        pen.line(list(stroke), fill=255, width=PEN, joint="curve")
        for x, y in (stroke[0], stroke[-1]):
            pen.ellipse((x - PEN / 2, y - PEN / 2, x + PEN / 2, y + PEN / 2), fill=255)
    return as_data_url(np.asarray(image)[..., None])


def _cut(outline: Points) -> str:
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).polygon(list(outline), fill=200)
    return as_data_url(np.asarray(image)[..., None])


def _ship() -> str:
    image = Image.new("RGB", (SIDE, SIDE), (150, 190, 225))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 185, SIDE, SIDE), fill=(35, 75, 115))
    pen.polygon([(30, 160), (250, 160), (225, 205), (60, 205)], fill=(60, 60, 70))
    pen.rectangle((95, 110, 190, 160), fill=(235, 235, 235))
    pen.rectangle((120, 70, 145, 110), fill=(190, 60, 50))
    return as_data_url(np.asarray(image))


# title, data set, picture
EXAMPLES: tuple[tuple[str, str, str], ...] = (
    ("A three", "mnist", _drawn(THREE)),
    ("A four", "mnist", _drawn(*FOUR)),
    ("A seven", "mnist", _drawn(SEVEN)),
    ("A shirt", "fashion_mnist", _cut(SHIRT)),
    ("Trousers", "fashion_mnist", _cut(TROUSERS)),
    ("A ship", "cifar10", _ship()),
)
