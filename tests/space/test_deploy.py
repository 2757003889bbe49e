"""Deploying the Space: the command, what it sends to the hub, and that what it sends runs."""

import http.server
import json
import subprocess
import sys
import threading

import pytest

pytest.importorskip("gradio")

import requests
from huggingface_hub import constants
from live import serve

from jax_models.errors import RunError, UsageError
from space import deploy
from space.publishing.staging import MARKER, stage
from space.tasks import PAGES

CALLS = {
    "/next_word": ["The capital of France is", 1.0, 0, 1.0, 10, "auto"],
    "/answer": ["Who wrote the letter?", "Anna wrote the letter in Rome.", 3, "auto"],
    "/sentiment": ["A warm and funny film.", "auto"],
    "/text_to_image": ["a red dress", "", 2, 0.0, 1, 1, 0, "auto"],
    "/attention": ["3 1 4 1 5", "auto"],
}


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["deploy", *arguments])
    deploy.main()


def test_a_dry_run_says_what_it_made(monkeypatch, tmp_path, capsys):
    run(monkeypatch, "--dry-run", str(tmp_path / "out"), "--no-resolve")
    printed = capsys.readouterr().out
    assert "front matter, requirements and contents are right" in printed
    assert "not checked: whether the requirements fit together (--no-resolve)" in printed
    assert (tmp_path / "out" / "space" / "app.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "give either USER/SPACE or --dry-run DIR"),
        (("me/space", "--dry-run", "out"), "give either USER/SPACE or --dry-run DIR"),
        (("space",), "'space' is no Space; write USER/SPACE"),
    ],
)
def test_wrong_options_are_named(monkeypatch, arguments, problem):
    with pytest.raises(UsageError, match=problem):
        run(monkeypatch, *arguments)


def test_without_a_token_the_command_says_how_to_get_one(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UsageError, match="run: hf auth login"):
        run(monkeypatch, "me/space")


# --- the upload, against a server that speaks the hub's protocol ---


class Hub(http.server.BaseHTTPRequestHandler):
    """So much of the hub's interface as an upload uses; the server's `commits` are what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != "Bearer hf_right":
            return self._reply({"error": "Invalid username or password."}, status=401)
        if self.path.endswith("/preupload/main"):
            mode = {"uploadMode": "regular", "shouldIgnore": False}
            return self._reply({"files": [{"path": file["path"], **mode} for file in json.loads(sent)["files"]]})
        if self.path.endswith("/commit/main"):
            self.server.commits.append([json.loads(line) for line in sent.splitlines()])
            return self._reply({"success": True, "commitUrl": self._address("me/toy/commit/1"), "commitOid": "1"})
        self.server.made.append((self.path, json.loads(sent)))
        return self._reply({"url": self._address("spaces/me/toy")})

    def do_GET(self):
        if "/tree/" not in self.path:
            return self._reply({}, status=404)
        return self._reply([{"type": "file", "path": "space/old.py", "size": 1, "oid": "1"}])

    def _address(self, path):
        return f"http://127.0.0.1:{self.server.server_port}/{path}"

    def _reply(self, answer, *, status=200):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.commits, server.made = [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def upload(hub, monkeypatch, tmp_path):
    """Runs the command with that hub as the hub."""
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # What this hub answers must not become what other programs of the user remember of the real one.
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agent_harnesses.json"))

    def with_token(token, *arguments):
        monkeypatch.setenv("HF_TOKEN", token)
        run(monkeypatch, "me/toy", "--no-resolve", *arguments)

    return with_token


def test_the_folder_is_sent_and_the_address_printed(hub, upload, capsys):
    upload("hf_right", "--private")
    assert capsys.readouterr().out.splitlines()[-1] == f"http://127.0.0.1:{hub.server_port}/spaces/me/toy"
    made = dict(hub.made)["/api/repos/create"]
    assert (made["type"], made["sdk"]) == ("space", "gradio")
    assert made.get("private") or made.get("visibility") == "private"
    (commit,) = hub.commits
    sent = {line["value"]["path"] for line in commit if line["key"] == "file"}
    assert {"README.md", "requirements.txt", "space/app.py"} <= sent
    assert MARKER not in sent
    assert [line["value"]["path"] for line in commit if line["key"] == "deletedFile"] == ["space/old.py"]


def test_a_refusal_of_the_hub_is_one_line(hub, upload):
    with pytest.raises(RunError, match=r"^Hugging Face refused: Invalid username or password\.$"):
        upload("hf_wrong")
    assert hub.commits == []


def test_a_hub_that_is_away_is_one_line(monkeypatch, upload):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RunError, match=r"^Hugging Face cannot be reached"):
        upload("hf_right")


# --- what is staged runs ---


def test_the_staged_app_serves_its_pages_and_its_interface(tmp_path):
    folder = stage(tmp_path / "space").folder
    environment = {"SPACE_MODELS": "offline", "PYTHONPATH": ""}
    with serve(environment, tmp_path, command=(sys.executable, "space/app.py"), cwd=folder) as server:
        assert requests.get(f"{server.address}/next-word", timeout=20).ok
        assert "/next_word" in server.info()


def installed(folder):
    """The Python of a new environment that has what the staged folder requires, and nothing of this repository."""
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    for what in (["torch==2.13.0"], ["--requirement", str(folder / "space" / "requirements.txt")]):
        subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True)
    return python


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_staged_app_answers_in_an_environment_that_has_only_its_requirements(tiny_models, tmp_path):
    folder = stage(tmp_path / "space").folder
    environment = {"SPACE_MODELS": "hub", "PYTHONPATH": "", "HOME": str(tmp_path)}
    with serve(environment, tmp_path, command=(installed(tmp_path), "space/app.py"), cwd=folder) as server:
        for path in ("", *(page.path for page in PAGES)):
            assert requests.get(f"{server.address}/{path}", timeout=60).ok
        replies = {name: server.call(name, data, seconds=300) for name, data in CALLS.items()}
    assert {name: reply.event for name, reply in replies.items()} == dict.fromkeys(CALLS, "complete"), replies
    assert all(reply.data[0]["model"] for reply in replies.values())
