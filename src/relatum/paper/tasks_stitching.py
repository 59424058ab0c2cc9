"""Heads trained on one encoder and run on every other: Tables 4, 5, 6, 13, 14, 15 and 16."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from relatum import _validation
from relatum.anchors import METHODS, select_anchors
from relatum.paper.experiment import Row, find
from relatum.paper.heads import HEADS, normalisations, predict, train_head
from relatum.paper.runner import Run
from relatum.paper.scores import f1_percent
from relatum.paper.stitching_data import Encoded, Material
from relatum.projection import relative_projection

SOURCES = {
    "texts": "relatum.paper.encoders_text:text_material",
    "lsa": "relatum.paper.encoders_languages:lsa_material",
    "lsa-shares": "relatum.paper.encoders_languages:lsa_shares_material",
    "word-vectors": "relatum.paper.encoders_languages:word_material",
    "multilingual": "relatum.paper.encoders_languages:use_material",
    "hub-languages": "relatum.paper.encoders_languages:hub_material",
    "hub-xlm-r": "relatum.paper.encoders_languages:hub_xlm_material",
    "images": "relatum.paper.encoders_images:image_material",
}
"""Who encodes: functions ``(run, *, dataset, encoders, n_train, n_test, seed) -> Material``."""

PROJECTIONS: dict[str, dict[str, Any] | None] = {
    "absolute": None,
    "cosine": {},
    "centred": {"center": True},
    "whitened": {"center": True},  # and λ
}
"""Settings of :func:`relatum.relative_projection`; None: the encoder's own space."""

CHOICES = {
    "source": SOURCES,
    "heads": HEADS,
    "projections": PROJECTIONS,
    "anchor_method": METHODS,
}


def stitch_heads(
    run: Run,
    *,
    source: str,
    dataset: str,
    seed: int,
    encoders: list[str],
    heads: list[str],
    projections: list[str],
    anchors: list[str],
    n_anchors: int,
    anchor_method: str,
    whiten: list[float],
    epochs: int,
    learning_rate: float,
    batch_size: int,
    hidden: int,
    n_train: int,
    n_test: int,
) -> list[Row]:
    """Train a head on each encoder, and score it on the test set of every encoder.

    Parameters
    ----------
    source : str
        Who encodes, of :data:`SOURCES`.
    anchors : list of str
        Pools to draw anchors from; every projection but ``absolute`` is run with each.
    whiten : list of float
        λ of ``whitened``; of several, the one whose ridge heads stitch best on the
        validation set (never the test set), for each cell and pool.
    n_train, n_test : int
        Samples kept of the training and test sets; 0 keeps all.

    Returns
    -------
    list of Row
        A row for each decoder, encoder, projection, pool, head and normalisation: ``f1``
        (weighted) in percent, ``mae`` of ordered classes. No row where a
        head does not fit an encoder's absolute width.
    """
    material: Material = find(SOURCES[source])(
        run, dataset=dataset, encoders=encoders, n_train=n_train, n_test=n_test, seed=seed
    )
    training = {
        "epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size,
        "hidden": hidden, "seed": seed, "n_classes": material.n_classes,
    }  # fmt: skip
    spaces = _spaces(material, projections, anchors, n_anchors, anchor_method, whiten, seed)
    rows: list[Row] = []
    n_spaces = len(anchors) * len([p for p in projections if p != "absolute"])
    total = len(heads) * len(encoders) * (n_spaces + ("absolute" in projections))
    for about, represented in spaces:
        for kind in heads:
            for decoder in represented:
                found = _one_head(represented, decoder, kind, training, material.ordered)
                rows += [about | row for row in found]
                run.advance(len({_head_of(row) for row in rows}), total)
    return rows


def draw_anchors(material: Material, pool: str, n: int, method: str, seed: int) -> np.ndarray:
    """Row numbers of the anchors in their pool: the same items for every encoder."""
    first = next(iter(material.encoders.values())).pools
    _validation.check_choice(pool, "anchors", first)
    labels = material.pool_labels.get(pool) if method == "stratified" else None
    if method == "stratified" and labels is None:
        method = "uniform"  # a pool from outside the data has no classes to be even over
    rng = np.random.default_rng([seed, zlib.crc32(pool.encode())])
    return np.asarray(
        select_anchors(first[pool], n, method=method, labels=labels, random_state=rng)
    )


def project(encoded: Encoded, anchors: np.ndarray | None, settings: Mapping[str, Any]) -> Encoded:
    """Return the same data in the relative space of those anchors; None leaves it absolute."""
    if anchors is None:
        return encoded
    parts = {
        name: None if X is None else np.asarray(relative_projection(X, anchors, **settings))
        for name, X in (
            ("train", encoded.train),
            ("test", encoded.test),
            ("validation", encoded.validation),
        )
    }
    labels = {"y_train": encoded.y_train, "y_test": encoded.y_test}
    return Encoded(**parts, **labels, y_validation=encoded.y_validation, pools={})  # type: ignore[arg-type]


def choose_whiten(
    encoders: Mapping[str, Encoded], anchors: Mapping[str, np.ndarray], candidates: Sequence[float]
) -> float:
    """Return the λ with the best mean weighted F1 of stitched ridge heads on validation."""
    if len(candidates) == 1:
        return float(candidates[0])
    scores = []
    for value in candidates:
        settings = {"center": True, "whiten": value}
        spaces = {name: project(e, anchors[name], settings) for name, e in encoders.items()}
        scores.append(np.mean(list(_ridge_scores(spaces))))
    return float(candidates[int(np.argmax(scores))])


def _ridge_scores(spaces: Mapping[str, Encoded]) -> Iterator[float]:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.metrics import f1_score

    for decoder, own in spaces.items():
        penalty = float(own.train.var(axis=0).sum())
        head = RidgeClassifier(alpha=penalty).fit(own.train, own.y_train)
        for encoder, other in spaces.items():
            if other.validation is None:
                raise ValueError(
                    "whiten has several values and the data no validation set to choose with"
                )
            if encoder != decoder:
                predicted = head.predict(other.validation)
                yield float(f1_score(other.y_validation, predicted, average="weighted"))


def _spaces(
    material: Material,
    projections: Sequence[str],
    pools: Sequence[str],
    n_anchors: int,
    method: str,
    whiten: Sequence[float],
    seed: int,
) -> Iterator[tuple[Row, dict[str, Encoded]]]:
    """Every space that heads are trained in, with the fields of its rows."""
    if "absolute" in projections:
        yield {"projection": "absolute", "anchors": "none"}, dict(material.encoders)
    for pool in pools:
        items = draw_anchors(material, pool, n_anchors, method, seed)
        anchors = {name: e.pools[pool][items] for name, e in material.encoders.items()}
        for projection in projections:
            settings = PROJECTIONS[projection]
            if settings is None:
                continue
            about: Row = {"projection": projection, "anchors": pool}
            if projection == "whitened":
                settings = settings | {"whiten": choose_whiten(material.encoders, anchors, whiten)}
                about["whiten"] = settings["whiten"]
            yield (
                about,
                {
                    name: project(e, anchors[name], settings)
                    for name, e in material.encoders.items()
                },
            )


def _one_head(
    spaces: Mapping[str, Encoded], decoder: str, kind: str, training: Row, ordered: bool
) -> Iterator[Row]:
    """Train the decoder's head on its own encoder, and score it on each that it fits."""
    own = spaces[decoder]
    head = train_head(own.train, own.y_train, kind=kind, **training)
    for encoder, other in spaces.items():
        if other.width != own.width:
            continue
        for normalisation in normalisations(head):
            predicted = predict(head, other.test, normalisation=normalisation)
            yield {
                "decoder": decoder,
                "encoder": encoder,
                "stitched": encoder != decoder,
                "head": kind,
                "normalisation": normalisation,
                **scores(other.y_test, predicted, ordered),
            }


def scores(truth: np.ndarray, predicted: np.ndarray, ordered: bool) -> Row:
    """Weighted F1 in percent; the mean absolute error of ordered classes."""
    found: Row = {"f1": f1_percent(truth, predicted)}
    if ordered:
        found["mae"] = round(float(np.abs(truth - predicted).mean()), 4)
    return found


def _head_of(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("projection", "anchors", "head", "decoder"))
