"""Retrieval in a common space: cosine search, corrected for rows that are near everything.

In a space that two encoders share some rows are among the nearest of far too many
queries (hubs). Each correction takes a number off each row of the index, its
*penalty*, which is computed once from rows of the queries' side; a single query is
then scored like any other. The search itself is exact, through faiss where it is
installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import logsumexp

from relatum import _array, _validation
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum.neighbors import nearest_unchecked

__all__ = ["CORRECTIONS", "HubnessPenalty", "hubness_penalty", "search"]


SPREADS = 0.3
"""Temperature of the softmax, in standard deviations of the cosines."""
SAMPLE = 1000
"""Rows of each side that those are taken from."""


def _csls(
    index: np.ndarray, background: np.ndarray, k: int, temperature: float | None
) -> np.ndarray:
    """Half the mean cosine to the nearest k rows of the background."""
    values, _ = nearest_unchecked(index, background, min(k, len(background)), "cosine")
    return np.asarray(values.mean(axis=1) / 2)


def _softmax(
    index: np.ndarray, background: np.ndarray, k: int, temperature: float | None
) -> np.ndarray:
    """``T log mean_q exp(cos(q, t) / T)``, in blocks."""
    Q = unit_rows(background)
    if temperature is None:
        temperature = temperature_of(index[spaced_rows(len(index))], background)
    out = np.empty(len(index), dtype=index.dtype)
    for rows in _array.blocks(len(index), index.dtype.itemsize * len(Q), _array.BLOCK_BYTES):
        S = unit_rows(index[rows]) @ Q.T
        out[rows] = temperature * (logsumexp(S / temperature, axis=1) - np.log(len(Q)))
    return out


def temperature_of(index: np.ndarray, background: np.ndarray) -> float:
    """Return T of ``softmax`` from rows at even distances of both sides."""
    T = unit_rows(index)
    Q = unit_rows(background[spaced_rows(len(background))])
    return max(SPREADS * float(np.std(T @ Q.T)), float(np.finfo(np.float32).eps))


def spaced_rows(n: int) -> np.ndarray:
    """Return row numbers at even distances, at most :data:`SAMPLE`."""
    return np.linspace(0, n - 1, min(SAMPLE, n)).astype(np.int64)


CORRECTIONS: dict[str, Callable[[np.ndarray, np.ndarray, int, float | None], np.ndarray]] = {
    "csls": _csls,
    "softmax": _softmax,
}


def hubness_penalty(
    index: Array,
    background: Array,
    *,
    correction: str = "softmax",
    k: int = 10,
    temperature: float | None = None,
) -> np.ndarray:
    """Return what to take off the cosine of each row of ``index``, for :func:`search`.

    ``csls``: half the row's mean cosine to its ``k`` nearest background rows, which
    ranks as CSLS does (the query's own density is the same for all of its candidates).
    ``softmax``: ``T log mean_q exp(cos(q, t) / T)`` over background rows q, which ranks by
    the probability that the row gives to the query among the background (the inverted
    softmax).

    Parameters
    ----------
    index : array (n_index, n_features)
    background : array (n_background, n_features)
        Rows of the queries' side in the same space: what queries look like. A few
        thousand are enough; they need no counterpart in the index.
    correction : "softmax" or "csls"
    k : int
        Of ``csls``; 10 in its paper.
    temperature : float, optional
        T of ``softmax``, > 0; by default 0.3 standard deviations of the cosines between
        both sides. Small ones compare with the background's nearest rows alone; with large
        ones the ranking of neighbours changes less, and hubs stay.

    Returns
    -------
    numpy array (n_index,)

    Raises
    ------
    TypeError, ValueError
        Input that is not a finite 2-D array of numbers, features that do not match, an
        unknown correction, a temperature that is not positive.

    References
    ----------
    Conneau et al., *Word translation without parallel data*, ICLR 2018 (CSLS); Smith et
    al., *Offline bilingual word vectors, orthogonal transformations and the inverted
    softmax*, ICLR 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.retrieval import hubness_penalty, search
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> penalty = hubness_penalty(X, X)
    >>> search(X[:3], X, 1, penalty=penalty)[1].ravel().tolist()
    [0, 1, 2]
    """
    _validation.check_choice(correction, "correction", CORRECTIONS)
    k = _validation.check_integer(k, "k")
    if temperature is not None and _validation.check_nonnegative(temperature, "temperature") == 0:
        raise ValueError("temperature is 0; expected a number > 0")
    index, background = _same_features(index, "index", background, "background")
    return CORRECTIONS[correction](index, background, k, temperature)


@dataclass(frozen=True)
class HubnessPenalty:
    """Penalties of the rows of one index, to be kept beside it: ``relatum.save`` writes them.

    :func:`search` takes it in place of the bare array, and refuses it for other rows.

    Attributes
    ----------
    values : array (n_index,)
        What :func:`hubness_penalty` gives.
    fingerprint : str
        Of the index: its shape and rows at even distances.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.retrieval import HubnessPenalty, search
    >>> X = np.random.default_rng(0).normal(size=(50, 8))
    >>> penalty = HubnessPenalty.of(X, X, correction="csls")
    >>> search(X[:3], X, 1, penalty=penalty)[1].ravel().tolist()
    [0, 1, 2]
    """

    values: np.ndarray
    fingerprint: str
    correction: str

    @classmethod
    def of(
        cls, index: Array, background: Array, *, correction: str = "softmax", **settings: Any
    ) -> Self:
        """Compute the penalties; see :func:`hubness_penalty` for all arguments."""
        values = hubness_penalty(index, background, correction=correction, **settings)
        rows = _array.to_numpy(index)
        return cls(values, fingerprint_of(len(rows), rows[spaced_rows(len(rows))]), correction)

    def for_rows(self, index: np.ndarray) -> np.ndarray:
        """Return the penalties of these rows, or refuse other rows than they were computed for."""
        if fingerprint_of(len(index), index[spaced_rows(len(index))]) != self.fingerprint:
            raise ValueError(
                f"penalty was computed for another index ({len(self.values)} rows); this one has "
                f"{len(index)} rows, or other values"
            )
        return self.values

    def _to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return tensors and a manifest that :mod:`relatum.artifact` can write."""
        return {"values": self.values}, {
            "fingerprint": self.fingerprint,
            "correction": self.correction,
        }

    @classmethod
    def _from_state(cls, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> Self:
        """Rebuild what :meth:`_to_state` gave."""
        return cls(np.asarray(arrays["values"]), manifest["fingerprint"], manifest["correction"])


def fingerprint_of(n_rows: int, some: np.ndarray) -> str:
    """Return what tells an index from others; ``some`` are its :func:`spaced_rows`."""
    digest = hashlib.sha256(f"{(n_rows, some.shape[1])} {some.dtype}".encode())
    digest.update(np.ascontiguousarray(some).tobytes())
    return digest.hexdigest()


def search(
    queries: Array, index: Array, k: int = 10, *, penalty: Array | HubnessPenalty | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` rows of ``index`` that fit each query best, the best first.

    Both sides must be in one space: translated, or two relative projections on
    parallel anchors.

    Parameters
    ----------
    queries : array (n_queries, n_features)
    index : array (n_index, n_features)
    k : int
    penalty : array (n_index,) or HubnessPenalty, optional
        Taken off each row's cosine; see :func:`hubness_penalty`.

    Returns
    -------
    scores : numpy array (n_queries, k)
        Cosine, less the penalty.
    indices : numpy array (n_queries, k) of int64

    Raises
    ------
    TypeError, ValueError
        As in :func:`hubness_penalty`; a penalty of another length or index; a ``k`` that the index
        has no rows for.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.retrieval import search
    >>> scores, indices = search(np.eye(3), np.eye(3), 1)
    >>> indices.ravel().tolist()
    [0, 1, 2]
    """
    queries, index = _same_features(queries, "queries", index, "index")
    _validation.check_integer(k, "k", maximum=len(index), maximum_is=f"index has {len(index)} rows")
    if penalty is None:
        return nearest_unchecked(queries, index, k, "cosine")
    if isinstance(penalty, HubnessPenalty):
        penalty = penalty.for_rows(index)
    penalty = np.asarray(_array.to_numpy(_validation.as_array(penalty, "penalty")))
    if penalty.shape != (len(index),):
        raise ValueError(
            f"penalty has shape {penalty.shape}, index has {len(index)} rows; "
            "expected one number for each row"
        )
    # an inner product with one more coordinate, which the exact search takes as it is
    one = np.ones((len(queries), 1), dtype=queries.dtype)
    asked = np.concatenate([unit_rows(queries), one], axis=1)
    taken = -penalty.astype(index.dtype)[:, None]
    return nearest_unchecked(
        asked, np.concatenate([unit_rows(index), taken], axis=1), k, "inner_product"
    )


def _same_features(X: Any, name_x: str, Y: Any, name_y: str) -> tuple[np.ndarray, np.ndarray]:
    X = _validation.as_matrix(X, name_x, finite=True)
    Y = _validation.as_matrix(Y, name_y, finite=True)
    _validation.check_same_features(X, name_x, Y, name_y)
    return _array.to_numpy(X), _array.to_numpy(Y)
