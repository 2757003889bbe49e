"""Staging the Space: what the folder holds, and what about it would keep it from running there."""

import shutil
import tomllib

import pytest

pytest.importorskip("gradio")

from packaging.requirements import Requirement

from jax_models.errors import UsageError
from space.publishing.import_graph import reachable
from space.publishing.staging import ROOT, problems, read_requirements, stage


@pytest.fixture
def staged(tmp_path):
    return stage(tmp_path / "space")


def test_the_staged_folder_passes_every_check(staged):
    assert problems(staged) == []


def test_the_staged_folder_holds_the_app_and_its_styles_and_no_tool_of_the_repository(staged):
    names = {path.relative_to(staged.folder).as_posix() for path in staged.files}
    assert {"README.md", "requirements.txt", "LICENSE", "space/app.py", "space/ui/styles/base.css"} <= names
    assert {"space/demo_models/__main__.py", "space/demo_models/base_models.py"} <= names
    assert not {name for name in names if name.startswith(("benchmarks/", "tests/")) or name == "space/deploy.py"}


def test_weights_and_their_cards_are_staged(tmp_path):
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "space", root / "space", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    for package in ("jax_models", "seq2seq"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    shutil.copy(ROOT / "LICENSE", root)
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
    imports = reachable(tmp_path, "space.app")
    assert set(imports.modules) == {
        "space", "space.app", "space.tasks", "space.tasks.lab", "jax_models", "jax_models.layers", "jax_models.data"
    }  # fmt: skip
    assert imports.packages == {"flax": "jax_models", "torch": "space.tasks.lab"}


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


def test_more_files_than_one_commit_holds_are_found(staged):
    for number in range(250):
        (staged.folder / f"{number}.txt").write_text("")
    (problem,) = problems(staged)
    assert problem.endswith("files; more than 250 do not go in one commit")
