"""`load_dataset`: a data set by name, prepared on first use, verified on every use."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from jax_models.data.catalog import DatasetSpec, find_spec
from jax_models.data.formats import Arrays
from jax_models.data.preparation import FindSources, make_ready
from jax_models.data.progress import Reporter
from jax_models.data.sources import LocalFiles, OfficialHost, Source
from jax_models.data.store import Damaged, Store
from jax_models.errors import RunError, UsageError

VALIDATION_FRACTION = 0.1
VALIDATION_SEED = 0


@dataclass(frozen=True)
class Split:
    """Examples of one split.

    Attributes:
        images: pixels 0..255, as in TFDS (28x28x1 or 32x32x3); may be memory-mapped and read-only.
        labels: class indices.
    """

    images: UInt8[np.ndarray, "n h w c"]
    labels: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)


class Dataset:
    """A prepared data set. `train` and `validation` share out the official train split; `test` is the official one.

    Examples keep TFDS's order (shuffled once, the same on every machine and from every source). Validation is a
    stratified 10 % by scikit-learn with a fixed seed. Nothing of the test split is read before `test` is touched.

    Attributes:
        spec: names, classes, constants.
        source: where the data came from, in words.
    """

    def __init__(
        self, spec: DatasetSpec, *, source: str, official_train: Arrays, open_test: Callable[[], Arrays]
    ) -> None:
        self.spec = spec
        self.source = source
        self._official_train = official_train
        self._open_test = open_test

    @property
    def hashes(self) -> dict[str, str]:
        """sha256 of the official files (decompressed) that the data was verified against."""
        return dict(self.spec.files)

    @cached_property
    def train(self) -> Split:
        """The 90 % to train on."""
        return self._part(0)

    @cached_property
    def validation(self) -> Split:
        """The 10 % to choose by."""
        return self._part(1)

    @property
    def official_train(self) -> Split:
        """Train and validation together, for recipes whose choices are made."""
        return Split(*self._official_train)

    @cached_property
    def test(self) -> Split:
        """The official test split: open it once, at the end."""
        return Split(*self._open_test())

    @cached_property
    def _indices(self) -> tuple[np.ndarray, np.ndarray]:
        from sklearn.model_selection import train_test_split  # takes half a second to import

        labels = self._official_train[1]
        train, validation = train_test_split(
            np.arange(len(labels)), test_size=VALIDATION_FRACTION, stratify=labels, random_state=VALIDATION_SEED
        )
        return np.sort(train), np.sort(validation)

    def _part(self, which: int) -> Split:
        images, labels = self._official_train
        return Split(images[self._indices[which]], labels[self._indices[which]])


def load_dataset(
    name: str,
    *,
    data_dir: str | Path | None = None,
    files: str | Path | None = None,
    offline: bool = False,
    progress: bool = True,
) -> Dataset:
    """The data set of this name; found, checked and prepared if it is not ready yet.

    Looked for in this order: prepared data in the data directory; files the user already has (in `files`, in
    `DATA_DIR/downloads/manual` and other usual folders); the official hosts; a package of a public registry.

    Args:
        name: `mnist`, `fashion_mnist` or `cifar10`.
        data_dir: TFDS's data directory; by default `TFDS_DATA_DIR`, or `~/tensorflow_datasets`.
        files: a folder with the official files in any usual form (`*.gz`, `*.tar.gz`, unpacked, Keras, torchvision).
        offline: ask neither hosts nor registries.
        progress: show progress bars on standard error. Notes of damaged files are always shown.

    Raises:
        UsageError: unknown name, or a folder that cannot be used.
        RunError: no source has the data; the message lists what was tried and the ways out.
    """
    store = Store(find_spec(name), find_data_dir(data_dir))
    sources = partial(find_sources, store, files=check_folder(files), offline=offline)
    return open_dataset(store, Reporter(bars=progress), sources)


def open_dataset(store: Store, reporter: Reporter, sources: FindSources, *, thorough: bool = False) -> Dataset:
    """Makes the store ready, from the sources if need be, and opens it with its train split verified.

    `thorough` reads every byte of it first. A read-only store without a cache of arrays is decoded into memory instead.
    """
    if store.read_only and store.manifest is None:
        reporter.note(f"{store.folder} is read-only: its records are decoded anew on each load, which takes seconds")
        read = partial(_decode, store)
        source = "prepared by TFDS before"
    else:
        make_ready(store, reporter, sources, thorough=thorough)
        read = partial(_read, store, reporter, sources)
        source = (store.manifest or {}).get("source", "unknown")
    return Dataset(store.spec, source=source, official_train=read("train"), open_test=partial(read, "test"))


def _read(store: Store, reporter: Reporter, sources: FindSources, split: str) -> Arrays:
    try:
        return store.read(split)
    except Damaged:
        make_ready(store, reporter, sources, thorough=True)
        return store.read(split)


def _decode(store: Store, split: str) -> Arrays:
    try:
        return store.decode(split)
    except Damaged as damage:
        raise RunError(f"{damage}, and the folder is read-only; name another with --data-dir") from damage


def find_data_dir(data_dir: str | Path | None) -> Path:
    """The data directory asked for, else `TFDS_DATA_DIR`, else TFDS's default; not created."""
    folder = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or Path("~", "tensorflow_datasets")).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"the data directory {folder} is a file; name a folder with --data-dir")
    return folder


def check_folder(files: str | Path | None) -> Path | None:
    """The folder of the user's own files, which must exist if it is named."""
    if files is None:
        return None
    folder = Path(files).expanduser()
    if not folder.is_dir():
        raise UsageError(f"--files {folder} is not a folder; name the folder that holds the downloaded files")
    return folder


def find_sources(store: Store, *, files: Path | None, offline: bool) -> list[Source]:
    """The sources of a data set, in the order in which they are asked."""
    from jax_models.data.packages import RegistryPackage
    from jax_models.data.tfds_builders import official_urls  # TFDS takes half a second to import

    folders = [store.data_dir / "downloads", Path("~", ".keras", "datasets").expanduser(), Path.cwd() / "data"]
    sources: list[Source] = [LocalFiles(folder) for folder in ([files] if files else []) + folders]
    if not offline and store.spec.package:
        sources += [OfficialHost(official_urls(store.spec)), RegistryPackage(store.spec.package)]
    return sources
