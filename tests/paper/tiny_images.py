"""scikit-learn's digits as MNIST, Fashion-MNIST (negatives) and CIFAR-10 (coloured) come."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

N_TRAIN, N_TEST = 600, 200


def write_images(folder: Path) -> None:
    """Write ``mnist``, ``fashion_mnist`` and ``cifar10_jpeg`` below ``folder``."""
    small, labels = load_digits(return_X_y=True)
    pixels = (small.reshape(-1, 8, 8) * 15).astype(np.uint8)
    grey = np.pad(np.kron(pixels, np.ones((1, 3, 3), np.uint8)), ((0, 0), (2, 2), (2, 2)))
    colour = np.kron(pixels, np.ones((1, 4, 4), np.uint8))[..., None]
    colour = (colour * np.array([1.0, 0.7, 0.4])).astype(np.uint8)
    for part, rows in {"train": slice(N_TRAIN), "test": slice(N_TRAIN, N_TRAIN + N_TEST)}.items():
        y = labels[rows].astype(np.uint8)
        _npz(folder / "mnist" / f"mnist_{part}.npz", x=grey[rows], y=y)
        _npz(folder / "fashion_mnist" / f"fashion_mnist_{part}.npz", x=255 - grey[rows], y=y)
        files = [_jpeg(image) for image in colour[rows]]
        _npz(
            folder / "cifar10_jpeg" / f"cifar10_{part}_jpeg.npz",
            jpeg=np.frombuffer(b"".join(files), np.uint8),
            offsets=np.cumsum([0, *map(len, files)]),
            y=y,
        )


def _npz(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def _jpeg(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()
