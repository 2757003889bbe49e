"""A pad to draw on or to put a picture on. Its value is the picture as a data URL: text, no file on the server."""

from pathlib import Path

import gradio as gr

SIDE = 280  # pixels of the pad: ten for each of MNIST's
_SCRIPT = Path(__file__).with_name("drawing.js")
_PAD = f"""\
<div class="pad">
  <canvas width="{SIDE}" height="{SIDE}" role="img" aria-label="Drawing pad"></canvas>
  <div class="pad-tools">
    <button type="button" class="pad-clear">Clear</button>
    <button type="button" class="pad-upload">Upload a picture</button>
    <input type="file" accept="image/png,image/jpeg,image/webp,image/gif" aria-label="Picture to upload" hidden>
  </div>
  <p class="pad-note" aria-live="polite"></p>
</div>"""


def drawing_pad() -> gr.HTML:
    """The pad; as an input it gives a data URL, or "" while it is empty."""
    return gr.HTML(
        "",
        label="Picture",
        html_template=_PAD,
        js_on_load=_SCRIPT.read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_classes="pad-block",
    )
