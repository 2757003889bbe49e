"""axe-core in a page: what it finds that keeps people out.

Its JavaScript is read out of the test dependency axe-playwright-python, which carries a recent one; nothing else of
that package is used.
"""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SEVERE = ("serious", "critical")
_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then((found) => done(found.violations), (why) => done(String(why)));
"""


@dataclass(frozen=True)
class Violation:
    """A rule of axe-core that a page breaks.

    Attributes:
        rule: its id.
        impact: how bad it is: minor, moderate, serious or critical.
        elements: the HTML of those that break it, the first three.
    """

    rule: str
    impact: str
    elements: tuple[str, ...]


def script() -> str:
    """axe-core's JavaScript; skips the test when the package is not installed, unless it is CI that runs it."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        missing = "axe-core is not installed: pip install -e '.[test]'"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def severe_violations(driver: Any) -> list[Violation]:
    """What axe-core calls serious or critical in the page that `driver` shows."""
    if not driver.execute_script("return typeof axe !== 'undefined'"):
        driver.execute_script(script())
    found = driver.execute_async_script(_RUN)
    assert isinstance(found, list), found
    return [
        Violation(each["id"], each["impact"], tuple(node["html"][:160] for node in each["nodes"][:3]))
        for each in found
        if each["impact"] in SEVERE
    ]
