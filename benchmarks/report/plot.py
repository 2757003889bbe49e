"""What a figure is made of; `render` makes files of it."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes


@dataclass(frozen=True)
class Panel:
    """One drawing: `draw` fills the axes; `finish` runs when the layout is final and sizes in pixels are known."""

    title: str
    draw: Callable[[Axes], None]
    finish: Callable[[Axes], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One figure with a caption of one sentence.

    Attributes:
        name: one of `figures.NAMES`.
        rows: a heading, or "", and as many panels as the other rows have; None leaves a place empty.
        size: width and height of a panel in inches.
    """

    name: str
    title: str
    caption: str
    rows: tuple[tuple[str, tuple[Panel | None, ...]], ...]
    size: tuple[float, float]
