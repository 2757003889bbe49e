"""Every page in a real browser: axe-core finds nothing serious, nothing scrolls sideways, no other host is asked."""

import pytest

pytest.importorskip("gradio")
pytest.importorskip("selenium")

from axe import severe_violations
from browser import chromium, console_errors, foreign_requests, look, overflow, press_run, unlabelled
from live import serve

from space.tasks import PAGES

PATHS = ("", *(page.path for page in PAGES))
FEW = ("", "next-word", "chat")
LOOKS = [(width, theme) for width in (1280, 390) for theme in ("light", "dark")]


@pytest.fixture(scope="module")
def address(tiny_models, tmp_path_factory):
    with serve({"SPACE_MODELS": "hub"}, tmp_path_factory.mktemp("app")) as server:
        yield server.address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def faults(browser, address):
    """What is wrong with the page that is open, by kind; empty if nothing is."""
    found = {
        "axe": severe_violations(browser),
        "without a label": unlabelled(browser),
        "pixels too wide": overflow(browser),
        "other hosts": foreign_requests(browser, address),
        "console": console_errors(browser),
    }
    return {kind: what for kind, what in found.items() if what}


@pytest.mark.parametrize("path", FEW)
def test_a_page_has_no_faults_in_light_and_wide_or_in_dark_and_narrow(browser, address, path):
    for width, theme in ((1280, "light"), (390, "dark")):
        look(browser, f"{address}/{path}", width=width, theme=theme)
        assert faults(browser, address) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("width", "theme"), LOOKS)
@pytest.mark.parametrize("path", PATHS)
def test_every_page_has_no_faults_before_and_after_it_was_used(browser, address, path, width, theme):
    look(browser, f"{address}/{path}", width=width, theme=theme)
    assert faults(browser, address) == {}
    if press_run(browser):
        assert faults(browser, address) == {}


def test_the_theme_of_the_address_is_the_theme_of_the_page(browser, address):
    for theme in ("light", "dark"):
        look(browser, address, width=1280, theme=theme)
        assert browser.execute_script("return document.body.classList.contains('dark')") is (theme == "dark")
