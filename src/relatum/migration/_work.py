"""A migration that is under way: its plan, its store and shadow, its map, what was done."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import relatum
from relatum import _files, artifact
from relatum._gemm import unit_rows
from relatum._journal import LOCK, _Lock
from relatum._principal_axes import ENOUGH
from relatum._translated_index import anchors_among
from relatum.migration._items import all_ids, natives_of, opened, paired, sample_ids, some_rows
from relatum.migration._tempering import Tempering, fit_tempering
from relatum.migration.filling import write_native
from relatum.migration.native_vectors import NativeVectors
from relatum.migration.plan import read_plan, state_folder
from relatum.quality import PredictedQuality, predict_quality
from relatum.stores import Shadow, Store
from relatum.translation import Translation

INDEX = 20_000
"""Rows of the store, at most, that retention is told among."""
MAP, ANCHORS = "map.safetensors", "anchors.npz"
STATUS, VERIFIED = "status.json", "verified.json"
Report = Callable[[str, int | None], Callable[[int], object]]
"""Is told what is done, and of how many, and gives what is called with how many are done."""


@dataclass(frozen=True)
class Fitted:
    """The map of a plan, and what it was fitted on."""

    translation: Translation
    predicted: PredictedQuality
    anchors: list[str]
    X: np.ndarray
    Y: np.ndarray
    tempering: Tempering
    checksum: str


class Migration:
    """A plan, its store, its shadow, and the folder of what was done."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.plan = path, read_plan(path)
        self.folder = state_folder(path)
        self.folder.mkdir(exist_ok=True)
        self.store: Store = opened(self.plan.store)
        self.shadow: Shadow = self.store.shadow(self.plan.run.shadow)
        self.natives: NativeVectors = natives_of(path, self.plan.encoder)

    @property
    def status(self) -> dict[str, Any]:
        return read_json(self.folder / STATUS)

    def note(self, **about: Any) -> None:
        """Keep what was done."""
        write_json(self.folder / STATUS, self.status | about)

    def translate(self, fitted: Fitted) -> Callable[[np.ndarray], np.ndarray]:
        def apply(X: np.ndarray) -> np.ndarray:
            Y = np.asarray(fitted.translation.transform(X))
            known = anchors_among(X, fitted.X) >= 0
            return fitted.tempering.translated(
                unit_rows(Y) if self.plan.run.normalize else Y, known
            )

        return apply

    def fitted(self, report: Report) -> Fitted:
        """Return the map: that of an earlier run where its settings are the same."""
        about = self.status
        settings = json.loads(json.dumps(dataclasses.asdict(self.plan.map)))
        if about.get("map_settings") != settings:
            self._fit(settings, report)
        with _files.reading(self.folder / ANCHORS, "the anchors of an earlier run"):
            anchors = np.load(self.folder / ANCHORS, allow_pickle=False)
            ids, X, Y = anchors["ids"].tolist(), anchors["X"], anchors["Y"]
            tempering = Tempering(
                float(anchors["weight_native"]), float(anchors["weight_anchors"]),
                anchors["direction"],
            )  # fmt: skip
        manifest = artifact.read_manifest(self.folder / MAP)
        return Fitted(
            artifact.load(self.folder / MAP), PredictedQuality.from_dict(manifest["predicted"]),
            ids, X, Y, tempering, str(manifest["checksum"]),
        )  # fmt: skip

    def _fit(self, settings: Mapping[str, Any], report: Report) -> None:
        plan = self.plan
        ids = sample_ids(all_ids(self.store), plan.map.n_anchors, plan.map.seed)
        X, Y = paired(self.store, self.natives, ids, plan.store.text,
                      report("embedding anchors", len(ids)))  # fmt: skip
        report("fitting", None)
        index = some_rows(self.store, INDEX, plan.map.seed)
        found = Translation(plan.map.method, random_state=plan.map.seed)
        found.fit(X, Y, X_background=index[:ENOUGH])
        tempering = fit_tempering(found, X, Y, plan.map.seed)
        predicted = predict_quality(
            found, X, Y, index, translated="index", n_items=plan.gate.n_verified,
            anchor_weight=tempering.weight_anchors,
        ).to_dict()  # fmt: skip
        artifact.save(
            found, self.folder / MAP, predicted=predicted,
            encoder=plan.encoder.old_name or None,
            encoder_revision=plan.encoder.old_revision or None,
            target_encoder=plan.encoder.name, target_revision=plan.encoder.revision or None,
        )  # fmt: skip
        with _files.replacing(self.folder / ANCHORS) as temporary, temporary.open("wb") as file:
            np.savez(file, ids=np.asarray(ids), X=X, Y=Y, **tempering._asdict())
        self.note(map_settings=settings)

    def about(self, fitted: Fitted) -> dict[str, Any]:
        """Say what the vectors of the shadow are."""
        encoder, predicted = self.plan.encoder, fitted.predicted.to_dict()
        return {
            "encoder": encoder.name, "encoder_revision": encoder.revision,
            "translated_from": encoder.old_name, "translated_from_revision": encoder.old_revision,
            "of": self.store.url, "map": fitted.checksum, "method": fitted.translation.method_,
            "n_anchors": len(fitted.anchors),
            "native_weight": round(fitted.tempering.weight_native, 6),
            "anchor_weight": round(fitted.tempering.weight_anchors, 6),
            "normalized": self.plan.run.normalize,
            "predicted": {name: predicted[name] for name in ("recall_1", "recall_k", "overlap_k")},
            "relatum_version": relatum.__version__,
        }  # fmt: skip

    def check_shadow(self, fitted: Fitted) -> None:
        """Refuse a shadow that another map filled."""
        made_by = self.shadow.open().about().get("map")
        if made_by != fitted.checksum:
            raise ValueError(
                f"{self.shadow.name} was filled by another map ({made_by}); give run.shadow "
                "another name, or begin anew (--restart)"
            )


def silent(doing: str, total: int | None) -> Callable[[int], object]:
    return lambda done: None


@contextmanager
def opened_plan(path: str | os.PathLike[str]) -> Iterator[Migration]:
    """Open a migration; another process at the same one is refused."""
    found = Migration(path)
    lock = _Lock(found.folder / LOCK, found.folder)
    try:
        yield found
    finally:
        lock.release()


def run_before(work: Migration, report: Report) -> Fitted:
    if not work.shadow.exists() or not (work.folder / MAP).exists():
        raise ValueError(f"{work.path} was not run; expected relatum migrate run before")
    fitted = work.fitted(report)
    work.check_shadow(fitted)
    return fitted


def write_natives(work: Migration, fitted: Fitted, ids: list[str]) -> None:
    """Write the new encoder's own vectors of some items, where they are not there yet."""
    native = native_ids(work.shadow)
    missing = [i for i in ids if i not in native]
    if missing:
        Y = work.natives.kept(missing)
        Y = fitted.tempering.native(unit_rows(Y) if work.plan.run.normalize else Y)
        write_native(work.store, work.shadow, missing, Y)


def native_ids(shadow: Shadow) -> set[str]:
    """Return the ids of all rows that the new encoder made."""
    return {
        i for marks in shadow.marks() for i, own in zip(marks.ids, marks.native, strict=True) if own
    }


def read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    with _files.reading(path, "what an earlier run wrote"):
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a file that is whole or not there."""
    with _files.replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
