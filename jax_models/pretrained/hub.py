"""Trained networks by name: our own zoo, folders, repositories of the Hugging Face hub, published ImageNet weights."""

import textwrap
from pathlib import Path

from jax_models.checks import did_you_mean
from jax_models.data import DATASETS
from jax_models.errors import RunError, UsageError
from jax_models.pretrained import imagenet
from jax_models.pretrained.hub_files import check_network, hub_errors, hub_repository, library
from jax_models.pretrained.model import CARD, CONFIG, WEIGHTS, PretrainedModel, load
from jax_models.registry import IMAGENET

ZOO = Path(__file__).resolve().parent / "zoo"  # trained by this project, part of it


def from_pretrained(
    name: str | Path, *, revision: str | None = None, file: Path | str | None = None
) -> PretrainedModel:
    """A trained network, with its classes and its preprocessing.

    Args:
        name: one of `list_zoo()`, for example "cifar10/resnet18-quick"; "imagenet/" and one of
            `list_models(pretrained="imagenet")`; a folder that `save_pretrained` wrote; or OWNER/NAME on the hub.
        revision: of a repository on the hub: a branch, tag or commit (default: main).
        file: for "imagenet/...": a file of weights on this machine, .pth of PyTorch or .safetensors, that is read
            instead of the published one.

    Raises:
        UsageError: there is none of that name, a package is missing, or the weights are of another network.
        RunError: a file is damaged, or cannot be fetched; the message says which file to put where.
    """
    if str(name) and Path(name).is_dir():
        return load(Path(name))
    owner, _, rest = str(name).partition("/")
    if owner == IMAGENET:
        return imagenet.load(rest, file=Path(file) if file else None)
    if revision is not None and owner in DATASETS:
        raise UsageError(f"a revision is for repositories on the hub, not for {name}")
    if file is not None:
        raise UsageError(f"a file of weights is for imagenet/... only, not for {name}")
    if owner in DATASETS:
        if str(name) not in list_zoo():
            others = [one for one in list_zoo() if one.startswith(f"{owner}/")]
            hint = did_you_mean(str(name), others)
            raise UsageError(f"no {name!r} in the zoo{hint}; choose from: {' '.join(others)}")
        return load(ZOO / str(name))
    return _from_hub(str(name), revision=revision)


def list_zoo() -> tuple[str, ...]:
    """The trained networks that come with this package, by data set."""
    found = [folder.parent.relative_to(ZOO).as_posix() for folder in ZOO.glob(f"*/*/{CONFIG}")]
    order = tuple(DATASETS)
    return tuple(sorted(found, key=lambda name: (order.index(name.partition("/")[0]), name)))


def zoo_in_help() -> str:
    """Their names as lines for the end of a command's help."""
    return textwrap.fill(" ".join(list_zoo()), 78, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def push_to_hub(model: PretrainedModel, repo: str, *, token: str | None = None, private: bool = False) -> str:
    """Uploads weights, configuration and model card to a repository of the hub, made if it is not there.

    Args:
        repo: OWNER/NAME.
        token: of an account that may write there (default: that of `hf auth login` or $HF_TOKEN).

    Returns:
        the address of the commit.

    Raises:
        UsageError: the name is not OWNER/NAME, or huggingface_hub is not installed.
        RunError: the hub refuses or cannot be reached.
    """
    import tempfile

    hub = library()
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise UsageError(f"{repo!r} is no repository of the hub; it must be OWNER/NAME")
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        try:
            check_network()
            api = hub.HfApi(token=token)
            api.create_repo(repo, private=private, exist_ok=True)
            return str(api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Weights and model card"))
        except hub_errors() as error:
            raise RunError(f"cannot write {repo} on the hub: {_first_line(error)}") from error


def _from_hub(name: str, *, revision: str | None) -> PretrainedModel:
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UsageError(f"there is no folder {name}")
    if name.count("/") != 1 or not all(name.split("/")):
        kinds = "a folder, OWNER/NAME on the hub, imagenet/NAME, or one of the zoo"
        raise UsageError(f"no trained network {name!r}: it must be {kinds}: {' '.join(list_zoo())}")
    try:
        return load(hub_repository(name, revision=revision, names=[CONFIG, WEIGHTS, CARD]))
    except hub_errors() as error:
        raise RunError(f"cannot get {name} from the hub: {_first_line(error)}; or give its folder instead") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
