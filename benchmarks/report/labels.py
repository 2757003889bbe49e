"""Names beside points: chooses where each stands, so that none hides another and each clearly belongs to its point."""

import numpy as np

DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (0.75, 0.75), (-0.75, 0.75), (0.75, -0.75), (-0.75, -0.75))
DISTANCES = (8.0, 18.0, 30.0, 44.0)
OFFSETS = np.array([[distance * x, distance * y] for distance in DISTANCES for x, y in DIRECTIONS])
"""Where a name may start around its point. All lengths in this file are printer's points."""

MARK = 6.0  # half the side of the square that a point fills
FAR, CROSSED, UNCLEAR = 30.0, 80.0, 120.0  # what a longer line, a crossed line and a doubtful owner weigh, as hidden area
RESTARTS = 20


def place_names(centres: np.ndarray, sizes: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Offsets (n, 2), from `OFFSETS`, of n names with `sizes` (n, 2) around points at `centres` (n, 2).

    Hidden area is what they minimise: of names by names, of names by points, of names outside the `frame` (left, bottom,
    right, top); the lines that lead to far names count too. Found by moving one name at a time from many starts, the same
    for the same points.
    """
    n = len(centres)
    anchors = centres[:, None] + OFFSETS
    low = anchors + (np.sign(OFFSETS) - 1) / 2 * sizes[:, None]
    boxes = np.concatenate([low, low + sizes[:, None]], axis=-1)  # name, place, (left, bottom, right, top)
    alone = _alone(centres, boxes, frame)
    lines = centres[:, None, None] + OFFSETS[:, None] * np.linspace(0.2, 0.9, 8)[:, None]
    crossed = _inside(lines[:, :, None, None], boxes[None, None, :, :, None]).sum(-1)
    pairs = _overlap(boxes[:, :, None, None], boxes[None, None]) + CROSSED * (crossed + crossed.transpose(2, 3, 0, 1))
    pairs[np.arange(n), :, np.arange(n)] = 0
    random, everyone = np.random.default_rng(0), np.arange(n)
    best, least = np.zeros(n, int), np.inf
    for restart in range(RESTARTS):
        chosen = random.integers(0, len(DIRECTIONS), n) if restart else np.zeros(n, int)
        for point in np.tile(everyone, 4):
            chosen[point] = (alone[point] + pairs[point][:, everyone, chosen].sum(-1)).argmin()
        total = alone[everyone, chosen].sum() + sum(pairs[p, chosen[p], everyone, chosen].sum() for p in everyone) / 2
        if total < least:
            best, least = chosen.copy(), total
    return OFFSETS[best]


def _alone(centres: np.ndarray, boxes: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """What each name at each place (n, places) costs whatever the other names do."""
    marks = np.concatenate([centres - MARK, centres + MARK], axis=-1)
    own = np.eye(len(centres), dtype=bool)[:, None]
    hides = np.where(own, 0, _overlap(boxes[:, :, None], marks[None, None])).sum(-1)
    area = np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
    gaps = np.maximum(boxes[:, :, None, :2] - centres, 0) + np.maximum(centres - boxes[:, :, None, 2:], 0)
    distances = np.linalg.norm(gaps, axis=-1)  # name, place, point
    near = np.arange(len(OFFSETS)) < len(DIRECTIONS)  # a line settles whose name it is
    unclear = near * np.where(own, False, distances < distances[own.repeat(len(OFFSETS), 1)].reshape(len(centres), -1, 1) + 3).any(-1)
    lines = centres[:, None, None] + OFFSETS[:, None] * np.linspace(0.2, 1, 8)[:, None]
    crosses = np.where(own, 0, _inside(lines[:, :, None], marks[None, None, :, None]).any(-1)).sum(-1)
    places = np.arange(len(OFFSETS))
    return 3 * hides + 4 * (area - _overlap(boxes, frame)) + UNCLEAR * unclear + CROSSED * crosses + FAR * (places // 8) + places / 8


def _overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Common area of boxes (..., 4)."""
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    return np.prod(np.maximum(sides, 0), axis=-1)


def _inside(places: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Which places (..., 2) lie in which boxes (..., 4)."""
    return ((boxes[..., :2] < places) & (places < boxes[..., 2:])).all(-1)
