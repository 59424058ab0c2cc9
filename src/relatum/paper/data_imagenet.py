"""ImageNet1k: images of many sizes, too many to hold, decoded as they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from relatum.paper.cache import content_hash
from relatum.paper.data_images import VALIDATION_SHARE
from relatum.paper.hub import load_split
from relatum.paper.runner import Run

HUB = "ILSVRC/imagenet-1k"
N_CLASSES = 1000


@dataclass(frozen=True)
class Pictures:
    """Rows of a data set of the Datasets library, with the columns ``image`` and ``label``."""

    source: Any
    rows: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Pictures:
        """Return these rows."""
        return Pictures(self.source, self.rows[rows], self.labels[rows])

    def pixels_of(self, start: int, stop: int) -> list[np.ndarray]:
        """Decode some of them: uint8 arrays (height, width, 3), each of its own size."""
        images = (self.source[int(row)]["image"] for row in self.rows[start:stop])
        return [np.array(image.convert("RGB")) for image in images]

    def hash_of(self, start: int, stop: int) -> str:
        """Hash of the data set's fingerprint and the rows: the pixels are not decoded for it."""
        return content_hash([self.source._fingerprint, self.rows[start:stop]])


def load_imagenet(run: Run) -> tuple[Pictures, Pictures, Pictures]:
    """Return training, validation and test part; the test part is the published validation set.

    From ``FOLDER/hub/ILSVRC--imagenet-1k`` (``save_to_disk``) below the data folder, else
    from the hub, which gives it to those who have accepted its terms.
    """
    train = _pictures(load_split(run, HUB, "train"))
    rest = np.random.default_rng(0).permutation(len(train))
    held = max(1, round(VALIDATION_SHARE * len(train)))
    test = _pictures(load_split(run, HUB, "validation"))
    return train.take(np.sort(rest[held:])), train.take(np.sort(rest[:held])), test


def _pictures(source: Any) -> Pictures:
    labels = np.asarray(source["label"], dtype=np.int64)
    return Pictures(source, np.arange(len(labels)), labels)
