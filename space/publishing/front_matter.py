"""The front matter of a Space's README: what Hugging Face reads from it, and rules that it does not check for you.

The fields are those of the Spaces configuration reference (huggingface.co/docs/hub/spaces-config-reference).
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from space.models.catalog import GB, MODELS, TASKS

COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
PYTHONS = ("3.11", "3.12")
DESCRIPTION = 60  # characters of a short_description
REQUIRED = (
    "title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "short_description",
    "license", "tags", "models", "preload_from_hub",
)  # fmt: skip
OPTIONAL = (
    "suggested_hardware", "suggested_storage", "fullWidth", "header", "datasets", "thumbnail", "pinned",
    "startup_duration_timeout", "disable_embedding",
)  # fmt: skip
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")
_FENCE = re.compile(r"\A---\n(.*?\n)---\n", flags=re.DOTALL)


def read(text: str) -> dict[str, Any]:
    """The fields of a README's front matter.

    Raises:
        ValueError: there is none, or it is no YAML mapping.
    """
    found = _FENCE.match(text)
    if not found:
        raise ValueError("README.md has no front matter; it must begin with a line ---, fields, and a line ---")
    try:
        fields = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        raise ValueError(f"README.md has front matter that is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(fields, dict):
        raise ValueError("README.md has front matter without fields; write lines such as 'sdk: gradio'")
    return fields


def problems(fields: Mapping[str, Any], *, folder: Path, gradio: SpecifierSet) -> list[str]:
    """Every rule that the fields break, each as one line that says what is allowed.

    Args:
        folder: the Space's files, where `app_file` must lie.
        gradio: the versions of Gradio that the requirements allow.
    """
    found = [f"{name} is missing" for name in REQUIRED if name not in fields]
    allowed = (*REQUIRED, *OPTIONAL)
    found += [f"{name} is no field that a Gradio Space knows; known are {', '.join(allowed)}"
              for name in fields if name not in allowed]  # fmt: skip
    given = {name: fields[name] for name in REQUIRED if name in fields}
    for name, value in given.items():
        found += [f"{name} {problem}" for problem in _problems_of(name, value, folder=folder, gradio=gradio)]
    return found


def _problems_of(name: str, value: Any, *, folder: Path, gradio: SpecifierSet) -> Iterator[str]:
    if name in {"tags", "models", "preload_from_hub"}:
        yield from _problems_of_list(name, value)
    elif not isinstance(value, str):
        # YAML reads 3.10 as the number 3.1 and 6.0 as a number too.
        yield f'is {value!r}, which YAML reads as no text; write it in quotes, {name}: "..."'
    elif not value.strip():
        yield "is empty"
    elif name == "sdk" and value != "gradio":
        yield f"is {value!r}; this is a Gradio app: sdk: gradio"
    elif name == "sdk_version":
        yield from _problems_of_version(value, gradio)
    elif name == "python_version" and value not in PYTHONS:
        yield f"is {value!r}; the app runs on {' and '.join(PYTHONS)}, and without the field a Space takes 3.10"
    elif name == "short_description" and len(value) > DESCRIPTION:
        yield f"has {len(value)} characters; Hugging Face shows at most {DESCRIPTION}"
    elif name == "emoji" and not _is_emoji(value):
        yield f"is {value!r}; it must be one emoji"
    elif name in {"colorFrom", "colorTo"} and value not in COLORS:
        yield f"is {value!r}; it must be one of {', '.join(COLORS)}"
    elif name == "license" and not _LICENSE.fullmatch(value):
        yield f"is {value!r}; it must be an identifier such as apache-2.0"
    elif name == "app_file" and not _is_inside(folder, value):
        yield f"is {value!r}, and no such file is staged; name it from the folder's root, such as space/app.py"


def _problems_of_version(value: str, gradio: SpecifierSet) -> Iterator[str]:
    try:
        version = Version(value)
    except InvalidVersion:
        yield f"is {value!r}; it must be one exact version such as 6.31.0"
        return
    if version.is_prerelease or len(version.release) < 3:
        yield f"is {value!r}; it must be one exact release such as 6.31.0"
    elif version not in gradio:
        yield f"is {value}, but requirements.txt asks for gradio{gradio}"


def _problems_of_list(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list) or not value or not all(isinstance(entry, str) and entry.strip() for entry in value):
        yield "must be a list of texts, one a line after '- '"
        return
    if len(set(value)) < len(value):
        yield "names something twice"
    if name == "tags":
        return
    repos = [entry.split()[0] for entry in value]
    yield from (f"has {repo!r}; it must be OWNER/NAME" for repo in repos if not is_repo(repo))
    wanted = {repo: repo for repo in hub_models()} if name == "models" else preloaded_models()
    yield from (f"lacks {repo}, which the catalogue offers" for repo in wanted if repo not in repos)
    yield from (f"has {repo}, which the catalogue does not offer" for repo in repos if repo not in wanted)
    yield from (f"has {entry!r}; the model needs: {wanted[repo]}" for repo, entry in zip(repos, value, strict=True)
                if wanted.get(repo, entry) != entry)  # fmt: skip


def hub_models() -> tuple[str, ...]:
    """The hub's models that the app can use, in the order of the catalogue."""
    return tuple(spec.repo for spec in MODELS.values() if spec.repo)


def preloaded_models() -> dict[str, str]:
    """The default models of the tasks that are small enough to be part of the Space's image.

    Each repository has the entry that names all files without which the model does not count as being there.
    """
    defaults = {task.hub[0] for task in TASKS.values()}
    specs = [spec for spec in MODELS.values() if spec.repo and spec.key in defaults and spec.size < GB]
    needed = ("config.json", "model.safetensors", "tokenizer_config.json")
    return {str(spec.repo): f"{spec.repo} {','.join((*needed, *spec.tokenizer))}" for spec in specs}


def is_repo(name: str) -> bool:
    """Whether `name` has the form OWNER/NAME of a repository on the hub."""
    return bool(_REPO.fullmatch(name))


def _is_emoji(value: str) -> bool:
    symbols = [letter for letter in value if unicodedata.category(letter) == "So"]
    joiners = {"\ufe0f", "\u200d"}
    return bool(symbols) and all(letter in joiners or letter in symbols for letter in value) and len(value) <= 8


def _is_inside(folder: Path, name: str) -> bool:
    path = (folder / name).resolve()
    return path.is_file() and path.suffix == ".py" and folder.resolve() in path.parents
