"""A headless Chromium that looks at pages of the app and reports what it saw."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

READY_SECONDS = 60.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
# Controls that can be seen and have no name for a screen reader.
_UNLABELLED = """
return [...document.querySelectorAll("input, textarea, select")].filter((each) =>
  each.type !== "hidden" && each.checkVisibility({visibilityProperty: true}) && !(each.labels || []).length
  && !each.getAttribute("aria-label") && !each.getAttribute("aria-labelledby") && !each.title
).map((each) => each.outerHTML.slice(0, 160));
"""


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """Debian's Chromium; skips the test where there is none, unless CI says that there must be."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        missing = "no Chromium: apt-get install chromium chromium-driver"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    browser.set_script_timeout(120)
    try:
        yield browser
    finally:
        browser.quit()


def look(browser: webdriver.Chrome, address: str, *, width: int, theme: str) -> None:
    """Opens a page of the app, as wide as said, light or dark, and waits until it is laid out."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get("about:blank")  # the former page ends its streams, and says so
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(f"{address}?__theme={theme}")
    wait(lambda: browser.find_elements(By.CSS_SELECTOR, ".page-header h1"))
    time.sleep(0.5)  # fonts and transitions


def press_run(browser: webdriver.Chrome) -> bool:
    """Presses the page's main button, if it has one, and waits for the end of the work."""
    buttons = [each for each in browser.find_elements(By.CSS_SELECTOR, "button.primary") if each.is_displayed()]
    if not buttons:
        return False
    before = _status(browser)
    browser.execute_script("arguments[0].click()", buttons[0])
    wait(lambda: _status(browser) != before or browser.find_elements(By.CSS_SELECTOR, ".toast-body"))
    wait(lambda: not browser.find_elements(By.CSS_SELECTOR, ".status .busy"))
    time.sleep(0.5)
    return True


def _status(browser: webdriver.Chrome) -> str:
    return str(browser.execute_script("return [...document.querySelectorAll('.status')].map(e => e.innerText).join()"))


def wait(condition: Any, *, seconds: float = READY_SECONDS) -> None:
    """Until the condition holds.

    Raises:
        AssertionError: it does not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the page did not come to what the test waits for"
        time.sleep(0.1)


def unlabelled(browser: webdriver.Chrome) -> list[str]:
    """Inputs without a label, as HTML."""
    return browser.execute_script(_UNLABELLED)


def overflow(browser: webdriver.Chrome) -> int:
    """By how many pixels the page is wider than the window."""
    return browser.execute_script("const page = document.documentElement; return page.scrollWidth - page.clientWidth")


def foreign_requests(browser: webdriver.Chrome, address: str) -> set[str]:
    """Addresses of other hosts that the page asked since it was opened."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    return {
        url for url in asked if urlsplit(url).scheme in {"http", "https", "ws", "wss"} and not url.startswith(address)
    }


def console_errors(browser: webdriver.Chrome) -> list[str]:
    """Errors that the page wrote to its console since it was opened."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
