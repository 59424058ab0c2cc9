"""Fitted objects on disk: one safetensors file with a JSON manifest, never pickle.

Tensors hold the arrays; the manifest, in the file's header, says what they are:
format version, kind, encoder, similarity, centring, λ, dimensions, hashes.
Loading builds objects of the kinds in :data:`KINDS` and runs no code from the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from relatum import _estimator_state, _files
from relatum._estimator_state import KINDS
from relatum._files import FileFormatError, Source

__all__ = ["FORMAT_VERSION", "KINDS", "load", "read_manifest", "save"]

FORMAT_VERSION = 1
SUFFIX = ".safetensors"
Built = TypeVar("Built")
_EXPECTED = "a relatum artefact"


def save(
    obj: Any,
    path: Source,
    *,
    encoder: str | None = None,
    encoder_revision: str | None = None,
    target_encoder: str | None = None,
    target_revision: str | None = None,
    measured: Mapping[str, Any] | None = None,
    predicted: Mapping[str, Any] | None = None,
) -> None:
    """Write a fitted object to one ``.safetensors`` file.

    Parameters
    ----------
    obj : fitted object
        A relative projection (estimator or torch module), a translation, or one of the scikit-learn
        estimators in :data:`KINDS`, or a pipeline of them. The space that
        :func:`relatum.bind` recorded on a head is kept.
    path : str or path
        Ends in ``.safetensors``. It appears only when it is complete.
    encoder, encoder_revision : str, optional
        Name and revision of the encoder whose embeddings ``obj`` was fitted on.
    target_encoder, target_revision : str, optional
        Of a translation: those of the encoder whose space it leads into.
    measured : dict, optional
        What was measured on held-out items; numbers and strings.
    predicted : dict, optional
        What is predicted for new items; see :func:`relatum.quality.predict_quality`.

    Raises
    ------
    TypeError
        An object of another kind, or settings that hold a Python function (such as
        a similarity of your own) or another object that only pickle could save.
    ValueError
        An object that is not fitted, or another suffix.
    OSError
        The folder cannot be written.

    Examples
    --------
    >>> import numpy as np, relatum, tempfile, os
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> projection = relatum.RelativeProjection(10, random_state=0).fit(X)
    >>> path = os.path.join(tempfile.mkdtemp(), "map.safetensors")
    >>> relatum.save(projection, path, encoder="my-encoder")
    >>> bool(np.allclose(relatum.load(path).transform(X), projection.transform(X)))
    True
    """
    from safetensors.numpy import save_file

    check_target(path)
    arrays: dict[str, np.ndarray] = {}
    node = _estimator_state.to_state(obj, arrays)
    arrays = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    manifest = {
        "format_version": FORMAT_VERSION,
        **node,
        "relatum_version": import_module("relatum").__version__,
        "encoder": encoder,
        "encoder_revision": encoder_revision,
        "target_encoder": target_encoder,
        "target_revision": target_revision,
        "measured": None if measured is None else dict(measured),
        "predicted": None if predicted is None else dict(predicted),
        "n_features": getattr(obj, "n_features_in_", getattr(obj, "n_features", None)),
        "space": _space(obj),
        "anchors_sha256": {n: _hash_array(a) for n, a in arrays.items() if _is_anchors(n)},
    }
    manifest["checksum"] = _checksum(manifest, arrays)
    with _files.replacing(path) as temporary:
        save_file(arrays, temporary, {"relatum": _canonical(manifest)})


def load(path: Source) -> Any:
    """Read a fitted object that :func:`save` wrote; arrays come back as NumPy (or torch).

    Raises
    ------
    FileNotFoundError, ValueError
        A missing, empty, truncated or damaged file (each byte is covered by a
        checksum, the anchors by one of their own), one that is not a relatum
        artefact, of an unknown kind, or written by a newer relatum.
    MissingExtraError
        A torch module where torch is not installed.

    Examples
    --------
    See :func:`save`.
    """
    return read(path, _estimator_state.from_state)


def read(path: Source, build: Callable[[dict[str, Any], dict[str, np.ndarray]], Built]) -> Built:
    """Return what ``build`` makes of the manifest and the arrays of an artefact.

    Raises
    ------
    FileNotFoundError, ValueError
        As in :func:`load`.

    Examples
    --------
    >>> import numpy as np, relatum, tempfile, os
    >>> from relatum import artifact
    >>> path = os.path.join(tempfile.mkdtemp(), "map.safetensors")
    >>> relatum.save(relatum.RelativeProjection().fit(np.eye(4)), path)
    >>> artifact.read(path, lambda manifest, arrays: manifest["kind"])
    'relative-projection'
    """
    manifest, arrays = _read(path)
    try:
        return build(manifest, arrays)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{path} does not describe a {manifest['kind']} that can be built here ({error}); "
            f"it was written by relatum {manifest.get('relatum_version')} with "
            f"{_libraries(manifest)}"
        ) from error


def read_manifest(path: Source, *, verify: bool = False) -> dict[str, Any]:
    """Read what an artefact says of itself, without building it.

    ``verify`` also reads the tensors and checks their hashes, as :func:`load` does.

    Raises
    ------
    FileNotFoundError, ValueError
        As in :func:`load`.

    Examples
    --------
    >>> import numpy as np, relatum, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "map.safetensors")
    >>> relatum.save(relatum.RelativeProjection(center=True).fit(np.eye(4)), path)
    >>> manifest = relatum.read_manifest(path)
    >>> manifest["kind"], manifest["space"]["n_anchors"], manifest["space"]["center"]
    ('relative-projection', 4, True)
    """
    return _read(path)[0] if verify else _read_header(path)[0]


def check_target(path: Source) -> None:
    """Refuse a name that :func:`save` cannot write to."""
    if Path(path).suffix.lower() != SUFFIX:
        raise FileFormatError(f"{path} has the suffix {Path(path).suffix!r}; expected {SUFFIX}")
    _files.check_target(path)


def is_artifact(path: Source) -> bool:
    """Tell whether a safetensors file carries a manifest of relatum."""
    from safetensors import safe_open

    _files.check_source(path, [SUFFIX], _EXPECTED)
    with (
        _files.reading(path, "a whole .safetensors file"),
        safe_open(path, "numpy") as file,
    ):
        return "relatum" in (file.metadata() or {})


def _read_header(path: Source) -> tuple[dict[str, Any], list[str]]:
    from safetensors import safe_open

    _files.check_source(path, [SUFFIX], _EXPECTED)
    with _files.reading(path, _EXPECTED), safe_open(path, "numpy") as file:
        text = (file.metadata() or {}).get("relatum")
        names = list(file.keys())
        manifest = None if text is None else json.loads(text)
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise FileFormatError(
            f"{path} is a safetensors file without relatum's manifest; expected {_EXPECTED}"
        )
    _check_version(manifest, path)
    return manifest, names


def _check_version(manifest: dict[str, Any], path: Source) -> None:
    version = manifest["format_version"]
    if not isinstance(version, int):
        raise FileFormatError(f"{path} is damaged: its format version is {version!r}")
    if version > FORMAT_VERSION:
        raise FileFormatError(
            f"{path} has format version {version}, written by relatum "
            f"{manifest.get('relatum_version')}; this relatum reads up to {FORMAT_VERSION}: "
            "pip install -U relatum"
        )
    kind = manifest.get("kind")
    if kind not in KINDS:
        raise FileFormatError(
            f"{path} holds an object of the unknown kind {kind!r}; expected one of "
            f"{', '.join(KINDS)}"
        )


def _read(path: Source) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read manifest and tensors, and hold both against their hashes."""
    from safetensors import safe_open

    manifest, names = _read_header(path)
    with _files.reading(path, _EXPECTED), safe_open(path, "numpy") as file:
        arrays = {name: np.asarray(file.get_tensor(name)) for name in names}
    for name, expected in (manifest.get("anchors_sha256") or {}).items():
        if name not in arrays or _hash_array(arrays[name]) != expected:
            raise FileFormatError(
                f"{path} is damaged: its anchors ({name}) are not those that were saved "
                "(sha256 differs); restore the file from a copy"
            )
    if _checksum(manifest, arrays) != manifest.get("checksum"):
        raise FileFormatError(
            f"{path} is damaged: its content differs from what was saved (checksum differs); "
            "restore the file from a copy"
        )
    return manifest, arrays


def _canonical(manifest: Mapping[str, Any]) -> str:
    try:
        return json.dumps(manifest, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"measured or the object's state cannot be written as JSON ({error}); expected "
            "finite numbers, strings, lists and dicts"
        ) from error


def _checksum(manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Hash all of the manifest but the checksum, and every tensor with name, type, shape."""
    rest = {key: value for key, value in manifest.items() if key != "checksum"}
    digest = hashlib.sha256(_canonical(rest).encode())
    for name in sorted(arrays):
        digest.update(f"\n{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        digest.update(_bytes(arrays[name]))
    return digest.hexdigest()


def _hash_array(array: np.ndarray) -> str:
    return hashlib.sha256(_bytes(array)).hexdigest()


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _is_anchors(name: str) -> bool:
    return name.rsplit(".", 1)[-1] == "anchors"


def _space(obj: Any) -> dict[str, Any] | None:
    """Describe the relative space that ``obj`` projects into or was trained in."""
    parts = [obj, *(step for _, step in getattr(obj, "steps", []))]
    for part in parts:
        for name in ("relatum_space_", "space_", "space"):
            space = getattr(part, name, None)
            if is_dataclass(space) and not isinstance(space, type):
                return asdict(space)
    return None


def _libraries(manifest: Mapping[str, Any]) -> str:
    found = manifest.get("libraries") or {}
    return ", ".join(f"{k} {v}" for k, v in sorted(found.items())) or "no other library"
