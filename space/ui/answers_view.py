"""How the question page shows what it found, as HTML. All text from users is escaped."""

from html import escape

from space.text.answers import Answer, Found

# Brings the marked answer into view inside the box, without moving the page.
SCROLL = """
const show = () => {
  const box = element.querySelector(".passage"), mark = element.querySelector("mark.best");
  if (box && mark) box.scrollTop = mark.offsetTop - box.offsetTop - box.clientHeight / 3;
};
watch("value", show);
"""


def answer_html(found: Found) -> str:
    """The answer, large, or that there is none."""
    if found.answered:
        best = found.candidates[0]
        return f'<p class="answer">{escape(best.text)} <span>{_percent(best.probability)}</span></p>'
    sure = f" <span>{_percent(found.no_answer)}</span>" if found.no_answer is not None else ""
    return f'<p class="answer none">No answer in this text{sure}</p>'


def candidates_html(found: Found) -> str:
    """All candidates with their probabilities, best first."""
    if not found.candidates:
        return ""
    title = "Answers" if found.answered else "Closest guesses"
    rows = "".join(
        f'<tr><td class="rank">{place}</td><th scope="row">{escape(one.text)}</th>'
        f'<td class="bar"><span style="width:{100 * one.probability:.1f}%"></span></td>'
        f"<td>{_percent(one.probability)}</td></tr>"
        for place, one in enumerate(found.candidates, 1)
    )
    return f'<table class="bars answers"><caption>{title}</caption>{rows}</table>'


def passage_html(context: str, found: Found) -> str:
    """The text with the candidates marked and numbered, in a box that scrolls."""
    ranked = sorted(enumerate(found.candidates, 1), key=lambda pair: pair[1].start)
    pieces, place = [], 0
    for rank, one in ranked:
        pieces.append(escape(context[place : one.start]) + _mark(rank, one, found.answered))
        place = one.end
    text = "".join(pieces) + escape(context[place:])
    return f'<div class="passage" tabindex="0" role="region" aria-label="The text with its answers">{text}</div>'


def _mark(rank: int, one: Answer, answered: bool) -> str:
    kind = "best" if rank == 1 and answered else "other"
    return f'<mark class="{kind}">{escape(one.text)}<sup>{rank}</sup></mark>'


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"
