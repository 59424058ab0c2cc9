"""Labelled images with train, validation and test parts, from whichever layout is there.

A data set's folder may hold npz files, IDX files as MNIST is published, or CIFAR's
python or binary batches; the paper preset also asks the hub.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import relatum
from relatum import _files, _validation
from relatum.paper._image_files import Arrays, read_cifar, read_idx_folder, read_npz
from relatum.paper.hub import load_split
from relatum.paper.runner import MissingDataError, Run

VALIDATION_SHARE = 0.1
LAYOUTS = "npz files, IDX files or CIFAR batches"


@dataclass(frozen=True)
class Source:
    """Where a data set may lie: folders below the data folder, and its name on the hub."""

    folders: tuple[str, ...]
    hub: str | None
    classes: tuple[str, ...]
    label: str = "label"


_DIGITS = tuple("0123456789")
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_THINGS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
DATASETS = {
    "mnist": Source(("mnist",), "ylecun/mnist", _DIGITS),
    "fashion_mnist": Source(("fashion_mnist",), "zalando-datasets/fashion_mnist", _CLOTHES),
    "cifar10": Source(
        ("cifar10", "cifar-10-batches-py", "cifar-10-batches-bin"), "uoft-cs/cifar10", _THINGS
    ),
    "cifar10_jpeg": Source(("cifar10_jpeg",), None, _THINGS),
    "cifar100": Source(
        ("cifar100", "cifar-100-python", "cifar-100-binary"),
        "uoft-cs/cifar100",
        tuple(f"class {i}" for i in range(100)),
        "fine_label",
    ),
    "cifar100_coarse": Source(
        ("cifar100", "cifar-100-python", "cifar-100-binary"),
        "uoft-cs/cifar100",
        tuple(f"superclass {i}" for i in range(20)),
        "coarse_label",
    ),
}
"""``cifar10_jpeg`` is a re-compressed copy of CIFAR-10 with 20,000 training images."""


@dataclass(frozen=True)
class Images:
    """Pixels ``(n, height, width, channels)`` uint8 and labels ``(n,)`` int64."""

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Images:
        """Return these rows."""
        return Images(self.pixels[rows], self.labels[rows])

    def subset(self, n: int | None, seed: int) -> Images:
        """Return ``n`` images, evenly over the classes (all of them for None)."""
        return self if n is None else self.take(stratified(self.labels, n, seed))


@dataclass(frozen=True)
class ImageSplits:
    """The three parts of a data set; the test part is the published one."""

    name: str
    train: Images
    validation: Images
    test: Images
    classes: tuple[str, ...]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        height, width, channels = self.train.pixels.shape[1:]
        return channels, height, width


def load_images(run: Run, name: str) -> ImageSplits:
    """Load a data set; a tenth of its training images, the same in every run, validates.

    Parameters
    ----------
    run : Run
        Says where the data folder is, and whether the hub may be asked.
    name : str
        One of :data:`DATASETS`.

    Raises
    ------
    MissingDataError
        The data set is nowhere; the message says which folder to put where.
    FileFormatError
        Files that do not hold what their names say.
    """
    _validation.check_choice(name, "dataset", DATASETS)
    source = DATASETS[name]
    folder = _folder(run, source)
    if folder is not None:
        train, test = read_folder(folder, source.label)
    else:
        train, test = _from_hub(run, name, source)
    held = stratified(train[1], round(VALIDATION_SHARE * len(train[1])), seed=0)
    rest = np.setdiff1d(np.arange(len(train[1])), held)
    images = Images(*train)
    return ImageSplits(name, images.take(rest), images.take(held), Images(*test), source.classes)


def stratified(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return ``n`` row numbers, drawn evenly over the classes, in a random order.

    Where a class has too few rows the others give more.

    Raises
    ------
    ValueError
        More rows asked for than there are.
    """
    if not 0 < n <= len(labels):
        raise ValueError(f"n is {n}; expected 1 to {len(labels)}, the number of images")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    turn = np.empty(len(labels), dtype=np.int64)  # how many of its class come before a row
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        turn[rows] = np.arange(len(rows))
    drawn = order[np.argsort(turn[order], kind="stable")][:n]
    return rng.permutation(drawn)


def evenly(labels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return ``n`` row numbers, evenly over the classes; those of a smaller ``n`` come first."""
    rows = relatum.select_anchors(
        labels[:, None].astype(np.float32),
        n,
        method="stratified",
        labels=labels,
        random_state=seed,
    )
    return np.asarray(rows)


def read_folder(folder: Path, label: str = "label") -> tuple[Arrays, Arrays]:
    """Read training and test images of a folder, in whichever layout it has."""
    readers: list[Callable[[Path, str], tuple[Arrays, Arrays] | None]] = [
        read_npz,
        read_idx_folder,
        read_cifar,
    ]
    for read in readers:
        found = read(folder, label)
        if found is not None:
            return found
    names = ", ".join(sorted(p.name for p in folder.iterdir())[:5]) or "nothing"
    raise _files.FileFormatError(f"{folder} holds {names}; expected {LAYOUTS}")


def _folder(run: Run, source: Source) -> Path | None:
    """Return the first folder that is there."""
    if run.data_dir is None:
        return None
    found = (run.data_dir / name for name in source.folders)
    return next((path for path in found if path.is_dir()), None)


def _from_hub(run: Run, name: str, source: Source) -> tuple[Arrays, Arrays]:
    """Read a folder that ``save_to_disk`` wrote, else download, where the preset may."""
    where = f"{run.data_dir or 'FOLDER'}/{source.folders[0]} ({LAYOUTS})"
    flag = "" if run.data_dir else " and say --data-dir FOLDER"
    wanted = f"{run.experiment} needs {name}: put it into {where}{flag}"
    if source.hub is None:
        raise MissingDataError(wanted)
    try:
        train, test = (load_split(run, source.hub, part) for part in ("train", "test"))
    except MissingDataError as error:
        raise MissingDataError(f"{wanted}; or else, {error}") from error
    return _columns(train, source.label), _columns(test, source.label)


def _columns(part: object, label: str) -> Arrays:
    """Return pixels and labels of one part of a ``datasets`` data set."""
    names: list[str] = part.column_names  # type: ignore[attr-defined]
    column = "img" if "img" in names else "image"
    rows = part[column]  # type: ignore[index]
    pixels = np.stack([np.asarray(image, dtype=np.uint8) for image in rows])
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    labels = part[label if label in names else "label"]  # type: ignore[index]
    return pixels, np.asarray(labels, dtype=np.int64)


CHOICES = {"dataset": DATASETS}
"""What the parameter ``dataset`` of a task may be."""
