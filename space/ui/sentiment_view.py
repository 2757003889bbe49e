"""How the sentiment page shows what it found, as HTML. All text from users is escaped."""

from collections.abc import Sequence
from html import escape

from space.text.sentiment import Verdict, Word

STRONGEST = 6  # words in the table under a text
FAINT = 0.08  # share of the largest weight below which a word is left unmarked
SIGNS = {"positive": "+", "negative": "−"}

_LEGEND = (
    '<p class="legend"><span class="word positive" style="--w:0.7">solid green</span> speaks for positive, '
    '<span class="word negative" style="--w:0.7">dashed red</span> for negative; the stronger, the more.</p>'
)


def tone(label: str) -> str:
    """A label's colour and sign: positive, negative or neutral."""
    return {"pos": "positive", "neg": "negative"}.get(label[:3], "neutral")


def verdict_html(verdict: Verdict | None) -> str:
    """The label, large, with its probability."""
    if verdict is None:
        return ""
    kind = tone(verdict.label)
    sign = f'<span class="sign" aria-hidden="true">{SIGNS.get(kind, "○")}</span>'
    label, percent = escape(verdict.label.capitalize()), f"{100 * verdict.probability:.1f} %"
    return f'<p class="verdict {kind}">{sign} <strong>{label}</strong> <span>{percent}</span></p>'


def words_html(text: str, words: Sequence[Word]) -> str:
    """The text, its words marked by weight, and the words that weigh most as a table."""
    if not words or any(word.weight is None for word in words):
        return f'<p class="weighed">{escape(text)}</p>'
    most = max(abs(word.weight or 0.0) for word in words) or 1.0
    pieces, place = [], 0
    for word in words:
        pieces.append(escape(text[place : word.start]) + _marked(word, most))
        place = word.end
    marked = "".join(pieces) + escape(text[place:])
    return f'<p class="weighed">{marked}</p>{_LEGEND}{_strongest(words, most)}'


def verdicts_html(texts: Sequence[str], verdicts: Sequence[Verdict | None], *, most: int) -> str:
    """How many of each label, and a table of the first `most` texts with theirs."""
    if not any(verdicts):
        return ""
    labels = [verdict.label for verdict in verdicts if verdict]
    counts = " · ".join(f"<strong>{labels.count(name)}</strong> {escape(name)}" for name in sorted(set(labels)))
    rows = "".join(
        f'<tr><td class="line">{number}</td><td class="text">{escape(text)}</td>{_cells(verdict)}</tr>'
        for number, (text, verdict) in enumerate(zip(texts[:most], verdicts[:most], strict=True), 1)
    )
    shown = f"The first {most} of {len(texts):,}" if len(texts) > most else "All lines"
    names = "".join(f'<th scope="col">{name}</th>' for name in ("#", "Text", "Label", "Probability"))
    return (
        f'<p class="counts">{counts}</p><div class="verdicts" tabindex="0" role="region" aria-label="Results">'
        f"<table><caption>{shown}</caption><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _marked(word: Word, most: float) -> str:
    weight = word.weight or 0.0
    share = abs(weight) / most
    if share < FAINT:
        return escape(word.text)
    kind = "positive" if weight > 0 else "negative"
    return f'<span class="word {kind}" style="--w:{share:.2f}" title="{_signed(weight)}">{escape(word.text)}</span>'


def _strongest(words: Sequence[Word], most: float) -> str:
    ranked = sorted(words, key=lambda word: -abs(word.weight or 0.0))[:STRONGEST]
    rows = "".join(
        f'<tr><th scope="row">{escape(word.text)}</th><td class="bar {"positive" if weight > 0 else "negative"}">'
        f'<span style="width:{50 * abs(weight) / most:.1f}%"></span></td><td>{_signed(weight)}</td></tr>'
        for word in ranked
        if (weight := word.weight or 0.0)
    )
    return f'<table class="bars weights"><caption>What weighed most</caption>{rows}</table>'


def _signed(weight: float) -> str:
    return f"{weight:+.2f}".replace("-", "−")


def _cells(verdict: Verdict | None) -> str:
    if verdict is None:
        return "<td></td><td></td>"
    kind = tone(verdict.label)
    label = f'<span class="chip {kind}">{SIGNS.get(kind, "○")} {escape(verdict.label)}</span>'
    return f'<td>{label}</td><td class="number">{100 * verdict.probability:.1f} %</td>'
