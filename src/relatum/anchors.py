"""Choosing anchors, pairing them between two spaces, and checking them.

Every selection returns row numbers, so that the same items can be taken from
another encoder's array. The geometric methods look at directions alone (rows at
unit norm), since that is what a cosine projection sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from relatum import _array, _validation
from relatum._anchor_selection import METHODS, Rows, in_memory, opened
from relatum._array import Array
from relatum._gemm import unit_rows
from relatum._sources import MEMORY

__all__ = [
    "METHODS",
    "AnchorDiagnostics",
    "ParallelTest",
    "anchor_diagnostics",
    "pair_anchors",
    "parallel_test",
    "select_anchors",
]

NEAR_REPEATED = 1e-4
"""Anchors whose cosine is within this of 1 count as nearly repeated."""


def select_anchors(
    X: Array,
    n_anchors: int,
    *,
    method: str = "uniform",
    labels: Any = None,
    frequencies: Any = None,
    random_state: Any = None,
    memory: int = MEMORY,
) -> Array:
    """Choose ``n_anchors`` rows of ``X`` as anchors.

    Parameters
    ----------
    X : array (n_samples, n_features), or what :func:`relatum.open_embeddings` returns
        Absolute representations to choose from. For anchors from outside the
        data (OOD anchors), pass that other data.
    n_anchors : int
        At least 1 and at most ``n_samples``.
    method : str
        ``uniform``: at random. ``stratified``: at random, as evenly over the
        classes of ``labels`` as their sizes allow. ``farthest_point``: each the
        farthest from those before it. ``kmeans``: the real row nearest to each
        k-means centre, which are fitted to at most 20,000 rows drawn at random (100 for
        each anchor, if that is more). ``pivoted_cholesky``: each the row that the cosine
        kernel of those before it explains worst. ``most_frequent``: by ``frequencies``,
        highest first.
    labels : array (n_samples,), for ``stratified``
    frequencies : array (n_samples,), for ``most_frequent``
    random_state : None, int, numpy Generator or RandomState
    memory : int
        Bytes for the rows of a file. One that is larger is read again for each anchor by
        ``farthest_point`` and ``pivoted_cholesky``.

    Returns
    -------
    array of int64 (n_anchors,)
        Row numbers, each once, in the library of ``X`` (NumPy, for a file).

    Raises
    ------
    ValueError
        More anchors than rows, an unknown method (with the nearest suggestion),
        or a method without what it needs.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(100, 8))
    >>> relatum.select_anchors(X, 3, method="farthest_point", random_state=0).shape
    (3,)
    """
    _validation.check_choice(method, "method", METHODS)
    rows: Rows = opened(X, memory) if hasattr(X, "batches") else in_memory(X)
    n = rows.n_rows
    _validation.check_integer(n_anchors, "n_anchors", maximum=n, maximum_is="the rows of X")
    if method == "stratified":
        labels = _column(labels, "labels", method, n)
    if method == "most_frequent":
        frequencies = _column(frequencies, "frequencies", method, n)
    rng = _validation.random_generator(random_state)
    chosen = METHODS[method](rows, int(n_anchors), rng, labels=labels, frequencies=frequencies)
    chosen = np.asarray(chosen, dtype=np.int64)
    return chosen if hasattr(X, "batches") else _array.from_numpy(chosen, X, keep_dtype=True)


def _column(values: Any, name: str, method: str, n_rows: int) -> np.ndarray:
    if values is None:
        raise ValueError(f"method {method!r} needs {name}: one for each row of X")
    values = _array.to_numpy(_validation.as_array(values, name))
    if values.shape != (n_rows,):
        raise ValueError(
            f"{name} has shape {values.shape}; expected ({n_rows},): one for each row of X"
        )
    return np.asarray(values)


def pair_anchors(ids_x: Any, ids_y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of two sets that are the same item, by id.

    A partial correspondence: ids on one side alone are left out. Row
    ``idx_x[i]`` of X and ``idx_y[i]`` of Y are the same item, in the order of X.

    Raises
    ------
    ValueError
        An id that occurs twice on one side, or no id in common.

    Examples
    --------
    >>> import relatum
    >>> relatum.pair_anchors(["a", "b", "c"], ["c", "x", "a"])
    (array([0, 2]), array([2, 0]))
    """
    x, y = _ids(ids_x, "ids_x"), _ids(ids_y, "ids_y")
    place = {item: j for j, item in enumerate(y)}
    pairs = [(i, place[item]) for i, item in enumerate(x) if item in place]
    if not pairs:
        raise ValueError(
            f"ids_x and ids_y have no id in common; {_example('ids_x', x)}, {_example('ids_y', y)}"
        )
    idx_x, idx_y = np.asarray(pairs, dtype=np.int64).T
    return idx_x, idx_y


def _ids(ids: Any, name: str) -> list[Any]:
    values = (
        list(_array.to_numpy(_validation.as_array(ids, name)).tolist())
        if not isinstance(ids, (list, tuple))
        else list(ids)
    )
    seen: dict[Any, int] = {}
    for row, item in enumerate(values):
        if seen.setdefault(item, row) != row:
            raise ValueError(
                f"{name} has the id {item!r} twice, in rows {seen[item]} and {row}; "
                "expected each id once"
            )
    return values


def _example(name: str, ids: list[Any]) -> str:
    return f"{name} begins with {ids[0]!r}" if ids else f"{name} is empty"


@dataclass(frozen=True)
class AnchorDiagnostics:
    """How much a set of anchors can tell apart."""

    n_anchors: int
    n_repeated: int
    """Anchors that repeat an earlier one exactly."""
    n_near_repeated: int
    """Anchors whose cosine to an earlier one is within 1e-4 of 1, repeats included."""
    rank: int
    """Numerical rank of the anchors' directions; at most min(n_anchors, n_features)."""
    effective_rank: float
    """exp(entropy) of the spectrum of the cosine kernel: how many directions carry it."""
    warnings: tuple[str, ...]


def anchor_diagnostics(anchors: Array, *, center: bool = False) -> AnchorDiagnostics:
    """Check anchors for collapse: repeated or nearly repeated rows, low rank.

    Warns (``RelatumWarning``) of each thing found: repeats, fewer than half of the
    directions there could be, or an effective rank below 2. A collapsed set gives relative
    representations that cannot tell items apart (appendix A.2 of the paper).

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.anchors import anchor_diagnostics
    >>> anchor_diagnostics(np.eye(4)).effective_rank
    4.0
    """
    A = _array.to_numpy(_validation.as_matrix(anchors, "anchors", min_rows=2, finite=True))
    unit = unit_rows((A - A.mean(axis=0) if center else A).astype(np.float64))
    K = unit @ unit.T
    near = np.tril(K > 1 - NEAR_REPEATED, k=-1).any(axis=1)
    repeated = len(A) - len({row.tobytes() for row in np.ascontiguousarray(A)})
    spectrum = np.clip(np.linalg.eigvalsh(K)[::-1], 0, None)
    rank = int(np.sum(spectrum > spectrum[0] * len(A) * np.finfo(A.dtype).eps))
    share = spectrum[spectrum > 0] / spectrum.sum()
    effective = round(float(np.exp(-np.sum(share * np.log(share)))), 6)
    found = []
    if near.any():
        found.append(
            f"anchors has {int(near.sum())} of {len(A)} rows that repeat or nearly "
            f"repeat an earlier one ({_validation.describe_rows(np.flatnonzero(near))})"
        )
    if 2 * rank < min(A.shape) or effective < 2:  # constant features alone take little
        found.append(
            f"anchors has rank {rank} and effective rank {effective:.1f} with {len(A)} "
            f"rows of {A.shape[1]} features: the projection collapses"
        )
    for message in found:
        _validation.warn(message, stacklevel=3)
    return AnchorDiagnostics(len(A), repeated, int(near.sum()), rank, effective, tuple(found))


@dataclass(frozen=True)
class ParallelTest:
    """Whether two anchor sets look parallel."""

    statistic: float
    """Correlation of the two similarity matrices, off the diagonal; 1 is a perfect match."""
    p_value: float
    """Share of random pairings that correlate as well."""
    parallel: bool
    """``p_value`` is below the level."""


def parallel_test(
    anchors_x: Array,
    anchors_y: Array,
    *,
    n_permutations: int = 200,
    level: float = 0.05,
    random_state: Any = 0,
) -> ParallelTest:
    """Test whether row i of both anchor sets is the same item.

    Correlates the two matrices of centred cosines and compares with random
    pairings (Mantel, 1967). Warns when the sets do not look parallel: shuffled,
    off by one, or of unrelated items. Uses at most 500 anchors.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.anchors import parallel_test
    >>> A = np.random.default_rng(0).normal(size=(40, 8))
    >>> parallel_test(A, 3 * A[:, ::-1]).parallel
    True
    """
    A, B = _validation.check_pair(anchors_x, anchors_y, "anchors_x", "anchors_y", min_rows=4)
    n_permutations = _validation.check_integer(n_permutations, "n_permutations", minimum=19)
    rng = _validation.random_generator(random_state)
    rows = rng.choice(A.shape[0], size=min(500, A.shape[0]), replace=False)
    K, L = (_off_diagonal_scores(_array.to_numpy(M)[rows]) for M in (A, B))
    statistic = float(np.sum(K * L))
    null = np.empty(n_permutations)
    for i in range(n_permutations):
        p = rng.permutation(len(rows))
        null[i] = np.sum(K * L[np.ix_(p, p)])
    p_value = float((1 + np.sum(null >= statistic)) / (1 + n_permutations))
    if p_value >= level:
        _validation.warn(
            "anchors_x and anchors_y do not look parallel: their similarity matrices correlate "
            f"at {statistic:.2f}, as random pairings do (p = {p_value:.2f}); expected row i of "
            "both to be the same item",
            stacklevel=3,
        )
    return ParallelTest(round(statistic, 6), p_value, p_value < level)


def _off_diagonal_scores(A: np.ndarray) -> np.ndarray:
    """Centred cosines with a zero diagonal, at mean 0 and norm 1 off it."""
    unit = unit_rows((A - A.mean(axis=0)).astype(np.float64))
    K = unit @ unit.T
    off = ~np.eye(len(K), dtype=bool)
    K = np.where(off, K - K[off].mean(), 0.0)
    return np.asarray(K / max(np.linalg.norm(K), np.finfo(float).tiny))
