"""Deploying the Space: what is staged, which mistakes are found, and what is sent."""

import contextlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request

import pytest

pytest.importorskip("gradio")

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from jax_models.errors import UsageError
from space import deploy, front_matter
from space.import_graph import reachable
from space.staging import MARKER, ROOT, problems, read_requirements, stage


@pytest.fixture
def staged(tmp_path):
    return stage(tmp_path / "space")


def front(**changes):
    fields = front_matter.read((ROOT / "space" / "README.md").read_text(encoding="utf-8"))
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


def front_problems(fields):
    return front_matter.problems(fields, folder=ROOT, gradio=SpecifierSet(">=6.31"))


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["deploy", *arguments])
    deploy.main()


# --- what is staged -----------------------------------------------------------------------------------------------


def test_the_staged_folder_passes_every_check(staged):
    assert problems(staged) == []


def test_the_staged_folder_holds_the_app_and_its_styles_and_no_tool_of_the_repository(staged):
    names = {path.relative_to(staged.folder).as_posix() for path in staged.files}
    assert {"README.md", "requirements.txt", "space/app.py", "space/styles/base.css"} <= names
    assert not {name for name in names if name.startswith(("benchmarks/", "tests/")) or name == "space/deploy.py"}


def test_weights_and_their_cards_are_staged(tmp_path):
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "space", root / "space", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    for package in ("jax_models", "seq2seq"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    weights = root / "space" / "weights" / "toy"
    weights.mkdir(parents=True)
    (weights / "model.safetensors").write_bytes(b"\x00" * 10)
    (weights / "README.md").write_text("a card")
    staged = stage(tmp_path / "out", root=root)
    assert {"model.safetensors", "README.md"} == {path.name for path in (staged.folder / "space/weights/toy").iterdir()}


def test_staging_again_leaves_nothing_of_the_former_time(staged):
    (staged.folder / "old.txt").write_text("old")
    again = stage(staged.folder)
    assert not (staged.folder / "old.txt").exists()
    assert again.files == stage(staged.folder).files


@pytest.mark.parametrize("make", ["file", "folder"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, make):
    target = tmp_path / "mine"
    kept = target if make == "file" else target / "thesis.txt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("years of work")
    with pytest.raises(UsageError, match="not staged here; name a folder that is empty or new"):
        stage(target)
    assert kept.read_text() == "years of work"


def test_files_are_followed_into_functions_and_training_packages_are_not_required(tmp_path):
    for name, text in {
        "space/__init__.py": "",
        "space/app.py": "import os\nfrom space.tasks import lab\n",
        "space/tasks/__init__.py": "",
        "space/tasks/lab.py": "def work():\n    import torch\n    from jax_models import layers\n",
        "jax_models/__init__.py": "import flax\n",
        "jax_models/layers.py": "def train():\n    import sklearn.metrics\n    import jax_models.data\n",
        "jax_models/data.py": "import tensorflow_datasets\n",
        "jax_models/unused.py": "import tabulate\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    imports = reachable(tmp_path, entry="space.app")
    assert set(imports.modules) == {
        "space", "space.app", "space.tasks", "space.tasks.lab", "jax_models", "jax_models.layers", "jax_models.data"
    }  # fmt: skip
    assert imports.packages == {"flax": "jax_models", "torch": "space.tasks.lab"}


# --- what is found ------------------------------------------------------------------------------------------------


def test_the_front_matter_of_the_space_is_right():
    assert front_problems(front()) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"title": None}, "title is missing"),
        ({"sdk": "streamlit"}, "sdk is 'streamlit'; this is a Gradio app: sdk: gradio"),
        ({"sdk_version": "6.30.0"}, "sdk_version is 6.30.0, but requirements.txt asks for gradio>=6.31"),
        ({"sdk_version": ">=6.31"}, "sdk_version is '>=6.31'; it must be one exact version such as 6.31.0"),
        ({"sdk_version": "6.31"}, "sdk_version is '6.31'; it must be one exact release such as 6.31.0"),
        ({"python_version": 3.12}, 'python_version is 3.12, which YAML reads as no text; write it in quotes'),
        ({"python_version": "3.10"}, "python_version is '3.10'; the app runs on 3.11 and 3.12"),
        ({"short_description": "x" * 61}, "short_description has 61 characters; Hugging Face shows at most 60"),
        ({"emoji": ":-)"}, "emoji is ':-)'; it must be one emoji"),
        ({"colorFrom": "orange"}, "colorFrom is 'orange'; it must be one of red, yellow"),
        ({"app_file": "app.py"}, "app_file is 'app.py', and no such file is staged"),
        ({"app_file": "../app.py"}, "app_file is '../app.py', and no such file is staged"),
        ({"license": "Apache 2.0"}, "license is 'Apache 2.0'; it must be an identifier such as apache-2.0"),
        ({"tags": "jax"}, "tags must be a list of texts"),
        ({"models": ["gpt2"]}, "models has 'gpt2'; it must be OWNER/NAME"),
        ({"models": ["distilbert/distilgpt2"]}, "models lacks Falconsai/text_summarization"),
        ({"preload_from_hub": ["openai/gpt2"]}, "has openai/gpt2, which the catalogue does not offer"),
        ({"colour": "red"}, "colour is no field that a Gradio Space knows"),
    ],
)  # fmt: skip
def test_each_mistake_in_the_front_matter_is_named(changes, problem):
    assert any(problem in line for line in front_problems(front(**changes)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [("# A title\n", "no front matter"), ("---\na: [\n---\n", "no YAML"), ("---\n- a\n---\n", "without fields")],
)
def test_a_readme_without_fields_is_refused(text, problem):
    with pytest.raises(ValueError, match=problem):
        front_matter.read(text)


def test_a_package_that_the_app_imports_must_be_required(staged):
    path = staged.folder / "requirements.txt"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("gradio")))
    assert any("imports gradio; add gradio with its floor" in line for line in problems(staged))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("-e .", "'-e .' is no plain requirement"),
        ("torch", "torch has no version; give it a floor"),
        ("mine @ https://example.com/mine.whl", "is an address; name a version of mine instead"),
    ],
)
def test_requirements_that_a_space_cannot_install_are_named(staged, line, problem):
    (staged.folder / "requirements.txt").write_text(f"{line}\n")
    assert any(problem in found for found in problems(staged))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("token = 'hf_" + "A1" * 17 + "'", "line 1 looks like a secret"),
        ("\nhttps://user:word" + "@example.com/simple", "line 2 looks like a secret"),
        ("open('/home/" + "ann/model')", "line 1 names a path of one machine"),
    ],
)
def test_secrets_and_paths_of_one_machine_are_found(staged, text, problem):
    (staged.folder / "space" / "notes.py").write_text(text)
    assert [f"space/notes.py {problem}" in line for line in problems(staged)] == [True]


def test_links_and_large_files_are_found(staged):
    (staged.folder / "link").symlink_to("README.md")
    with (staged.folder / "large.bin").open("wb") as file:
        file.truncate(101_000_000)
    assert [line.split(";")[0] for line in problems(staged)] == ["large.bin has 101 MB", "link is a symbolic link"]


def test_requirements_have_the_floors_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = [
        *project["dependencies"],
        *project["optional-dependencies"]["space"],
        *project["optional-dependencies"]["text"],
    ]
    floors = {Requirement(text).name.replace("_", "-"): str(Requirement(text).specifier) for text in ours}
    required = {name: str(versions) for name, versions in read_requirements(ROOT / "space").items()}
    assert {name: floors.get(name) for name in required} == required


# --- the command --------------------------------------------------------------------------------------------------


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


# --- the upload, against a server that speaks the hub's protocol ----------------------------------------------------


class Hub(http.server.BaseHTTPRequestHandler):
    """So much of the hub's interface as an upload uses; the server's `commits` are what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != "Bearer hf_right":
            return self._reply({"error": "Invalid username or password."}, status=401)
        if self.path.endswith("/preupload/main"):
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(sent)["files"]]
            return self._reply({"files": files})
        if self.path.endswith("/commit/main"):
            self.server.commits.append([json.loads(line) for line in sent.splitlines()])
            return self._reply({"success": True, "commitUrl": self._address("me/toy/commit/1"), "commitOid": "1"})
        self.server.made.append((self.path, json.loads(sent)))
        return self._reply({"url": self._address("spaces/me/toy")})

    def do_GET(self):
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


def upload(hub, *arguments, token):
    """The command in a process of its own, because huggingface_hub reads its settings when it is imported."""
    return subprocess.run(
        [sys.executable, "-m", "space.deploy", "me/toy", "--no-resolve", *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_TOKEN": token,
             "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def test_the_folder_is_sent_and_the_address_printed(hub):
    done = upload(hub, "--private", token="hf_right")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"http://127.0.0.1:{hub.server_port}/spaces/me/toy"
    made = dict(hub.made)["/api/repos/create"]
    assert (made["type"], made["sdk"], made["private"]) == ("space", "gradio", True)
    (commit,) = hub.commits
    sent = {line["value"]["path"] for line in commit if line["key"] == "file"}
    assert {"README.md", "requirements.txt", "space/app.py"} <= sent
    assert MARKER not in sent
    assert [line["value"]["path"] for line in commit if line["key"] == "deletedFile"] == ["space/old.py"]


def test_a_refusal_of_the_hub_is_one_line(hub):
    done = upload(hub, token="hf_wrong")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: Hugging Face refused: Invalid username or password."]
    assert hub.commits == []


# --- what is staged runs ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(folder, *, python=sys.executable):
    """The address of the app that the staged folder starts, far from the repository."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [python, "space/app.py"],
        cwd=folder,
        env={**kept, "GRADIO_SERVER_PORT": str(port), "SPACE_MODELS": "offline", "GRADIO_TEMP_DIR": f"{folder}/tmp"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _wait_for(address, process, *, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=5).close()
            return
        time.sleep(0.1)
    process.kill()
    pytest.fail(f"the app did not start:\n{process.communicate()[0]}")


def fetch(address):
    with urllib.request.urlopen(address, timeout=20) as reply:
        return reply.read().decode()


def test_the_staged_app_serves_its_pages_and_its_interface(staged):
    with serving(staged.folder) as address:
        assert "Classic architectures" in fetch(address)
        assert "Classic architectures" in fetch(f"{address}/next-word")
        assert "/next_word" in json.loads(fetch(f"{address}/gradio_api/info"))["named_endpoints"]
