"""The app: its pages and how it is served. `python -m space.app` starts it, and a Hugging Face Space runs this file."""

import argparse
import logging
import os
import sys
from pathlib import Path

if not __package__:  # a Space runs the file, not the module
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin slow two requests side by side tenfold
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")  # a download by plain HTTP can be stopped

if not os.environ.get("SPACE_ID"):
    os.environ.setdefault("FORWARDED_ALLOW_IPS", "")  # uvicorn believes whoever says on this machine that it forwards

import gradio as gr
from starlette.middleware import Middleware

from space.door import Door
from space.gpu import preload
from space.limits import RateLimit
from space.models.choosing import Choice, Chooser, mode_from_environment
from space.models.store import Loaded, ModelStore
from space.serving import LANES, GuardedBlocks, Space
from space.tasks import PAGES
from space.ui.home import build_home
from space.ui.theme import HEAD, STYLES, theme

TITLE = "Classic architectures"
QUEUE = 64  # requests that may wait; more are told to come back later
UPLOAD = "5mb"
MODEL_BYTES = 3_000_000_000
REQUESTS_PER_MINUTE = 60
SETTINGS = """
settings in the environment:
  SPACE_MODELS               auto (default), hub or offline: which models answer
  SPACE_MODELS_DIR           where the offline models lie; python -m space.demo_models gets them
  SPACE_MODEL_BYTES          most bytes of weights in memory (default 3000000000)
  SPACE_REQUESTS_PER_MINUTE  that compute, of one client (default 60), and ten times as many small ones; 0 for no limit
  SPACE_CHECKPOINTS          folders where the labs look for trained networks, instead of out and those of the app
  SPACE_MCP                  1 does the same as --mcp
  FORWARDED_ALLOW_IPS        addresses of proxies that are believed when they say whom they speak for (default: none)
"""


def build_app(space: Space) -> gr.Blocks:
    """All pages and endpoints. No model is loaded and PyTorch is not imported."""
    with GuardedBlocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as app:
        gr.Navbar(main_page_name="Home")
        build_home(TITLE, PAGES)
    for page in PAGES:
        with app.route(page.title, page.path):
            page.build(space)
    return app.queue(max_size=QUEUE, default_concurrency_limit=LANES)


def make_space() -> Space:
    """The app's parts, as the environment sets them: `SPACE_MODELS`, `SPACE_MODEL_BYTES`, `SPACE_REQUESTS_PER_MINUTE`.

    Raises:
        ValueError: a variable holds something else than it may.
    """
    from space.models.fetching import fetch
    from space.models.hub import cached_folder

    store = ModelStore(
        chooser=Chooser(mode_from_environment(), cached=cached_folder),
        load=_load,
        budget=_whole("SPACE_MODEL_BYTES", MODEL_BYTES),
        fetch=fetch,
    )
    return Space(store, RateLimit(_whole("SPACE_REQUESTS_PER_MINUTE", REQUESTS_PER_MINUTE)))


def _load(choice: Choice) -> Loaded:
    from space.models.loading import load  # imports PyTorch, which takes seconds

    return load(choice)


def _whole(variable: str, default: int) -> int:
    value = os.environ.get(variable, "").strip() or str(default)
    if not value.isdecimal():
        raise ValueError(f"{variable} is {value!r}; it must be a whole number, 0 or more")
    return int(value)


def main() -> None:
    """Serves the app until it is interrupted."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        space = make_space()
    except ValueError as error:
        sys.exit(f"error: {error}")
    app = build_app(space)
    preload(space.store)
    try:
        _serve(app, space, options)
    except OSError as error:
        if error.errno is not None:
            sys.exit(f"error: {error}")
        # Gradio says so, in its own words and without a number, when it found no address to serve on.
        sys.exit(
            "error: the port is taken or may not be used, or --host is no address of this machine; "
            "name another, for example --port 7870"
        )


def _serve(app: gr.Blocks, space: Space, options: argparse.Namespace) -> None:
    app.launch(
        app_kwargs={"middleware": [Middleware(Door, requests=space.rate)]},
        theme=theme(),
        css_paths=STYLES,
        head=HEAD,
        allowed_paths=[],
        max_file_size=UPLOAD,
        show_error=False,
        ssr_mode=False,
        footer_links=["api"],
        run_history=False,
        server_name=options.host,
        server_port=options.port,
        inbrowser=options.open,
        mcp_server=options.mcp or os.environ.get("SPACE_MCP") == "1",
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m space.app",
        description="Serves the app.",
        epilog=SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument("--port", type=int, help="default: the first that is free from 7860 on")
    parser.add_argument("--host", help="default: 127.0.0.1, this machine only; 0.0.0.0 for all")
    parser.add_argument("--mcp", action="store_true", help="offer the endpoints as MCP tools too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
