"""Puts the app on Hugging Face Spaces, or into a folder to look at first: `python -m space.deploy --help`."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from jax_models.command_line import Parser
from jax_models.errors import RunError, UsageError, run_cli
from space.publishing import front_matter
from space.publishing.import_graph import OWN
from space.publishing.staging import MARKER, MB, Staged, problems, stage

HELP = """
Stages a folder that runs alone (the app, what it imports, its weights, README.md and requirements.txt), checks it as
Hugging Face would use it, and uploads it. Nothing is uploaded when a check fails.
"""
EXAMPLES = """
examples:
  python -m space.deploy --dry-run out/space       stage and check only; then: cd out/space && python space/app.py
  python -m space.deploy YOU/classic-architectures upload; needs a token that may write: hf auth login
"""
# glibc of a Space's image is 2.36: wheels for it and for every older one fit.
PLATFORMS = ("manylinux2014_x86_64", *(f"manylinux_2_{minor}_x86_64" for minor in range(5, 37)))


def main() -> None:
    """The command.

    Raises:
        UsageError: the options are wrong.
        RunError: a check or the upload failed.
    """
    options = _options()
    if options.dry_run:
        staged = stage(options.dry_run)
        _check(staged, resolve=options.resolve)
        print(f"staged in {staged.folder}; try it: cd {staged.folder} && python space/app.py")
        return
    token = _token()
    with tempfile.TemporaryDirectory() as folder:
        staged = stage(Path(folder) / "space")
        _check(staged, resolve=options.resolve)
        print(_upload(staged, options.space, token=token, private=options.private))


def _options() -> argparse.Namespace:
    parser = Parser(prog="python -m space.deploy", description=HELP, epilog=EXAMPLES)
    parser.add_argument("space", nargs="?", metavar="USER/SPACE", help="the Space to make or to update")
    parser.add_argument("--dry-run", type=Path, metavar="DIR", help="stage into DIR and check; upload nothing")
    parser.add_argument("--private", action="store_true", help="a new Space is seen by you only")
    parser.add_argument(
        "--no-resolve", dest="resolve", action="store_false", help="do not ask the package index whether all fits"
    )
    options = parser.parse_args()
    if bool(options.space) == bool(options.dry_run):
        raise UsageError("give either USER/SPACE or --dry-run DIR; see python -m space.deploy --help")
    if options.space and not front_matter.is_repo(options.space):
        raise UsageError(f"{options.space!r} is no Space; write USER/SPACE, for example you/classic-architectures")
    return options


def _check(staged: Staged, *, resolve: bool) -> None:
    found = problems(staged)
    for line in found:
        print(f"error: {line}", file=sys.stderr)
    if found:
        raise RunError(f"{len(found)} of the checks failed (above); nothing was uploaded")
    print(f"{len(staged.files)} files, {staged.size / MB:.1f} MB: front matter, requirements and contents are right")
    if resolve:
        print("asking the package index whether the requirements fit together (half a minute) ...", flush=True)
        print(f"requirements resolve as a Space installs them: {resolved(staged)} packages")
    else:
        print("not checked: whether the requirements fit together (--no-resolve)")


def resolved(staged: Staged) -> int:
    """Resolves the requirements as a Space's build does, for its Python and platform; returns how many packages come.

    Raises:
        RunError: they do not fit together, or the index does not answer.
    """
    fields = front_matter.read((staged.folder / "README.md").read_text(encoding="utf-8"))
    command = [
        sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check",
        "--ignore-installed", "--only-binary=:all:", "--implementation=cp",
        f"--python-version={fields['python_version']}",
        *(f"--platform={platform}" for platform in PLATFORMS),
        "--requirement", str(staged.folder / "requirements.txt"),
        # What a Space's image installs beside them.
        f"gradio[oauth,mcp]=={fields['sdk_version']}", "spaces",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            [*command, f"--target={folder}/site", f"--report={report}"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or ["pip failed"]
            raise RunError(f"the requirements do not resolve: {' '.join(errors)}; offline, skip this with --no-resolve")
        return report.read_text(encoding="utf-8").count('"metadata_version"')


def _token() -> str:
    from huggingface_hub import get_token

    token = get_token()
    if not token:
        raise UsageError("no Hugging Face token is here; run: hf auth login (with a token that may write)")
    return token


def _upload(staged: Staged, space: str, *, token: str, private: bool) -> str:
    """Makes the Space if it is not there, sends the folder, and returns the address."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # of httpx, or of httpx2 in newer releases

    api = HfApi(token=token)
    try:
        address = api.create_repo(space, repo_type="space", space_sdk="gradio", private=private or None, exist_ok=True)
        api.upload_folder(
            repo_id=space,
            repo_type="space",
            folder_path=staged.folder,
            ignore_patterns=[MARKER],
            delete_patterns=[f"{package}/*" for package in OWN],  # what a former version had and this one has not
            commit_message="Update the app",
        )
    except HfHubHTTPError as error:
        raise RunError(f"Hugging Face refused: {error.server_message or error}") from error
    except HTTPError as error:
        raise RunError(f"Hugging Face cannot be reached ({type(error).__name__}); try again later") from error
    return str(address)


if __name__ == "__main__":
    run_cli(main)
