"""Fitted objects as arrays and JSON, and back: the kinds that an artefact can hold.

Objects of relatum bring ``_to_state`` and ``_from_state``. Estimators of
scikit-learn are taken apart by the attributes listed here. Whatever is not listed
is refused, so loading only ever builds known classes and sets known attributes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module, metadata
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._files import FileFormatError

KINDS: dict[str, tuple[str, str]] = {
    "relative-projection": ("relatum.estimators", "RelativeProjection"),
    "head-normalizer": ("relatum.estimators", "HeadNormalizer"),
    "translation": ("relatum.translation", "Translation"),
    "hub": ("relatum.hub", "Hub"),
    "common-space": ("relatum.common_space", "CommonSpace"),
    "hubness-penalty": ("relatum.retrieval", "HubnessPenalty"),
    "torch-relative-projection": ("relatum.nn", "RelativeProjection"),
    "sklearn.LogisticRegression": ("sklearn.linear_model", "LogisticRegression"),
    "sklearn.Ridge": ("sklearn.linear_model", "Ridge"),
    "sklearn.RidgeClassifier": ("sklearn.linear_model", "RidgeClassifier"),
    "sklearn.LinearRegression": ("sklearn.linear_model", "LinearRegression"),
    "sklearn.StandardScaler": ("sklearn.preprocessing", "StandardScaler"),
    "sklearn.Pipeline": ("sklearn.pipeline", "Pipeline"),
}
"""Kind of an artefact, and the module and class that it is built from."""

_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "head-normalizer": ("mean_", "var_"),
    "sklearn.LogisticRegression": ("classes_", "coef_", "intercept_", "n_iter_"),
    "sklearn.Ridge": ("coef_", "intercept_", "n_iter_", "solver_"),
    "sklearn.RidgeClassifier": ("classes_", "coef_", "intercept_", "n_iter_", "solver_"),
    "sklearn.LinearRegression": ("coef_", "intercept_", "rank_", "singular_"),
    "sklearn.StandardScaler": ("mean_", "var_", "scale_", "n_samples_seen_"),
}
_COMMON = ("n_features_in_", "feature_names_in_")

Arrays = dict[str, np.ndarray]


def to_state(obj: Any, arrays: Arrays, prefix: str = "") -> dict[str, Any]:
    """Put the arrays of ``obj`` into ``arrays`` and return the rest as JSON."""
    kind = _kind_of(obj)
    node: dict[str, Any] = {"kind": kind, "libraries": _versions(kind)}
    if kind == "sklearn.Pipeline":
        node["state"] = _pipeline_state(obj, arrays, prefix)
    elif kind in _ATTRIBUTES:
        node["state"] = _attribute_state(obj, kind, arrays, prefix)
    elif kind == "torch-relative-projection":
        node["state"] = _torch_state(obj, arrays, prefix)
    else:
        own, state = obj._to_state()
        arrays.update({prefix + name: array for name, array in own.items()})
        node["state"] = state
        if hasattr(obj, "feature_names_in_"):
            node["feature_names_in"] = [str(n) for n in obj.feature_names_in_]
    space = getattr(obj, "relatum_space_", None)
    if space is not None:
        node["bound_space"] = asdict(space)
    return node


def from_state(node: Mapping[str, Any], arrays: Arrays, prefix: str = "") -> Any:
    """Build the object that :func:`to_state` took apart."""
    kind = node["kind"]
    if kind not in KINDS:
        raise FileFormatError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
    cls = _class_of(kind)
    if kind == "sklearn.Pipeline":
        obj = _build_pipeline(cls, node["state"], arrays, prefix)
    elif kind in _ATTRIBUTES:
        obj = _build_estimator(cls, kind, node["state"], arrays)
    elif kind == "torch-relative-projection":
        obj = _build_torch(cls, node["state"], arrays, prefix)
    else:
        own = {n[len(prefix) :]: a for n, a in arrays.items() if n.startswith(prefix)}
        obj = cls._from_state(own, node["state"])
        if node.get("feature_names_in") is not None:
            obj.feature_names_in_ = np.asarray(node["feature_names_in"], dtype=object)
    if node.get("bound_space") is not None:
        space = dict(node["bound_space"])
        space["similarity"] = tuple(space["similarity"])
        obj.relatum_space_ = import_module("relatum.projection").Space(**space)
    return obj


def _kind_of(obj: Any) -> str:
    """Find the kind of exactly this class; a subclass may hold what would be lost."""
    for kind, (module, name) in KINDS.items():
        if getattr(sys.modules.get(module), name, None) is type(obj):
            return kind
    raise TypeError(
        f"obj is {type(obj).__module__}.{type(obj).__qualname__}, which cannot be saved without "
        f"pickle; expected one of {', '.join(KINDS)}"
    )


def _class_of(kind: str) -> Any:
    module, name = KINDS[kind]
    if module == "relatum.nn":
        _validation.require("torch", "torch", "loading a torch module")
    return getattr(import_module(module), name)


def _versions(kind: str) -> dict[str, str]:
    library = {"sklearn": "scikit-learn", "torch": "torch"}.get(kind.split(".")[0].split("-")[0])
    return {} if library is None else {library: metadata.version(library)}


def _pipeline_state(pipeline: Any, arrays: Arrays, prefix: str) -> dict[str, Any]:
    steps = []
    for i, (name, step) in enumerate(pipeline.steps):
        if step is None or isinstance(step, str):  # "passthrough"
            steps.append({"name": name, "node": None})
        else:
            steps.append({"name": name, "node": to_state(step, arrays, f"{prefix}{i}.")})
    return {"steps": steps}


def _build_pipeline(cls: Any, state: Mapping[str, Any], arrays: Arrays, prefix: str) -> Any:
    return cls(
        [
            (
                step["name"],
                "passthrough"
                if step["node"] is None
                else from_state(step["node"], arrays, f"{prefix}{i}."),
            )
            for i, step in enumerate(state["steps"])
        ]
    )


def _attribute_state(obj: Any, kind: str, arrays: Arrays, prefix: str) -> dict[str, Any]:
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(obj)
    name = type(obj).__name__
    binarizer = getattr(obj, "_label_binarizer", None)
    if binarizer is not None and binarizer.y_type_.startswith("multilabel"):
        raise TypeError(f"obj is a {name} of several labels a row, which cannot be saved")
    fitted = {a: getattr(obj, a) for a in (*_ATTRIBUTES[kind], *_COMMON) if hasattr(obj, a)}
    return {
        "parameters": {k: _pack(v, f"{name}.{k}", arrays, prefix + k)
                       for k, v in obj.get_params(deep=False).items()},
        "fitted": {k: _pack(v, f"{name}.{k}", arrays, prefix + k) for k, v in fitted.items()},
    }  # fmt: skip


def _build_estimator(cls: Any, kind: str, state: Mapping[str, Any], arrays: Arrays) -> Any:
    obj = cls()
    obj.set_params(**{k: _unpack(v, arrays) for k, v in state["parameters"].items()})
    allowed = (*_ATTRIBUTES[kind], *_COMMON)
    for name, value in state["fitted"].items():
        if name not in allowed:
            raise FileFormatError(f"{kind} has no attribute {name!r} that may be loaded")
        if not isinstance(getattr(cls, name, None), property):
            setattr(obj, name, _unpack(value, arrays))
    if kind == "sklearn.RidgeClassifier":  # predict goes through its binarizer
        from sklearn.preprocessing import LabelBinarizer

        classes = _unpack(state["fitted"]["classes_"], arrays)
        obj._label_binarizer = LabelBinarizer(pos_label=1, neg_label=-1).fit(classes)
    return obj


def _torch_state(module: Any, arrays: Arrays, prefix: str) -> dict[str, Any]:
    if module.anchors is None:
        raise TypeError(
            "obj encodes its anchors anew with an encoder, which cannot be saved here; save "
            "RelativeProjection(encoder(anchor_samples)), or its state_dict with the model's"
        )
    for name, tensor in module.state_dict().items():
        arrays[prefix + name] = _array.to_numpy(tensor)
    settings = ("similarity", "center", "whiten")
    return {s: _pack(getattr(module, s), f"RelativeProjection.{s}", arrays, s) for s in settings}


def _build_torch(cls: Any, state: Mapping[str, Any], arrays: Arrays, prefix: str) -> Any:
    import torch

    tensors = {name: torch.tensor(arrays[prefix + name]) for name in ("anchors", "anchor_ids_hash")}
    settings = {name: _unpack(value, arrays) for name, value in state.items()}
    module = cls(tensors["anchors"], **settings)
    module.load_state_dict(tensors)
    return module


def _pack(value: Any, name: str, arrays: Arrays, key: str) -> Any:
    """Return ``value`` as JSON; arrays go to ``arrays`` under ``key``."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "OU":
        if not all(isinstance(v, str) for v in value.ravel()):
            raise TypeError(f"{name} holds Python objects; expected numbers or strings")
        return {"strings": value.tolist(), "object": value.dtype.kind == "O"}
    if isinstance(value, (np.ndarray, np.generic)) and np.asarray(value).dtype.kind in "biuf":
        arrays[key] = np.asarray(value)
        return {"tensor": key}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_pack(v, name, arrays, f"{key}.{i}")
                                       for i, v in enumerate(value)]}  # fmt: skip
    if isinstance(value, dict):
        pairs = [item for pair in value.items() for item in pair]
        return {"dict": _pack(pairs, name, arrays, key)["list"]}
    what = "function" if callable(value) else type(value).__name__
    raise TypeError(
        f"{name} is a Python {what}, which cannot be saved without pickle; set it to a plain "
        "value (None, a number or a string) before saving"
    )


def _unpack(value: Any, arrays: Arrays) -> Any:
    if not isinstance(value, dict):
        return value
    ((tag, inner), *_) = value.items()
    if "strings" in value:
        return np.asarray(value["strings"], dtype=object if value["object"] else str)
    if tag == "tensor":
        return arrays[inner][()]  # a scalar again where it was one
    if tag == "float":
        return float(inner)
    items = [_unpack(v, arrays) for v in inner]
    if tag == "dict":
        return dict(zip(items[::2], items[1::2], strict=True))
    return tuple(items) if tag == "tuple" else items
