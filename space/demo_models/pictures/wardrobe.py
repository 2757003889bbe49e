"""FashionMNIST in ten colours: what the offline text-to-image model learns, as pictures and prompts.

A FashionMNIST image shows a garment as light pixels on black. Here its grey is read as *coverage*: how much of a colour
hides a plain background. `COVERAGE` lifts all but the faintest greys above 0.65, so that a dim garment still shows its
colour, and keeps seam and weave in the rest; it rises strictly, so a picture can be turned back into grey.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64, UInt8

SIZE = 32  # FashionMNIST's 28 pixels and the border of 2 that this project gives it

# In the order of FashionMNIST's classes. The first word names the garment, the others are understood as well.
GARMENTS: tuple[tuple[str, ...], ...] = (
    ("t-shirt", "tee"),
    ("trousers", "pants"),
    ("pullover", "sweater"),
    ("dress", "gown"),
    ("coat", "jacket"),
    ("sandal", "flip-flop"),
    ("shirt", "blouse"),
    ("sneaker", "running shoe"),
    ("bag", "handbag"),
    ("boot", "ankle boot"),
)
PLURAL = ("trousers", "pants")

# sRGB. In CIELAB the two nearest, blue and purple, are 29 apart.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 25, 30),
    "orange": (245, 130, 10),
    "yellow": (245, 215, 20),
    "green": (35, 140, 40),
    "teal": (0, 150, 150),
    "blue": (25, 70, 200),
    "purple": (120, 35, 160),
    "pink": (245, 110, 180),
    "brown": (110, 65, 25),
    "gray": (120, 120, 120),
}
PALETTE = np.array(list(COLOURS.values()), np.float32) / 255

# What grey 0 to 255 covers: a soft edge up to grey 0.12, then shading.
KNEE, KNEE_COVERAGE = 0.12, 0.65
COVERAGE = np.interp(np.arange(256) / 255, (0, KNEE, 1), (0, KNEE_COVERAGE, 1)).astype(np.float32)

TEMPLATES = ("{}", "{}", "a photo of {}", "a picture of {}", "an image of {}", "{}, studio photo", "buy {} online")
ADJECTIVES = ("nice", "cute", "pretty", "beautiful", "elegant", "stylish", "modern", "classic", "new", "old", "small")
BACKGROUNDS = {
    "white": ("", "", "", " on white", " on a white background"),
    "black": (" on black", " on a black background"),
}
BLACK_SHARE = 0.2

EVALUATION_SEED = 4000


@dataclass(frozen=True)
class Request:
    """One of the 100 evaluation prompts.

    Attributes:
        prompt: what the model is asked for, such as "a red sneaker".
        garment: index into `GARMENTS`, FashionMNIST's class.
        colour: index into `COLOURS`.
        seed: of the picture's noise.
    """

    prompt: str
    garment: int
    colour: int
    seed: int


def tint(
    grey: UInt8[np.ndarray, "n h w"], *, colours: Float32[np.ndarray, "n 3"], backgrounds: Float32[np.ndarray, " n"]
) -> Float32[np.ndarray, "n h w 3"]:
    """Garments painted in one colour each on a plain background; all values from 0 to 1, sRGB.

    Args:
        grey: FashionMNIST images, light garments on black.
        colours: one of each image's own, such as rows of `PALETTE`.
        backgrounds: 0 for black, 1 for white, or a grey between.
    """
    ground = backgrounds[:, None, None, None]
    return ground + (colours[:, None, None, :] - ground) * COVERAGE[grey][..., None]


def pad(images: UInt8[np.ndarray, "n 28 28 1"]) -> UInt8[np.ndarray, "n 32 32"]:
    """FashionMNIST's images at `SIZE`, with a black border."""
    border = (SIZE - images.shape[1]) // 2
    return np.pad(images[..., 0], ((0, 0), (border, border), (border, border)))


def evaluation_requests() -> tuple[Request, ...]:
    """The 100 prompts, ten garments in ten colours, always the same, each with a seed of its own."""
    return tuple(
        Request(name_thing(words[0], colour), garment, index, EVALUATION_SEED + 10 * garment + index)
        for garment, words in enumerate(GARMENTS)
        for index, colour in enumerate(COLOURS)
    )


def name_thing(garment: str, colour: str, *, adjective: str = "") -> str:
    """For example "a red sneaker", "an orange bag", "gray trousers", "a nice red sneaker"."""
    words = f"{adjective} {colour} {garment}".strip()
    if garment in PLURAL:
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def write_prompt(rng: np.random.Generator, *, garment: int, colour: int, background: str) -> str:
    """One of many ways to ask for a garment in a colour.

    One prompt in four has an adjective or a made-up word that says nothing about the picture: what the model does not
    know, it learns to pass over.
    """
    word = _choose(rng, GARMENTS[garment])
    filler = ""
    if rng.random() < 0.25:
        filler = _choose(rng, ADJECTIVES) if rng.random() < 0.5 else _made_up(rng)
    name = list(COLOURS)[colour]
    thing = name_thing(word, name, adjective=filler)
    if not filler and rng.random() < 0.2:
        thing = f"{name} {word}"
    return _choose(rng, TEMPLATES).format(thing) + _choose(rng, BACKGROUNDS[background])


def known_words() -> tuple[str, ...]:
    """Every word that prompts are made of, sorted: each becomes one token."""
    things = [*COLOURS, *(word for words in GARMENTS for word in words), "a", "an", *ADJECTIVES, *TEMPLATES]
    text = " ".join([*things, *(end for ends in BACKGROUNDS.values() for end in ends)])
    return tuple(sorted(set("".join(c if c.isalpha() else " " for c in text).split())))


def balanced_colours(garments: Int64[np.ndarray, " n"], rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
    """A colour index for every image, drawn such that each garment wears each colour equally often."""
    colours = np.empty_like(garments)
    for garment in np.unique(garments):
        places = rng.permutation(np.flatnonzero(garments == garment))
        colours[places] = np.arange(len(places)) % len(COLOURS)
    return colours


def _made_up(rng: np.random.Generator) -> str:
    return "".join(chr(letter) for letter in rng.integers(ord("a"), ord("z") + 1, size=rng.integers(3, 7)))


def _choose(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
