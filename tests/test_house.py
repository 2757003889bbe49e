"""The rules of the house: what the README says first, what the core installs, which way imports point."""

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKE_TARGETS = re.findall(r"^([a-z-]+):.*  ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)

OPENING = ("make compare", "make test", "make space", "pip install -e .", "python -m benchmarks.compare")
FORBIDDEN_IMPORTS = {
    "jax_models": {"benchmarks", "seq2seq", "space", "tensorflow"},
    "benchmarks": {"seq2seq", "space", "tensorflow"},
    "seq2seq": {"benchmarks", "space", "tensorflow"},
    "space": {"benchmarks", "tensorflow", "tests"},
}
# The only files outside space/ that may import PyTorch: the weight converter and the side-by-side timings.
TORCH_FILES = {
    "jax_models/pretrained/from_torch.py",
    "benchmarks/speed/torch_peer.py",
    "benchmarks/speed/torch_side.py",
    "seq2seq/speed.py",
    "seq2seq/torch_peer.py",
}


def imported_modules(source: str) -> set[str]:
    """Absolute module names that `source` imports anywhere, also inside functions."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules.add(node.module)
    return modules


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that the file imports."""
    return {module.partition(".")[0] for module in imported_modules(path.read_text(encoding="utf-8"))}


def python_files(package: str) -> list[Path]:
    """The package's modules; none for a package that is not there."""
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("command", OPENING)
def test_readme_opens_with_the_commands(command):
    assert command in "\n".join(README.splitlines()[:60])


def test_readme_names_only_make_targets_that_exist():
    code = "\n".join(re.findall(r"```.*?```|`[^`]+`", README, flags=re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", code))
    assert {"compare", "test"} <= named <= set(MAKE_TARGETS)


def test_readme_links_only_to_files_that_exist():
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_readme_code_imports_names_that_exist():
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    nodes = [node for block in blocks for node in ast.parse(block).body if isinstance(node, ast.ImportFrom)]
    names = [(node.module or "", alias.name) for node in nodes for alias in node.names]
    assert names
    missing = [(module, name) for module, name in names if not _is_there(module, name)]
    assert missing == []


def _is_there(module: str, name: str) -> bool:
    """As a name in the module, or as a module in it that nobody has imported yet."""
    return hasattr(importlib.import_module(module), name) or importlib.util.find_spec(f"{module}.{name}") is not None


def test_core_dependencies_hold_no_other_framework():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^A-Za-z0-9._-]", dependency)[0].lower() for dependency in project["dependencies"]}
    assert "jax" in names
    assert not names & {"torch", "torchvision", "tensorflow", "tensorflow-cpu", "keras", "transformers", "gradio"}


@pytest.mark.parametrize("package", sorted(FORBIDDEN_IMPORTS))
def test_imports_point_one_way(package):
    files = python_files(package)
    assert files
    offenders = {str(path.relative_to(ROOT)): imported_packages(path) & FORBIDDEN_IMPORTS[package] for path in files}
    assert {path: packages for path, packages in offenders.items() if packages} == {}


def test_torch_is_imported_only_where_it_is_meant_to_be():
    files = [path for package in FORBIDDEN_IMPORTS if package != "space" for path in python_files(package)]
    importers = {path.relative_to(ROOT).as_posix() for path in files if "torch" in imported_packages(path)}
    assert importers <= TORCH_FILES


def test_the_command_lines_load_neither_torch_nor_tensorflow():
    code = (
        "import sys, jax_models, jax_models.data, jax_models.classification, benchmarks.compare\n"
        "print(sorted({'torch', 'tensorflow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_app_starts_without_any_framework():
    pytest.importorskip("gradio")
    code = (
        "import sys\n"
        "from space.app import build_app, make_space\n"
        "build_app(make_space())\n"
        "print(sorted({'torch', 'jax', 'flax', 'transformers', 'diffusers', 'tensorflow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
