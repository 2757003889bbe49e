"""How the app looks: a theme of its own and style sheets, `base.css` and one for each page that needs its own."""

from pathlib import Path

import gradio as gr

STYLES = sorted((Path(__file__).parent / "styles").glob("*.css"))


def theme() -> gr.themes.Base:
    """Indigo on warm grey, system fonts (the page asks nothing of other hosts), contrast of WCAG AA in both modes."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "Segoe UI", "Helvetica", "Arial", "sans-serif"],
        font_mono=["ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace"],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )


# Esc presses the page's stop button; nothing is asked of other hosts.
HEAD = """
<script>
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelectorAll("button.stop:not([disabled])").forEach((button) => button.click());
});
</script>
"""
