"""Items found again in another encoder's space: by every method, and from every kind of anchors."""

from __future__ import annotations

import itertools
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from relatum import RelatumWarning, _validation
from relatum.anchors import METHODS as SELECTIONS
from relatum.anchors import select_anchors
from relatum.common_space import CommonSpace
from relatum.growing import grow_anchors
from relatum.paper.data_items import ITEMS, item_spaces
from relatum.paper.data_text import DATASETS, load_texts, subsample
from relatum.paper.encoders_text import encode
from relatum.paper.experiment import Row
from relatum.paper.runner import Run
from relatum.projection import relative_projection
from relatum.quality import predict_quality
from relatum.retrieval import hubness_penalty
from relatum.translation import METHODS, Translation
from relatum.translation_scores import RetrievalQuality, retrieval_quality

SPACES: dict[str, dict[str, Any]] = {
    "relative space": {},
    "relative space, centred": {"center": True},
    "relative space, whitened": {"center": True, "whiten": 1.0},
    "relative space, kernel": {
        "similarity": ("polynomial", {"degree": 2}), "center": True, "whiten": 0.1,
    },
}  # fmt: skip
"""Settings of :func:`relatum.relative_projection`, both sides onto their own anchors."""
AUTO = "auto"
COMMON = "common space"
TRANSPORT = "common space, transport"
"""With other rows of both encoders, which are matched softly."""
BACKGROUND = ", background"
"""Ends the name of a method that is given other rows of both encoders beside the anchors."""
CHOICES = {
    "dataset": {**ITEMS, **DATASETS},
    "methods": [
        AUTO,
        COMMON,
        TRANSPORT,
        *METHODS,
        *SPACES,
        *(m + BACKGROUND for m in (AUTO, COMMON, *METHODS)),
    ],
    "anchor_method": SELECTIONS,
}
K = 10
Known = tuple[np.ndarray, np.ndarray] | None
"""Other rows of the source's and of the target's encoder."""


def translate_items(
    run: Run,
    *,
    dataset: str,
    encoders: list[str],
    same_coordinates: list[str],
    methods: list[str],
    n_anchors: int,
    anchor_method: str,
    n_test: int,
    predict: bool,
    seed: int,
) -> list[Row]:
    """Find held-out items among themselves, from each encoder in each other one's space.

    Parameters
    ----------
    same_coordinates : list of str
        Encoders that share coordinates: rows of pairs of these are marked ``shared``.
    methods : list of str
        Translations, relative spaces, and ``common space``
        (:class:`relatum.common_space.CommonSpace`); ``auto`` chooses a translation. With
        ``, background`` it is given half of the items that are not held out in each
        encoder, none of them in both; with ``, transport`` these are matched softly as
        well.
    n_test : int
        Items that are held out, drawn first; anchors are drawn from the others.
    predict : bool
        For ``auto``, also what its anchors alone say of its quality.

    Returns
    -------
    list of Row
        ``recall_1``, ``recall_10``, ``overlap_10``; the same with the inverted softmax
        (``_softmax``), R@1 with CSLS (``_csls``), ``fit_seconds``; for ``auto`` the
        ``chosen`` method, and predicted value and interval of each quality.
    """
    spaces = item_spaces(run, dataset, encoders)
    pool, test = _split(len(next(iter(spaces.values()))), n_test, seed)
    rows: list[Row] = []
    for source, target, about in ordered_pairs(run, encoders, same_coordinates):
        X, Y = spaces[source], spaces[target]
        chosen = pool[_select(X[pool], n_anchors, anchor_method, seed)]
        for method in methods:
            given = method == TRANSPORT or method.endswith(BACKGROUND)
            known = (X[pool[::2]], Y[pool[1::2]]) if given else None
            found = _measured(method, X[chosen], Y[chosen], X[test], Y[test], predict, known)
            rows.append(about | {"method": method} | found)
    return rows


def translate_heads(
    run: Run,
    *,
    dataset: str,
    encoders: list[str],
    same_coordinates: list[str],
    methods: list[str],
    n_anchors: int,
    n_train: int,
    n_test: int,
    seed: int,
) -> list[Row]:
    """Run a head of the target's encoder on rows of every other one, translated or relative.

    The head is logistic regression, trained on the target's rows as it sees them: its own,
    or in the relative space. Anchors are training texts outside of those that heads are
    trained on. Rows: ``accuracy``, ``native`` (the head on its own encoder, absolute) and
    ``retention``, the one over the other.
    """
    texts = load_texts(run, dataset)
    train, test = subsample(texts.train, 0, 1), subsample(texts.test, n_test, 3)
    order = np.random.default_rng([seed, zlib.crc32(b"heads")]).permutation(len(train))
    anchors, kept = order[:n_anchors], np.sort(order[n_anchors : n_anchors + n_train])
    X = {name: encode(run, name, train.texts) for name in encoders}
    Z = {name: encode(run, name, test.texts) for name in encoders}
    y, y_test = np.asarray(train.labels)[kept], np.asarray(test.labels)
    heads = {name: fitted_head(X[name][kept], y) for name in encoders}
    native = {name: float(heads[name].score(Z[name], y_test)) for name in encoders}
    rows: list[Row] = []
    for source, target, about in ordered_pairs(run, encoders, same_coordinates):
        A, B = X[source][anchors], X[target][anchors]
        for method in methods:
            if method in SPACES:
                P, T = _relative_rows(method, (A, B), (Z[source], X[target][kept]))
                score = fitted_head(T, y).score(P, y_test)
            else:
                known = None
                if method.endswith(BACKGROUND):
                    known = X[source][kept[::2]], X[target][kept[1::2]]
                rows_there = _fitted(method, A, B, known).transform(Z[source])
                score = heads[target].score(np.asarray(rows_there), y_test)
            rows.append(
                about
                | {
                    "method": method,
                    "accuracy": rounded(score),
                    "native": rounded(native[target]),
                    "retention": rounded(score / native[target]),
                }
            )
    return rows


def fitted_head(X: np.ndarray, y: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler(with_mean=True, with_std=False)
    length = float(np.sqrt(np.mean(np.sum((X - X.mean(axis=0)) ** 2, axis=1))))
    # the same strength of regularisation in every space
    return make_pipeline(scale, LogisticRegression(C=10 / length**2, max_iter=300)).fit(X, y)


def _relative_rows(
    method: str, anchors: tuple[np.ndarray, np.ndarray], rows: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    P, T = (
        np.asarray(relative_projection(M, a, **SPACES[method]))
        for M, a in zip(rows, anchors, strict=True)
    )
    return P, T


def _fitted(method: str, A: np.ndarray, B: np.ndarray, known: Known) -> Translation:
    """Fit a translation by the name that it has in an experiment."""
    name = method.removesuffix(BACKGROUND)
    x, y = known or (None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RelatumWarning)  # of what is left as it is
        translation = Translation(name, robust=name == AUTO)
        return translation.fit(A, B, X_background=x, y_background=y)


def grow_items(
    run: Run,
    *,
    dataset: str,
    encoders: list[str],
    same_coordinates: list[str],
    n_seeds: int,
    n_items: int,
    matched: float,
    seed: int,
) -> list[Row]:
    """Grow anchors from a few seeds and the items of both sides, not known to be the same.

    ``matched`` is the share of each side's ``n_items`` that have a counterpart. Rows:
    ``found`` (1 or 0), ``n_pairs``, ``right`` (share of the pairs), and R@1, R@10 and overlap of
    the items that have a counterpart, in the kernel space of seeds and pairs (of the
    seeds alone where nothing was found), corrected; ``growing_seconds``.
    """
    spaces = item_spaces(run, dataset, encoders)
    both = int(matched * n_items)
    order = np.random.default_rng([seed, zlib.crc32(b"grow")]).permutation(
        len(next(iter(spaces.values())))
    )
    _validation.check_integer(
        n_items, "n_items", maximum=(len(order) - n_seeds + both) // 2, maximum_is="items there are"
    )
    seeds, shared = order[:n_seeds], order[n_seeds : n_seeds + both]
    rest = order[n_seeds + both :]
    sides = [np.concatenate([shared, rest[i::2][: n_items - both]]) for i in (0, 1)]
    rows: list[Row] = []
    for source, target, about in ordered_pairs(run, encoders, same_coordinates):
        X, Y = spaces[source], spaces[target]
        x, y = X[sides[0]], Y[sides[1]]
        started = time.perf_counter()
        grown = grow_anchors(x, y, X[seeds], Y[seeds], random_state=seed)
        seconds = time.perf_counter() - started
        a = np.concatenate([X[seeds], x[grown.pairs[:, 0]]])
        b = np.concatenate([Y[seeds], y[grown.pairs[:, 1]]])
        R, T = _relative_rows("relative space, kernel", (a, b), (x, y))
        penalty = hubness_penalty(T, R)
        right = (grown.pairs[:, 0] == grown.pairs[:, 1]) & (grown.pairs[:, 0] < both)
        rows.append(
            about
            | {
                "found": int(grown.found),
                "n_pairs": len(grown.pairs),
                "right": rounded(np.mean(right)) if len(right) else None,
                "agreement": rounded(grown.agreement),
                "growing_seconds": round(seconds, 1),
                **_fields(retrieval_quality(R[:both], T, K, penalty=penalty, native=y), ""),
            }
        )
    return rows


def ordered_pairs(
    run: Run, encoders: Sequence[str], same_coordinates: Sequence[str]
) -> Iterator[tuple[str, str, Row]]:
    """Ordered pairs of encoders with the fields of their rows; says how many are done."""
    pairs = list(itertools.permutations(encoders, 2))
    for i, (source, target) in enumerate(pairs):
        shared = {source, target} <= set(same_coordinates)
        yield source, target, {"source": source, "target": target, "shared": shared}
        run.advance(i + 1, len(pairs))


def _split(n: int, n_test: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to draw anchors from, and rows held out."""
    order = np.random.default_rng([seed, zlib.crc32(b"items")]).permutation(n)
    _validation.check_integer(n_test, "n_test", maximum=n - 3, maximum_is="items there are, less 3")
    return order[n_test:], order[:n_test]


def _select(X: np.ndarray, n: int, method: str, seed: int) -> np.ndarray:
    if method == "uniform":
        return np.arange(n)  # the rows are in random order
    return np.asarray(select_anchors(X, n, method=method, random_state=seed))


def _measured(
    method: str,
    A: np.ndarray,
    B: np.ndarray,
    X: np.ndarray,
    Y: np.ndarray,
    predict: bool,
    known: Known,
) -> Row:
    row: Row = {}
    started = time.perf_counter()
    if method in SPACES:
        P, T = _relative_rows(method, (A, B), (X, Y))
    elif method.startswith(COMMON):
        x, y = known or (None, None)
        space = CommonSpace() if method == TRANSPORT else CommonSpace("spectral", weight=2 / 3)
        space.fit(A, B, X_background=x, y_background=y)
        row["fit_seconds"] = round(time.perf_counter() - started, 3)
        P, T = space.transform(X), space.transform_target(Y)
    else:
        fitted = _fitted(method, A, B, known)
        row["fit_seconds"] = round(time.perf_counter() - started, 3)
        P, T = np.asarray(fitted.transform(X)), Y
        if method.startswith(AUTO):
            row["chosen"] = fitted.method_
            if predict:
                row |= dict(_predicted(fitted, A, B, Y))
    plain = retrieval_quality(P, T, K, native=Y)
    soft = retrieval_quality(P, T, K, native=Y, penalty=hubness_penalty(T, P))
    csls = retrieval_quality(P, T, K, native=Y, penalty=hubness_penalty(T, P, correction="csls"))
    row |= _fields(plain, "") | _fields(soft, "_softmax")
    row["recall_1_csls"] = rounded(csls.recall_1)
    for name in ("recall_1", "recall_10", "overlap_10"):
        if f"{name}_low" in row:
            row[f"{name}_inside"] = int(row[f"{name}_low"] <= row[name] <= row[f"{name}_high"])
    return row


def _fields(quality: RetrievalQuality, suffix: str) -> Row:
    return {
        f"recall_1{suffix}": rounded(quality.recall_1),
        f"recall_10{suffix}": rounded(quality.recall_k),
        f"overlap_10{suffix}": rounded(quality.overlap_k),
    }


def _predicted(
    fitted: Translation, A: np.ndarray, B: np.ndarray, index: np.ndarray
) -> Iterator[tuple[str, float]]:
    if len(A) < 20:
        return
    found = predict_quality(fitted, A, B, index, k=K)
    for name, estimate in (("recall_1", found.recall_1), ("recall_10", found.recall_k),
                           ("overlap_10", found.overlap_k)):  # fmt: skip
        if estimate is not None:
            yield f"{name}_predicted", rounded(estimate.value)
            yield f"{name}_low", rounded(estimate.low)
            yield f"{name}_high", rounded(estimate.high)


def rounded(value: Any) -> float:
    return round(float(value), 4)
