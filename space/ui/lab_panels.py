"""What the two labs share on their pages: who answered, and how to make a model where there is none."""

from html import escape

from space.labs.checkpoints import search_folders
from space.models.catalog import ModelSpec
from space.models.choosing import Choice


def project_badge(title: str, *, quality: str) -> Choice:
    """For the status line: models of this project, which need no hub."""
    spec = ModelSpec("labs", title, "classifier", "Apache-2.0", 0, quality)
    return Choice(spec, "trained by this project")


def how_to_train(title: str, *commands: str) -> str:
    """A panel for a lab without a model: what to type, and where the app looks."""
    folders = ", ".join(f"<code>{escape(folder.name)}</code>" for folder in search_folders())
    typed = escape("\n".join(commands))
    return (
        f'<div class="lab-missing" role="note"><h2>{escape(title)}</h2>'
        "<p>Train one where this app was started; it takes minutes on a CPU:</p>"
        f"<pre><code>{typed}</code></pre><p>Then look again. The app looks in the folders {folders}; "
        "<code>SPACE_CHECKPOINTS</code> names others.</p></div>"
    )
