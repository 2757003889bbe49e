"""Names beside points: chooses where each stands, so that none hides another and each clearly belongs to its point."""

import numpy as np
from jaxtyping import Bool, Float

DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.75, 0.75), (-0.75, 0.75), (0.75, -0.75), (-0.75, -0.75))
DISTANCES = (8.0, 18.0, 30.0, 44.0)
OFFSETS = np.array([[distance * x, distance * y] for distance in DISTANCES for x, y in DIRECTIONS])
"""Where a name may start around its point, nearest first. All lengths in this file are printer's points."""

MARK = 6.0  # half the side of the square that a point fills
STARTS = 20

# What is bad besides hiding something, in square points of hidden area.
FARTHER = 30.0  # a name one distance farther out, at the end of a line
CROSSED = 80.0  # a line through a name or a point
UNCLEAR = 120.0  # a name without a line that is as near to another point as to its own


def place_names(
    centres: Float[np.ndarray, "n 2"], sizes: Float[np.ndarray, "n 2"], *, frame: Float[np.ndarray, " 4"]
) -> Float[np.ndarray, "n 2"]:
    """Offsets, from `OFFSETS`, of n names with `sizes` around points at `centres`.

    They minimise the area of names that is hidden by names, by points, or outside the `frame` (left, bottom, right,
    top), and what is weighed above. Found by moving one name at a time from many starts; equal points, equal places.
    """
    names = np.arange(len(centres))
    low = centres[:, None] + OFFSETS + (np.sign(OFFSETS) - 1) / 2 * sizes[:, None]
    boxes = np.concatenate([low, low + sizes[:, None]], axis=-1)  # (name, place, left-bottom-right-top)
    lines = centres[:, None, None] + OFFSETS[:, None] * np.linspace(0.2, 0.95, 8)[:, None]  # (name, place, step, x-y)
    alone = _alone(centres, boxes, lines=lines, frame=frame)
    crossed = _inside(lines[:, :, None, None], boxes[:, :, None]).sum(-1)  # (name, place, other name, its place)
    pairs = _overlap(boxes[:, :, None, None], boxes) + CROSSED * (crossed + crossed.transpose(2, 3, 0, 1))
    pairs[names, :, names] = 0
    random = np.random.default_rng(0)
    found: list[tuple[float, list[int]]] = []
    for start in range(STARTS):
        chosen = random.integers(0, len(DIRECTIONS) if start else 1, len(names))
        for name in np.tile(names, 4):
            chosen[name] = (alone[name] + pairs[name][:, names, chosen].sum(-1)).argmin()
        together = pairs[names[:, None], chosen[:, None], names, chosen].sum() / 2
        found.append((float(alone[names, chosen].sum() + together), chosen.tolist()))
    return OFFSETS[min(found)[1]]


def _alone(
    centres: Float[np.ndarray, "n 2"],
    boxes: Float[np.ndarray, "n places 4"],
    *,
    lines: Float[np.ndarray, "n places steps 2"],
    frame: Float[np.ndarray, " 4"],
) -> Float[np.ndarray, "n places"]:
    """What each name costs at each place, wherever the other names are."""
    marks = np.concatenate([centres - MARK, centres + MARK], axis=-1)
    others = ~np.eye(len(centres), dtype=bool)[:, None]  # (name, 1, point)
    places = np.arange(len(OFFSETS))
    far = places // len(DIRECTIONS)
    hides = (others * _overlap(boxes[:, :, None], marks)).sum(-1)
    outside = np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) - _overlap(boxes, frame)
    crossed = (others * _inside(lines[:, :, None], marks[:, None]).any(-1)).sum(-1)
    gaps = np.maximum(boxes[:, :, None, :2] - centres, 0) + np.maximum(centres - boxes[:, :, None, 2:], 0)
    distances = np.linalg.norm(gaps, axis=-1)  # (name, place, point)
    to_own = np.einsum("npn->np", distances)[..., None]
    unclear = (far == 0) & (others & (distances < to_own + 3)).any(-1)
    return 3 * hides + 4 * outside + CROSSED * crossed + UNCLEAR * unclear + FARTHER * far + places / len(DIRECTIONS)


def _overlap(one: Float[np.ndarray, "... 4"], other: Float[np.ndarray, "... 4"]) -> Float[np.ndarray, "..."]:
    """Common area of boxes whose leading axes broadcast."""
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    return np.prod(np.maximum(sides, 0), axis=-1)


def _inside(places: Float[np.ndarray, "... 2"], boxes: Float[np.ndarray, "... 4"]) -> Bool[np.ndarray, "..."]:
    """Which places lie in which boxes; their leading axes broadcast."""
    return np.asarray(((boxes[..., :2] < places) & (places < boxes[..., 2:])).all(-1))
