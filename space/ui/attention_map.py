"""How the attention lab draws an answer: its symbols with their probabilities, and where the model looked."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from space.labs.networks import Written

UNSURE = 0.9  # a symbol of less probability is marked
LEGIBLE = 80  # percent of a weight from which the number on its cell has enough contrast
FEW = 24  # symbols of a source whose map gets large cells with numbers


def symbols_html(written: "Written | None") -> str:
    """The output, each symbol with its probability."""
    if written is None:
        return ""
    items = "".join(
        f"<li{'' if probability >= UNSURE else ' class=unsure'}>{escape(_visible(piece))}"
        f"<small>{100 * probability:.1f} %</small></li>"
        for piece, probability in zip(written.alignment.output, written.probabilities, strict=True)
    )
    ending = "" if written.ended else "<p>It did not come to an end by itself.</p>"
    return f'<ol class="answer" aria-label="What it wrote">{items}</ol>{ending}'


def map_html(written: "Written | None") -> str:
    """The attention weights as a table: a row for each written symbol, a column for each symbol that was read."""
    if written is None:
        return ""
    alignment = written.alignment
    large = len(alignment.source) <= FEW
    head = "".join(f'<th scope="col">{escape(_visible(piece))}</th>' for piece in alignment.source)
    rows = "".join(
        f'<tr><th scope="row">{escape(_visible(piece))}</th>'
        f"{''.join(_cell(weight, large=large) for weight in row)}</tr>"
        for piece, row in zip(alignment.output, alignment.weights.tolist(), strict=True)
    )
    return (
        '<p class="map-title">Where it looked: a row for each symbol that it wrote</p>'
        f'<div class="map{"" if large else " map-long"}" tabindex="0" role="region" aria-label="Attention map"><table>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        '<p class="map-scale">0 %<span aria-hidden="true"></span>100 %</p>'
    )


def _cell(weight: float, *, large: bool) -> str:
    percent = 100 * weight
    shown = f"{percent:.0f}" if large and percent >= LEGIBLE else ""
    return f'<td style="--weight:{percent:.1f}%" title="{percent:.1f} %">{shown}</td>'


def _visible(piece: str) -> str:
    return piece.replace(" ", "␣") or "∅"
