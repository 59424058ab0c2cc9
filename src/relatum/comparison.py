"""Compare two spaces by every measure, each held against chance.

:data:`MEASURES` is the table of measures; :func:`compare` computes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from relatum import _validation, alignment, neighborhoods
from relatum._array import Array
from relatum._comparison_groups import groups
from relatum._comparison_input import Chosen, choose, parallel_warning
from relatum._comparison_result import Comparison, Result
from relatum._resampling import Draws, Repeats
from relatum.projection import relative_projection
from relatum.similarity import Spec, as_specs, spec_name

__all__ = ["MEASURES", "Comparison", "Measure", "Result", "compare"]

MAX_PAIR_ROWS = 1_000
"""Rows for the measures that look at every pair of rows."""


@dataclass(frozen=True)
class Measure:
    """What a measure computes and what holds for it."""

    function: Callable[..., float]
    """Of two arrays whose row i is the same item, and of ``k`` if ``takes_k``."""
    higher_is_closer: bool
    range: tuple[float, float]
    on: Literal["relative", "absolute"]
    """Relative representations on parallel anchors, or absolute ones of any width."""
    invariant_to: frozenset[str]
    """Names in :data:`relatum.similarity.TRANSFORMATIONS` that leave it unchanged when
    applied to the second array alone."""
    takes_k: bool = False

    @property
    def best(self) -> float:
        """The value of two spaces that match perfectly."""
        return self.range[1] if self.higher_is_closer else self.range[0]


def _from_y(measure: Callable[..., float]) -> Callable[..., float]:
    return lambda S, T, **options: measure(T, S, **options)


_ROWS = frozenset({"scaling", "row_scaling"})
_ROTATION = frozenset({"orthogonal", "signed_permutation"})
_ISOMETRY = _ROTATION | {"translation", "scaling"}

MEASURES: dict[str, Measure] = {
    "retrieval_jaccard": Measure(
        neighborhoods.retrieval_jaccard, True, (0, 1), "relative", _ROWS, takes_k=True
    ),
    "retrieval_jaccard_from_y": Measure(
        _from_y(neighborhoods.retrieval_jaccard), True, (0, 1), "relative", _ROWS, takes_k=True
    ),
    "mean_reciprocal_rank": Measure(
        neighborhoods.mean_reciprocal_rank, True, (0, 1), "relative", _ROWS, takes_k=True
    ),
    "mean_reciprocal_rank_from_y": Measure(
        _from_y(neighborhoods.mean_reciprocal_rank), True, (0, 1), "relative", _ROWS, takes_k=True
    ),
    "latent_similarity": Measure(alignment.latent_similarity, True, (-1, 1), "relative", _ROWS),
    "pairwise_score": Measure(
        alignment.pairwise_score, False, (0, math.inf), "relative", frozenset()
    ),
    "neighborhood_jaccard": Measure(
        neighborhoods.neighborhood_jaccard,
        True, (0, 1), "absolute", _ROTATION | _ROWS, takes_k=True,
    ),
    "mutual_knn": Measure(
        neighborhoods.mutual_knn, True, (0, 1), "absolute", _ROTATION | _ROWS, takes_k=True
    ),
    "cka": Measure(alignment.cka, True, (0, 1), "absolute", _ISOMETRY),
    "cka_unbiased": Measure(
        partial(alignment.cka, unbiased=True), True, (-1, 1), "absolute", _ISOMETRY
    ),
    "cka_rbf": Measure(partial(alignment.cka, kernel="rbf"), True, (0, 1), "absolute", _ISOMETRY),
    "svcca": Measure(alignment.svcca, True, (0, 1), "absolute", _ISOMETRY),
    "pwcca": Measure(alignment.pwcca, True, (0, 1), "absolute", _ISOMETRY),
    "procrustes_distance": Measure(
        alignment.procrustes_distance, False, (0, 2), "absolute", _ISOMETRY
    ),
    "rsa_distance": Measure(alignment.rsa_distance, False, (0, 2), "absolute", _ISOMETRY),
}  # fmt: skip


def compare(
    X: Array,
    Y: Array,
    anchors: Any = None,
    *,
    k: int = 10,
    similarity: Spec | Sequence[Spec] = "cosine",
    center: bool = False,
    whiten: float | None = None,
    measures: Sequence[str] | None = None,
    n_anchors: int = 300,
    n_samples: int | None = 5000,
    n_permutations: int = 100,
    n_bootstrap: int = 100,
    random_state: Any = 0,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Compare two spaces of the same items by every measure in :data:`MEASURES`.

    Each value comes with what it is by chance (Y's rows permuted, the anchors
    kept) and with a 95 % interval (ordinary bootstrap of the measures that are a
    mean over rows, halves without replacement for the others). The intervals are of
    the rows; they do not cover another choice of anchors. Works on a random sample
    of rows, never on an n × n matrix of all; about 10 s at 5,000 × 384 on two cores.
    With more than 256 principal axes the repeats of CKA, SVCCA, PWCCA and
    Procrustes are fewer (at least 40), as each result says.

    Parameters
    ----------
    X, Y : array (n_rows, n_features_x), array (n_rows, n_features_y)
        Absolute representations; row i of both is the same item.
    anchors : None, row numbers, or a pair of arrays
        Row numbers are anchors in both. A pair ``(anchors of X, anchors of Y)`` gives
        parallel anchors from elsewhere. None draws ``n_anchors`` rows uniformly. Anchor
        rows are left out of the compared rows if enough rows remain.
    k : int
        Neighbours to look at.
    similarity, center, whiten
        Of the relative projection, see :func:`relatum.relative_projection`.
    measures : list of str, optional
        Names in :data:`MEASURES`; None is all.
    n_anchors : int
        Where ``anchors`` is None; at most half of the rows are drawn.
    n_samples : int or None
        Rows to compare, drawn uniformly; None is all. The measures that look at
        every pair of rows (RBF CKA, RSA) take 1,000 of them.
    n_permutations, n_bootstrap : int
        0 leaves the null or the interval out.
    random_state : int, Generator, RandomState or None
    progress : function of str, optional
        Called with what is being computed.

    Returns
    -------
    Comparison
        ``results[name]`` with value, interval, null and p-value; ``print`` it.

    Raises
    ------
    TypeError, ValueError
        Rows that do not match, too few of them, NaN, infinity, rows that are all the
        same, a ``k`` that the rows cannot give, an unknown measure, anchors in another
        form, and all that :func:`relatum.relative_projection` refuses. Warns of
        anchors that do not look parallel.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(200, 8))
    >>> Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))
    >>> found = relatum.compare(X, X @ Q, anchors=range(20))
    >>> found["mean_reciprocal_rank"].value, found["mean_reciprocal_rank"].p_value < 0.05
    (1.0, True)
    """
    X, Y = _validation.check_pair(X, Y)
    names = _names(measures)
    for value, name in ((n_permutations, "n_permutations"), (n_bootstrap, "n_bootstrap")):
        _validation.check_integer(value, name, minimum=0)
    rng = _validation.random_generator(random_state)
    chosen = choose(X, Y, anchors, n_anchors=n_anchors, n_samples=n_samples, k=k, rng=rng)
    say = progress or (lambda _: None)
    say(f"{len(chosen.x)} of {X.shape[0]} rows, {len(chosen.anchors_x)} anchors")
    notes = chosen.notes + parallel_warning(chosen)
    R, S = (
        relative_projection(rows, a, similarity=similarity, center=center, whiten=whiten)
        for rows, a in ((chosen.x, chosen.anchors_x), (chosen.y, chosen.anchors_y))
    )
    repeats = partial(Repeats, n_permutations=n_permutations, n_bootstrap=n_bootstrap)
    draws: dict[str, Draws] = {}
    shared = groups(chosen.x, chosen.y, R, S, k, repeats, rng, MAX_PAIR_ROWS)
    for label, (group, function) in shared.items():
        if not group.isdisjoint(names):
            say(label)
            draws.update(function())
    results = {name: _result(name, draws[name]) for name in names}
    notes += _without_interval(results, n_bootstrap)
    for note in notes:
        _validation.warn(note, stacklevel=3)
    settings = {
        **_described(chosen),
        "n_rows_given": X.shape[0],
        "similarity": " + ".join(spec_name(s) for s in as_specs(similarity)),
        "center": bool(center),
        "whiten": whiten,
        "k": k,
        "n_permutations": n_permutations,
        "n_bootstrap": n_bootstrap,
    }
    return Comparison(results, settings, notes)


def _names(measures: Sequence[str] | None) -> list[str]:
    if measures is None:
        return list(MEASURES)
    if isinstance(measures, str):
        measures = [measures]
    if not measures:
        raise ValueError("measures is empty; expected at least one name")
    wanted = {_validation.check_choice(m, "measures", MEASURES) for m in measures}
    return [name for name in MEASURES if name in wanted]


def _without_interval(results: dict[str, Result], n_bootstrap: int) -> list[str]:
    names = [name for name, r in results.items() if n_bootstrap and r.interval is None]
    if not names:
        return []
    return [
        f"no interval for {', '.join(names)}: half of the rows do not span the spaces' principal "
        "axes; compare more rows"
    ]


def _described(chosen: Chosen) -> dict[str, Any]:
    return {
        "n_rows": len(chosen.x),
        "n_rows_pairs": min(len(chosen.x), MAX_PAIR_ROWS),
        "n_features": [chosen.x.shape[1], chosen.y.shape[1]],
        "n_anchors": len(chosen.anchors_x),
        "anchors": chosen.origin,
        "anchors_held_out": chosen.held_out,
    }


def _result(name: str, draws: Draws) -> Result:
    """Hold a value against its null and its spread."""
    measure, value, null, spread = MEASURES[name], draws.value, draws.null, draws.spread
    low, high = measure.range
    interval = null_mean = null_bound = p_value = calibrated = None
    if len(spread) and np.isfinite(spread).all():
        ends = np.clip(value + np.quantile(spread, (0.025, 0.975)), low, high)
        interval = float(ends[0]), float(ends[1])
    if len(null):
        null_mean = float(null.mean())
        null_bound = float(np.quantile(null, 0.95 if measure.higher_is_closer else 0.05))
        closer = null >= value if measure.higher_is_closer else null <= value
        p_value = float((1 + np.count_nonzero(closer)) / (1 + len(null)))
        if abs(measure.best - null_mean) > 1e-9:
            calibrated = (value - null_mean) / (measure.best - null_mean)
    return Result(
        name=name,
        value=value,
        higher_is_closer=measure.higher_is_closer,
        range=measure.range,
        on=measure.on,
        interval=interval,
        null_mean=null_mean,
        null_bound=null_bound,
        p_value=p_value,
        calibrated=calibrated,
        n_rows=draws.n_rows,
        n_permutations=len(null),
        n_resamples=0 if interval is None else len(spread),
    )
