"""The report in a real browser: on a desk, on a phone, in the dark, on paper, and read by a screen reader."""

import base64
import re

import numpy as np
import pytest

pytest.importorskip("selenium")

from axe import severe_violations
from browser import chromium, console_errors, overflow
from report_rows import make_folder, make_rows
from selenium import webdriver

from benchmarks.derived import add_derived, image_text
from benchmarks.probes import CORRUPTIONS
from benchmarks.report import summarise, write_report

DESK, PHONE = 1280, 390


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of runs on two data sets, with predictions and derived results."""
    out = tmp_path_factory.mktemp("report") / "out"
    rows = make_folder(out, [row for row in make_rows(seeds=2) if row["dataset"] != "fashion_mnist"])
    rows = [row | {"weights": {"path": "none", "sha256": row["cell"]}} for row in rows]
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 1)).astype(np.uint8)
    for row in rows:
        if row["seed"] == 0:
            levels = {name: [0.9, 0.8, 0.7, 0.6, 0.5] for name in CORRUPTIONS}
            groups = {corruption.group: 0.7 for corruption in CORRUPTIONS.values()}
            robust = {"mean_corruption_accuracy": 0.7, "relative_drop": 0.3, "group_accuracy": groups}
            clean = {"count": 1000, "clean_accuracy": 0.99}
            add_derived(out, "robustness", row, clean | robust | {"corruption_accuracy": levels})
            attacked = {"epsilons": [0.1, 0.3], "steps": 10, "fgsm": [0.5, 0.3], "pgd": [0.4, 0.0]}
            add_derived(out, "attacks", row, clean | attacked)
    (sweep,) = summarise(rows, out).sweeps
    for dataset in sweep.datasets:
        best = sweep.ranked(dataset)[0].rows[0]
        examples = sweep.hard_examples[dataset].examples[:8]
        assert examples or dataset == "mnist"
        sheet = image_text(np.full((20, 8 * 10 - 6, 3), 99, np.uint8))
        gallery = {"models": list(sweep.models), "labels": ["3", "9"], "sheet": sheet}
        add_derived(out, "saliency", best, gallery | {"networks": sweep.networks("saliency", dataset)})
        images = {str(example.index): image_text(pixels) for example in examples}
        add_derived(out, "examples", best, {"networks": sweep.networks("examples", dataset), "images": images})
    write_report(summarise(rows, out), out)
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


def test_what_probes_found_is_there(driver, report):
    show(driver, report, width=DESK)
    text = driver.execute_script("return document.body.innerText")
    for word in ("Robustness to corruptions", "Attacks", "What the networks look at", "every family gets wrong"):
        assert word in text


def test_no_table_is_cut_on_paper(driver, report):
    """A4 upright, less margins, at 96 pixels an inch."""
    size = {"width": round((210 - 28) / 25.4 * 96), "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(report.as_uri())
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    wide = driver.execute_script(
        "return [...document.querySelectorAll('table')].filter(t => t.scrollWidth > document.documentElement."
        "clientWidth).map(t => t.parentElement.getAttribute('aria-label') + ' ' + t.scrollWidth)"
    )
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert not wide, wide


def test_it_prints_on_pages_without_its_navigation(driver, report):
    show(driver, report, width=DESK)
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    pages = re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed["data"]))
    assert 5 <= len(pages) <= 40
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert driver.execute_script("return getComputedStyle(document.querySelector('nav')).display") == "none"
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
