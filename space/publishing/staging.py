"""The folder of the Space: the app, what it imports, its weights, its licence, and two files for Hugging Face."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from jax_models.errors import RunError, UsageError
from space.publishing import front_matter
from space.publishing.import_graph import reachable

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = ("space.app", "space.demo_models.__main__")  # the app runs the second to fetch its offline models
MARKER = ".staged-by-space-deploy"
AT_THE_ROOT = ("README.md", "requirements.txt")
PROVIDED = {"spaces", "starlette"}  # Hugging Face installs the first with Gradio, and Gradio needs the second
MB = 1_000_000
LARGEST_FILE = 100 * MB
LARGEST_SPACE = 1_000 * MB  # what a Space's repository may hold
MOST_FILES = 250  # that huggingface_hub sends in one commit; after the first of two a Space would build half an app

_SECRET = re.compile(
    r"hf_[A-Za-z0-9]{30,}|gh[oprsu]_[A-Za-z0-9]{30,}|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|://[^\s/:@'\"]+:[^\s/@'\"]+@"
)
_MACHINE_PATH = re.compile(r"(?<![\w.:/~}])/(?:home|Users|root|work|tmp|mnt)/\w|\b[A-Z]:\\Users\\")


@dataclass(frozen=True)
class Staged:
    """A folder that is ready to be checked or sent.

    Attributes:
        folder: where it is.
        packages: top-level names that its modules import, each with one module that does.
    """

    folder: Path
    packages: dict[str, str]

    @property
    def files(self) -> list[Path]:
        """Its files, the marker left out."""
        return sorted(path for path in self.folder.rglob("*") if not path.is_dir() and path.name != MARKER)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.lstat().st_size for path in self.files)


def stage(folder: Path, *, root: Path = ROOT) -> Staged:
    """Copies what the app needs into `folder`; one that this function made before is made anew.

    Raises:
        UsageError: the folder holds something else.
        RunError: it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARKER).is_file())):
        raise UsageError(f"{folder} holds something that was not staged here; name a folder that is empty or new")
    imports = reachable(root, *ENTRIES)
    zoo = [path for path in _data_files(root / "jax_models" / "pretrained") if path.name != "README.md"]  # model cards
    files = [*imports.modules.values(), *_data_files(root / "space"), *zoo]
    try:
        if folder.exists():
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text("python -m space.deploy --dry-run wrote this folder and may replace it\n")
        for source in files:
            target = folder / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target, follow_symlinks=False)
        for name in AT_THE_ROOT:
            shutil.copyfile(root / "space" / name, folder / name)
        shutil.copyfile(root / "LICENSE", folder / "LICENSE")
    except OSError as error:
        raise RunError(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
    return Staged(folder, imports.packages)


def _data_files(package: Path) -> Iterator[Path]:
    """Style sheets, weights and whatever else lies beside the code; hidden files and caches stay behind."""
    for path in sorted(package.rglob("*")):
        parts = path.relative_to(package).parts
        if any(part.startswith(".") or part == "__pycache__" for part in parts) or path.is_dir():
            continue
        if path.suffix not in {".py", ".pyc"} and not (len(parts) == 1 and path.name in AT_THE_ROOT):
            yield path


def problems(staged: Staged) -> list[str]:
    """Everything about a staged folder that would keep it from being a good Space, each as one line."""
    found = list(_problems_of_files(staged))
    try:
        requirements = read_requirements(staged.folder)
        fields = front_matter.read((staged.folder / "README.md").read_text(encoding="utf-8"))
    except ValueError as error:
        return [*found, str(error)]
    gradio = requirements.get("gradio", SpecifierSet())
    found += [f"README.md: {line}" for line in front_matter.problems(fields, folder=staged.folder, gradio=gradio)]
    return [*found, *_problems_of_requirements(staged, requirements)]


def read_requirements(folder: Path) -> dict[str, SpecifierSet]:
    """What `requirements.txt` asks for: allowed versions by normalised name.

    Raises:
        ValueError: a line is no plain requirement. Editable installs, paths and options do not work where only this
            file is there at the time of the installation.
    """
    found: dict[str, SpecifierSet] = {}
    for line in (folder / "requirements.txt").read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            raise ValueError(
                f"requirements.txt: {text!r} is no plain requirement; write lines such as gradio>=6.31"
            ) from None
        if requirement.url:
            raise ValueError(f"requirements.txt: {text!r} is an address; name a version of {requirement.name} instead")
        found[canonicalize_name(requirement.name)] = requirement.specifier
    return found


def _problems_of_requirements(staged: Staged, requirements: dict[str, SpecifierSet]) -> Iterator[str]:
    distributions = packages_distributions()
    for package, module in staged.packages.items():
        names = {canonicalize_name(name) for name in distributions.get(package, [package])}
        if package not in PROVIDED and not names & requirements.keys():
            yield f"requirements.txt: {module} imports {package}; add {' or '.join(sorted(names))} with its floor"
    for name, versions in requirements.items():
        if not versions:
            yield f"requirements.txt: {name} has no version; give it a floor, such as {name}>=1.2"


def _problems_of_files(staged: Staged) -> Iterator[str]:
    for path in staged.files:
        name = path.relative_to(staged.folder).as_posix()
        if path.is_symlink():
            yield f"{name} is a symbolic link; put the file itself there"
            continue
        size = path.stat().st_size
        if size > LARGEST_FILE:
            yield f"{name} has {size / MB:.0f} MB; a file may have {LARGEST_FILE // MB} MB"
        elif size < MB:
            yield from (f"{name} {problem}" for problem in _problems_of_text(path.read_bytes()))
    if staged.size > LARGEST_SPACE:
        yield f"the folder has {staged.size / MB:.0f} MB; a Space may have {LARGEST_SPACE // MB} MB"
    if len(staged.files) > MOST_FILES:
        yield f"the folder has {len(staged.files)} files; more than {MOST_FILES} do not go in one commit"


def _problems_of_text(data: bytes) -> Iterator[str]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return  # no text
    for number, line in enumerate(text.splitlines(), start=1):
        if _SECRET.search(line):
            yield f"line {number} looks like a secret; take it out and revoke it"
        if _MACHINE_PATH.search(line):
            yield f"line {number} names a path of one machine; make it relative"
