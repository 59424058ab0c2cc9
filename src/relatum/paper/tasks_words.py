"""Two word spaces held against each other: Table 1 and Figure 7 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Literal

import numpy as np

import relatum
from relatum._gemm import unit_rows
from relatum._picture import plane
from relatum.alignment import pairwise_score
from relatum.neighborhoods import jaccards, reciprocal_ranks, retrieval_scores
from relatum.neighbors import nearest
from relatum.paper.data_words import SPACES, SharedWords, shared_vocabulary
from relatum.paper.experiment import Row
from relatum.paper.runner import Run
from relatum.retrieval import search

CHOICES = {"other": SPACES, "word2vec": SPACES}

Projection = Literal["absolute", "cosine", "centred", "whitened"]
NOT_QUANTISED: tuple[Projection, ...] = ("absolute", "cosine", "centred")
OTHER, WORD2VEC = "the other", "Word2Vec"


def retrieve(
    run: Run,
    *,
    other: str,
    word2vec: str,
    projections: list[Projection],
    searched: Literal["all words", "held-out words"],
    n_anchors: int,
    n_held_out: int,
    n_words: int,
    max_words: int,
    skip: int,
    shortest: int,
    k: int,
    neighborhood: int,
    whiten: float,
    seed: int,
) -> list[Row]:
    """Ask each space for the words of the other: Table 1, with and without CSLS.

    Rows have ``jaccard`` and ``mrr`` in [0, 1] (cross-query, as in
    :func:`relatum.retrieval_jaccard`) for each projection and ``direction``, the same
    space as source and target included. With CSLS the words that a source vector
    finds are ordered by it; what they are held against stays the target's own.
    """
    words = _vocabulary(run, other, word2vec, n_words, max_words, skip, shortest)
    anchors, held_out = _draw(len(words.words), n_anchors, n_held_out, seed)
    rows = np.arange(len(words.words)) if searched == "all words" else held_out
    spaces = {OTHER: words.first, WORD2VEC: words.second}
    found: list[Row] = []
    for i, projection in enumerate(projections):
        run.step(f"{projection}, {n_anchors} anchors, {len(rows)} words")
        run.advance(i, len(projections))
        pair = represent(list(spaces.values()), rows, anchors, projection, whiten)
        about: Row = {"projection": projection, "n_words": len(rows)}
        about["whiten"] = whiten if projection == "whitened" else None
        scores = _both_ways(dict(zip(spaces, pair, strict=True)), k, neighborhood)
        found += [about | row for row in scores]
    names = {OTHER: other, WORD2VEC: word2vec}
    return [row | {"source": names[row["source"]], "target": names[row["target"]]} for row in found]


def represent(
    spaces: Sequence[np.ndarray],
    rows: np.ndarray,
    anchors: np.ndarray,
    projection: Projection,
    whiten: float,
) -> list[np.ndarray]:
    """Return ``rows`` of parallel spaces in one width: relative, or padded with zeros.

    Zeros change no distance and no cosine within the narrower space, so that absolute
    representations of unequal widths can be asked for each other's rows, as those of
    equal widths can.
    """
    if projection == "absolute":
        width = max(space.shape[1] for space in spaces)
        return [np.pad(s[rows], ((0, 0), (0, width - s.shape[1]))) for s in spaces]
    settings: dict[str, Any] = {"center": projection != "cosine"}
    settings["whiten"] = whiten if projection == "whitened" else None
    return [
        np.asarray(relatum.relative_projection(s[rows], s[anchors], **settings)) for s in spaces
    ]


def _both_ways(pair: dict[str, np.ndarray], k: int, neighborhood: int) -> list[Row]:
    deep = max(k, neighborhood)
    own = {name: nearest(X, X, k)[1] for name, X in pair.items()}
    rows = [_scored(own, own[name], name, name, csls=False) for name in pair]
    ways = ((OTHER, WORD2VEC), (WORD2VEC, OTHER))
    cross = {(s, t): nearest(pair[s], pair[t], deep) for s, t in ways}
    for s, t in ways:
        rows.append(_scored(own, cross[s, t][1][:, :k], s, t, csls=False))
        density = cross[t, s][0][:, :neighborhood].mean(axis=1)
        _, found = search(pair[s], pair[t], k, penalty=density / 2)  # CSLS
        rows.append(_scored(own, found, s, t, csls=True))
    return rows


def _scored(
    own: dict[str, np.ndarray], found: np.ndarray, source: str, target: str, *, csls: bool
) -> Row:
    return {
        "source": source,
        "target": target,
        "direction": f"{source} to {'itself' if source == target else target}",
        "csls": csls,
        "jaccard": float(jaccards(own[target], found).mean()),
        "mrr": float(reciprocal_ranks(found).mean()),
    }


def quantise(
    run: Run,
    *,
    other: str,
    word2vec: str,
    subset: Literal["pivots", "random words"],
    pivots: list[str],
    n_neighbors: int,
    n_random: int,
    thresholds: list[float],
    pictured: list[float],
    n_anchors: int,
    max_words: int,
    shortest: int,
    k: int,
    seed: int,
) -> list[Row]:
    """Quantise both spaces at each threshold, and hold their representations against each other.

    Rows have Figure 7's ``score`` (mean Euclidean distance of a word's two
    representations; lower is closer), ``cosine_score`` (the same in cosine distance,
    in [0, 2]), and what is left to tell words apart by: ``clusters`` in each space, and
    the ``mrr`` (mean of both directions) of :func:`retrieve`. Without thresholds only
    absolute and relative representations (the paper's, and centred) are compared. Seed 0
    of the pivots keeps the planes that pictures draw.
    """
    words = _vocabulary(run, other, word2vec, None, max_words, 0, shortest)
    rows, labels = subset_rows(words, subset, pivots, n_neighbors, n_random, seed)
    anchors = np.random.default_rng([seed, 7]).choice(rows, size=n_anchors, replace=False)
    spaces = [words.first, words.second]
    pairs = {p: represent(spaces, rows, anchors, p, 0) for p in NOT_QUANTISED}
    found: list[Row] = [{"projection": p} | _closeness(pair, k) for p, pair in pairs.items()]
    planes = pairs | {"absolute": [s[rows] for s in spaces]}
    for i, (t, unit_means) in enumerate(product(thresholds, (False, True))):
        run.step(f"quantised at {t:g}")
        run.advance(i, 2 * len(thresholds))
        pair = [_quantised(s[rows], s[anchors], t, unit_means) for s in spaces]
        about = {"projection": "quantised", "threshold": t, "unit_means": unit_means}
        found.append(about | _closeness(pair, k))
        if t in pictured and not unit_means:
            planes[f"quantised-{t:g}"] = pair
    if seed == 0 and subset == "pivots":
        keep_planes(run, planes, labels)
    return [{"n_words": len(rows)} | row for row in found]


def _quantised(X: np.ndarray, anchors: np.ndarray, t: float, unit_means: bool) -> np.ndarray:
    spec = ("quantised", {"threshold": t, "unit_means": unit_means})
    return np.asarray(relatum.relative_projection(X, anchors, similarity=spec))


def _closeness(pair: Sequence[np.ndarray], k: int) -> Row:
    there, back = retrieval_scores(*pair, k=k), retrieval_scores(*pair[::-1], k=k)
    return {
        "score": pairwise_score(*pair),
        "cosine_score": pairwise_score(*pair, metric="cosine"),
        "mrr": (there.mrr + back.mrr) / 2,
        "jaccard": (there.jaccard + back.jaccard) / 2,
        "clusters": float(np.mean([len(np.unique(R, axis=0)) for R in pair])),
    }


def subset_rows(
    words: SharedWords,
    subset: str,
    pivots: Sequence[str],
    n_neighbors: int,
    n_random: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of words and the number of the pivot that each belongs to (0 without).

    ``pivots``: each pivot with its nearest words in the first space; a word near two
    pivots goes to the first of them, so that no word is drawn twice.
    """
    if subset == "random words":
        rows = np.random.default_rng([seed, 3]).choice(len(words.words), n_random, replace=False)
        return rows, np.zeros(len(rows), dtype=np.int64)
    place = {word: row for row, word in enumerate(words.words)}
    absent = [p for p in pivots if p not in place]
    if absent:
        raise ValueError(f"pivots has words that the two spaces do not share: {', '.join(absent)}")
    asked = words.first[[place[p] for p in pivots]]
    near = nearest(asked, words.first, n_neighbors + 1)[1]  # the pivot itself comes first
    owner: dict[int, int] = {}
    for number, row in enumerate(near):
        for word in row.tolist():
            owner.setdefault(word, number)
    return np.array(list(owner)), np.array(list(owner.values()), dtype=np.int64)


def keep_planes(run: Run, pairs: dict[str, list[np.ndarray]], labels: np.ndarray) -> None:
    """Keep two principal components of each pair of representations.

    Absolute spaces have components of their own. Relative ones are taken at unit norm,
    which is what a cosine sees, and both by the same components: what lies in one place
    has one representation.
    """
    for kind, pair in pairs.items():
        if kind == "absolute":
            planes = [plane(X)[0] for X in pair]
        else:
            planes = plane(*(unit_rows(R) for R in pair))
        for name, points in zip(("other", "word2vec"), planes, strict=True):
            run.keep(f"{kind}-{name}", points=points.astype(np.float32), labels=labels)


def _vocabulary(
    run: Run,
    other: str,
    word2vec: str,
    n_words: int | None,
    max_words: int,
    skip: int,
    shortest: int,
) -> SharedWords:
    return shared_vocabulary(
        run,
        other,
        word2vec,
        skip=skip,
        shortest=shortest,
        limit=n_words or max_words,
        max_words=max_words,
    )


def _draw(n: int, n_anchors: int, n_held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw anchors and held-out words at random, none of them twice."""
    order = np.random.default_rng([seed, 1]).permutation(n)
    if n_anchors >= n:
        raise ValueError(f"n_anchors is {n_anchors}; expected fewer than the {n} shared words")
    return order[:n_anchors], order[n_anchors : n_anchors + n_held_out]
