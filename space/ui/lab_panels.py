"""What the two labs share on their pages: who answered, and how to make a model where there is none."""

import os
from html import escape

from space.labs.checkpoints import VARIABLE
from space.models.catalog import ModelSpec
from space.models.choosing import Choice


def project_badge(title: str, *, quality: str) -> Choice:
    """For the status line: models of this project, which need no hub."""
    spec = ModelSpec("labs", title, "classifier", "Apache-2.0", 0, quality)
    return Choice(spec, "trained by this project")


def how_to_train(title: str, *commands: str) -> str:
    """A panel for a lab without a model: what to type, and where the app looks."""
    typed = escape("\n".join(commands))
    if os.environ.get(VARIABLE, "").strip():  # what it names is a matter of the machine, not of everybody who asks
        where = f"The app looks in the folders that <code>{VARIABLE}</code> names."
    else:
        where = (
            "The app looks in the folder <code>out</code> where it was started, and in its own "
            f"<code>space/weights</code>; <code>{VARIABLE}</code> names others."
        )
    return (
        f'<div class="lab-missing" role="note"><h2>{escape(title)}</h2>'
        "<p>Train one where this app was started; it takes minutes on a CPU:</p>"
        f"<pre><code>{typed}</code></pre><p>Then look again. {where}</p></div>"
    )
