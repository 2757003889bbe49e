"""The command `python -m space.app`: its help, and what it says when it cannot start."""

import argparse
import os
import re
import socket
import sys

import pytest

pytest.importorskip("gradio")

from live import ROOT

from space import app


def run(monkeypatch, *arguments: str) -> None:
    """The command, in this process."""
    monkeypatch.setattr(sys, "argv", ["app", *arguments])
    app.main()


def test_help_and_the_readme_name_every_variable_that_the_app_reads():
    sources = [
        *(ROOT / "space").glob("*.py"),
        *(ROOT / "space" / "models").glob("*.py"),
        ROOT / "space/labs/checkpoints.py",
    ]
    read = set(re.findall(r'"(SPACE_[A-Z_]+)"', "".join(path.read_text() for path in sources))) - {"SPACE_ID"}
    assert {"SPACE_CHECKPOINTS", "SPACE_MCP", "SPACE_MODELS_DIR"} <= read
    page = (ROOT / "space" / "README.md").read_text(encoding="utf-8")
    assert {name for name in read if name not in app.SETTINGS} == set()
    assert {name for name in read if f"`{name}`" not in page} == set()


def test_a_taken_port_is_said_in_one_line(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit, match=r"^error: the port is taken or may not be used, or --host .*--port 7870$"):
            run(monkeypatch, "--port", str(taken.getsockname()[1]))


def test_other_failures_of_the_system_are_said_to_be_what_they_are(monkeypatch, tmp_path):
    options = argparse.Namespace(port=None, host=None, open=False, mcp=False)
    monkeypatch.setattr(app, "_options", lambda: options)
    monkeypatch.setattr(app, "STYLES", [tmp_path / "gone.css"])
    with pytest.raises(SystemExit, match=r"^error: \[Errno 2\] No such file"):
        app.main()


def test_on_a_users_own_machine_nobody_is_believed_to_forward():
    assert os.environ["FORWARDED_ALLOW_IPS"] == ""
