"""The front page: a card for every other page."""

from collections.abc import Sequence
from html import escape

import gradio as gr

from space.ui.widgets import Page

LEAD = "Language and image models to play with. Each page says which model answers, how good it is and how fast."
SHORTCUTS = (
    ("Enter", "run, in a box of one line"),
    ("Shift + Enter", "run, in a box of several lines"),
    ("Esc", "stop what runs on this page"),
    ("Tab", "go to the next field"),
)


def build_home(title: str, pages: Sequence[Page]) -> None:
    """Lays out the front page; called inside the app's first page."""
    cards = "".join(
        f'<a class="card" href="{page.path}"><h2>{escape(page.title)}</h2><p>{escape(page.lead)}</p></a>'
        for page in pages
    )
    keys = "".join(f"<dt><kbd>{escape(key)}</kbd></dt><dd>{escape(does)}</dd>" for key, does in SHORTCUTS)
    gr.HTML(
        f'<h1>{escape(title)}</h1><p class="lead">{escape(LEAD)}</p><nav class="cards" aria-label="Pages">{cards}</nav>'
        f'<h2 class="keys-title">Keyboard</h2><dl class="keys">{keys}</dl>',
        elem_classes="page-header",
        padding=False,
    )
