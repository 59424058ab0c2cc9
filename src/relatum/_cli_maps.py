"""What a file goes through on its way into another space, read from what was fitted.

Without the estimators: the library that they come from takes longer to load than many a
file to translate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from relatum import _validation, artifact
from relatum._array_sources import ArraySource
from relatum._same_encoder import SAMPLE, unlike
from relatum._sources import Source
from relatum._translation_map import TranslationMap
from relatum.row_maps import RowMap, translation_of_rows

FIRST = 20_000
"""Rows of a table from which some are held against the anchors before it is translated."""


def check_encoder(path: str, encoder: str | None, force: bool, inverse: bool = False) -> None:
    """Refuse embeddings of another encoder than a map was made for, as far as both are named."""
    if encoder is None:
        return
    made_for = artifact.read_manifest(path)["target_encoder" if inverse else "encoder"]
    if made_for is None:
        _validation.warn(f"{path} does not say which encoder it was made for; --encoder is ignored")
    elif made_for != encoder and not force:
        raise ValueError(
            f"{path} was made for embeddings of {made_for}, --encoder is {encoder}; --force "
            "uses it all the same"
        )


def warn_unlike(X: np.ndarray, fitted: TranslationMap, name: str) -> None:
    if (what := unlike(X, fitted, name)) is not None:
        _validation.warn(what)


def rows_of(
    source: Source, path: str, *, inverse: bool, target: bool, device: str | None
) -> tuple[RowMap, dict[str, Any]]:
    """Return a map as a function of rows, after a look at rows that it will be given."""
    if artifact.read_manifest(path)["kind"] != "translation":
        return _into_common_space(path, target, inverse or device is not None)
    if target:
        raise ValueError(f"{path} is a translation; --of-target goes with a common space")
    which = "backward" if inverse else "forward"

    def build(
        manifest: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> tuple[TranslationMap, str]:
        state = manifest["state"]
        return TranslationMap.from_state(arrays, state, which), state["method"]

    fitted, method = artifact.read(path, build)
    if source.n_features != len(fitted.matrix):
        raise ValueError(
            f"{source.name} has {source.n_features} features, {path} takes {len(fitted.matrix)}"
        )
    if isinstance(source, ArraySource):
        n = min(SAMPLE, source.n_rows)
        some = source.take(np.linspace(0, source.n_rows - 1, n).astype(int))[0]
    else:
        some = next(source.batches(0, FIRST)).X
    warn_unlike(some, fitted, source.name)
    if device is None:
        return translation_of_rows(fitted), {"method": method}
    from relatum.device_maps import translation_on_device

    return translation_on_device(fitted, device), {"method": method, "device": device}


def _into_common_space(path: str, target: bool, more: bool) -> tuple[RowMap, dict[str, Any]]:
    from relatum._cli_common_space import METHOD, load, rows_into
    from relatum.common_space import CommonSpace

    found = load(path)
    assert isinstance(found, CommonSpace)  # load refuses what is neither
    if more:
        raise ValueError(f"{path} is a common space; leave --inverse and --device out")
    return rows_into(found, path, target=target), {"method": METHOD, "target": target}
