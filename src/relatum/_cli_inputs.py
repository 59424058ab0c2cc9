"""What the commands read: embeddings, labels and anchors, brought into one order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from relatum import _files, _validation, artifact, vectors
from relatum._formats import STANDARD, is_npy, load_npy
from relatum._sources import Source
from relatum.anchors import pair_anchors
from relatum.projection import Projection, fit_projection
from relatum.vectors import Embeddings


@dataclass(frozen=True)
class Columns:
    """Names of columns (or arrays) that hold for every file that has names."""

    column: str | None = None
    id_column: str | None = None

    def check(self, *paths: str | None) -> None:
        """Refuse names that no file can have, and standard input for two files."""
        given = [p for p in paths if p is not None]
        if (self.column or self.id_column) and all(is_npy(p) for p in given):
            raise ValueError(
                "--column and --id-column name a column of .parquet, .npz or .safetensors; "
                f"{', '.join(given)} has none"
            )
        if given.count(STANDARD) > 1:
            raise ValueError("- (standard input) can be one file only")

    def read(self, path: str) -> Embeddings:
        if is_npy(path):
            return vectors.read_embeddings(path)
        return vectors.read_embeddings(path, column=self.column, id_column=self.id_column)

    def open(self, path: str) -> Source:
        if is_npy(path):
            return vectors.open_embeddings(path)
        return vectors.open_embeddings(path, column=self.column, id_column=self.id_column)

    def read_anchors(self, path: str, source: Embeddings | Source, name: str) -> Embeddings:
        return vectors.read_anchors(
            path, source, column=self.column, id_column=self.id_column, name=name
        )


def check_output(
    output: str,
    as_json: bool,
    *,
    inputs: Sequence[str | None] = (),
    only_npy: bool = False,
    folders: bool = False,
    saved: str | None = None,
) -> None:
    """Refuse names that cannot be written, or that are an input, before any work is done."""
    for target in (output, saved):
        for name in inputs:
            if target and name and STANDARD not in (target, name) and _same_file(target, name):
                raise ValueError(f"{target} is both input and output; write to another file")
    if output == STANDARD and as_json:
        raise ValueError("--json and --output - both take standard output; write to a file")
    suffix = vectors.check_output(output, folders=folders)
    if suffix not in (".npy", STANDARD) and only_npy:
        raise ValueError(f"--output is {output}; expected .npy, or - for standard output")
    if output != STANDARD and suffix and suffix != ".lance":
        _files.check_target(output)
    if saved is not None:
        artifact.check_target(saved)


def _same_file(a: str, b: str) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def check_html(path: str | None) -> None:
    if path is not None:
        _files.check_target(path)
        _validation.require("jinja2", "plot", "--html")


def paired_rows(
    ids_a: np.ndarray | None, n_a: int, name_a: str, ids_b: np.ndarray | None, n_b: int, name_b: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of two files that are the same item: by id, else by place."""
    if ids_a is None or ids_b is None:
        if n_a != n_b:
            raise ValueError(
                f"{name_a} has {n_a} rows, {name_b} has {n_b}; expected the same number (row i of "
                "both is the same item), or ids in both"
            )
        return np.arange(n_a), np.arange(n_b)
    if ids_a.dtype.kind != ids_b.dtype.kind:  # 17 in one file is "17" in the other
        ids_a, ids_b = ids_a.astype(str), ids_b.astype(str)
    try:
        return pair_anchors(ids_a, ids_b)
    except ValueError as error:
        raise ValueError(f"{name_a} (x) and {name_b} (y): {error}") from None


def pair(a: Embeddings, name_a: str, b: Embeddings, name_b: str) -> tuple[Embeddings, Embeddings]:
    """Bring two files into the order of the first; items in only one are left out."""
    rows_a, rows_b = paired_rows(a.ids, len(a.array), name_a, b.ids, len(b.array), name_b)
    return _take(a, rows_a), _take(b, rows_b)


def _take(e: Embeddings, rows: np.ndarray) -> Embeddings:
    if np.array_equal(rows, np.arange(len(e.array))):
        return e  # as it is, on the disk where it is mapped
    return Embeddings(e.array[rows], None if e.ids is None else e.ids[rows])


def fitted_projection(
    columns: Columns, path: str, source: Source, anchors: str | None, to_save: bool,
    **settings: Any,
) -> tuple[Projection, Any]:  # fmt: skip
    """Fit the projection of ``relatum project``, with an estimator where it will be saved."""
    if anchors is None:
        raise ValueError("project takes --anchors (row numbers or embeddings) or --map")
    chosen = columns.read_anchors(anchors, source, path)
    if not to_save:  # without scikit-learn, whose import takes longer than most projections
        return fit_projection(chosen.array, anchor_ids=chosen.ids, **settings), None
    from relatum.estimators import RelativeProjection

    estimator = RelativeProjection(**settings).fit(chosen.array, ids=chosen.ids)
    return estimator.projection_, estimator


def load_projection(path: str) -> tuple[Projection, Any]:
    from relatum.estimators import RelativeProjection

    fitted = artifact.load(path)
    if not isinstance(fitted, RelativeProjection):
        raise TypeError(
            f"{path} holds a {type(fitted).__name__}; expected a relative projection, as "
            "relatum project --save writes"
        )
    return fitted.projection_, fitted


TOLD = ("method", "n_anchors", "n_features_in", "n_features_out")
"""What ``info`` says of an object's state, where it has it."""


def describe(path: str, columns: Columns) -> dict[str, Any]:
    """Say what a file holds: a saved object, row numbers or labels, or embeddings."""
    if path.lower().endswith(artifact.SUFFIX) and artifact.is_artifact(path):
        manifest = artifact.read_manifest(path, verify=True)
        known = {name: manifest["state"][name] for name in TOLD if name in manifest["state"]}
        if "encoders" in manifest["state"]:  # of a hub
            known["encoders"] = manifest["state"].get("names")
        return {"file": path, "holds": "a fitted object", **known, **manifest}
    columns.check(path)
    if is_npy(path) and path != STANDARD:
        values = load_npy(path)
        if values.ndim == 1:
            found = {"holds": "one dimension (row numbers or labels)", "n_rows": len(values)}
            return {"file": path, **found, "dtype": str(values.dtype)}
    source = columns.open(path)
    found = {"file": path, "holds": "embeddings", "n_rows": source.n_rows}
    found |= {"n_features": source.n_features, "dtype": str(source.dtype), "ids": "none"}
    ends = source.ids_of(np.array([0, source.n_rows - 1]))
    if ends is not None:
        found |= {"ids": "strings" if ends.dtype.kind == "U" else "integers"}
        found |= {"first_id": ends[0].item(), "last_id": ends[1].item()}
    others = [name for name in source.other_columns if name != source.id_column]
    return found | ({"other_columns": others} if others else {})


@dataclass(frozen=True)
class StitchInputs:
    """What ``relatum stitch`` trains and scores on."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    anchors_train: np.ndarray
    anchors_test: np.ndarray
    native_x: np.ndarray | None


def stitch_inputs(
    train: tuple[str, str],
    test: tuple[str, str],
    anchors: tuple[str, str],
    native: str | None,
    columns: Columns,
    label_column: str | None,
) -> StitchInputs:
    columns.check(train[0], test[0], *anchors, native)
    train_x, test_x = columns.read(train[0]), columns.read(test[0])
    left = columns.read_anchors(anchors[0], train_x, train[0])
    right = columns.read_anchors(anchors[1], test_x, test[0])
    left, right = pair(left, anchors[0], right, anchors[1])
    return StitchInputs(
        train_x.array,
        read_labels_of(train, len(train_x.array), label_column),
        test_x.array,
        read_labels_of(test, len(test_x.array), label_column),
        left.array,
        right.array,
        None if native is None else _native(native, test_x, test[0], train_x, train[0], columns),
    )


def read_labels_of(paths: tuple[str, str], n_rows: int, label_column: str | None) -> np.ndarray:
    """Read labels as strings, so that 1 in one file is "1" in another."""
    labels = read_labels(paths[1], label_column)
    if len(labels) != n_rows:
        raise ValueError(
            f"{paths[1]} has {len(labels)} labels, {paths[0]} has {n_rows} rows; expected one "
            "label for each row"
        )
    return np.asarray(labels, dtype=str)


def read_labels(path: str, column: str | None) -> np.ndarray:
    has_columns = path.lower().endswith((".csv", ".tsv", ".parquet"))
    return vectors.read_labels(path, column=column if has_columns else None)


def _native(
    path: str, test: Embeddings, test_name: str, train: Embeddings, train_name: str,
    columns: Columns,
) -> np.ndarray:  # fmt: skip
    """Read the test items in the training encoder, in the order of the test file."""
    native = columns.read(path)
    _validation.check_same_features(native.array, path, train.array, train_name)
    rows, rows_native = paired_rows(
        test.ids, len(test.array), test_name, native.ids, len(native.array), path
    )
    if len(rows) < len(test.array):
        missing: Sequence[int] = np.setdiff1d(np.arange(len(test.array)), rows).tolist()
        raise ValueError(
            f"{path} lacks the items of {test_name} in {_validation.describe_rows(missing)}; "
            "expected all of them"
        )
    return np.asarray(native.array[rows_native])
