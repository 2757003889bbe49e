"""A folder of the user's own pictures as a data set: a sub-folder for each class."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from jax_models.data.catalog import DatasetSpec
from jax_models.data.dataset import Dataset
from jax_models.errors import UsageError

PREFIX = "folder:"
TEST_FRACTION = 0.2
TEST_SEED = 0
FEWEST = 10  # pictures of a class, so that each split has some
MOST_NAMED = 3  # files in an error
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
SHIFT = 8  # images may shift by their size divided by this

ToPixels = Callable[[Image.Image], np.ndarray]


def load_folder(
    folder: Path, *, to_pixels: ToPixels, read: Callable[[Path], Image.Image], mean: tuple, std: tuple
) -> Dataset:
    """The pictures of a folder; classes are its sub-folders in alphabetical order, pictures lie in them at any depth.

    A fifth of each class is the test split, and a tenth of the rest the validation split; which ones depends on nothing
    but the names and the number of the files.

    Args:
        to_pixels: from a picture to uint8 (h, w, c), of one size.
        read: opens a file, and raises a `UsageError` for one that is no picture.
        mean, std: per channel, by which a network normalises pixels.

    Raises:
        UsageError: there is no such folder, it has fewer than two classes, a class has fewer than ten pictures, or
            files cannot be read as pictures; the message names them.
    """
    files = _files(folder)
    counts = Counter(label for label, _ in files)
    classes = tuple(sorted(counts))
    images, broken = [], []
    for _, path in files:
        try:
            images.append(to_pixels(read(path)))
        except UsageError as error:
            broken.append(str(error))
    if broken:
        more = f"; and {len(broken) - MOST_NAMED} more" if len(broken) > MOST_NAMED else ""
        named = "; ".join(broken[:MOST_NAMED])
        raise UsageError(f"{len(broken)} of {len(files)} pictures cannot be used, repair or remove them: {named}{more}")
    labels = np.array([classes.index(label) for label, _ in files], np.int32)
    pixels, (train, test) = np.stack(images), _parted(labels)
    spec = DatasetSpec(
        name=f"{folder.resolve().name}-{_digest(pixels, labels)}",
        title=folder.resolve().name,
        version=_digest(pixels, labels),
        classes=classes,
        shape=pixels.shape[1:],
        sizes={"train": len(train), "test": len(test)},
        mean=mean,
        std=std,
        crop_padding=pixels.shape[1] // SHIFT,
        flip=pixels.shape[-1] == 3,  # photos keep their class in a mirror; signs in grey may not
        layout="pictures",
        files={},
        arrays={},
        package=None,
    )
    return Dataset(
        spec,
        source=str(folder),
        official_train=(pixels[train], labels[train]),
        open_test=lambda: (pixels[test], labels[test]),
    )


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Class and path of every picture, in one order on every machine."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; give {PREFIX}PATH, a folder with a sub-folder for each class")
    files = [
        (group.name, path)
        for group in sorted(folder.iterdir())
        if group.is_dir() and not group.name.startswith(".")
        for path in sorted(group.rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    counts = Counter(label for label, _ in files)
    if len(counts) < 2:
        found = f"one class, {next(iter(counts))}" if counts else "no class with pictures"
        raise UsageError(f"{folder} has {found}; there must be two sub-folders at least, one for each class")
    few = [f"{label} has {count}" for label, count in sorted(counts.items()) if count < FEWEST]
    if few:
        raise UsageError(f"each class of {folder} must have {FEWEST} pictures at least: {', '.join(few)}")
    return files


def _parted(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split  # takes half a second to import

    parts = train_test_split(np.arange(len(labels)), test_size=TEST_FRACTION, stratify=labels, random_state=TEST_SEED)
    return np.sort(parts[0]), np.sort(parts[1])


def _digest(pixels: np.ndarray, labels: np.ndarray) -> str:
    digest = hashlib.sha256(pixels.tobytes())
    digest.update(labels.tobytes())
    return digest.hexdigest()[:8]
