"""The report in a real browser: on a desk, on a phone, in the dark, on paper, and read by a screen reader."""

import base64
import re

import pytest

pytest.importorskip("selenium")

from axe import severe_violations
from browser import chromium, console_errors, overflow
from report_rows import make_folder, make_rows
from selenium import webdriver

from benchmarks.report import summarise, write_report

DESK, PHONE = 1280, 390


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of two data sets' worth of runs with predictions."""
    out = tmp_path_factory.mktemp("report") / "out"
    rows = [row for row in make_rows(seeds=2) if row["dataset"] != "fashion_mnist"]
    write_report(summarise(make_folder(out, rows), out), out)
    return out / "report.html"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def show(driver: webdriver.Chrome, report, *, width: int, theme: str = "light") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    driver.get(report.as_uri())


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_it_fits_the_screen_and_only_tables_scroll(driver, report, width):
    show(driver, report, width=width)
    assert overflow(driver) <= 0
    assert console_errors(driver) == []
    small = driver.execute_script(
        "return [...document.querySelectorAll('td, th, p, li')].filter(e => e.innerText.trim() && "
        "parseFloat(getComputedStyle(e).fontSize) < 12).length"
    )
    assert small == 0, "text that is too small to read"


def test_every_entry_of_the_navigation_leads_to_a_heading_that_can_be_seen(driver, report):
    show(driver, report, width=DESK)
    links = driver.execute_script("return [...document.querySelectorAll('nav a')].map(a => a.hash)")
    assert len(links) >= 5
    for link in links:
        driver.execute_script(f"document.querySelector('nav a[href=\"{link}\"]').click()")
        tag, top = driver.execute_script(
            f"const e = document.querySelector('{link}'); document.documentElement.style.scrollBehavior = 'auto';"
            "e.scrollIntoView(); return [e.tagName, e.getBoundingClientRect().top]"
        )
        assert tag == "H2"
        assert -1 < top < 900


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_nothing_keeps_people_out(driver, report, width, theme):
    show(driver, report, width=width, theme=theme)
    assert severe_violations(driver) == []


def test_it_prints_on_pages_without_its_navigation(driver, report):
    show(driver, report, width=DESK)
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    pages = re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))
    assert 5 <= len(pages) <= 40
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert driver.execute_script("return getComputedStyle(document.querySelector('nav')).display") == "none"
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
