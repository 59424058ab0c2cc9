"""A hub: many encoders translated into one space, and any into any other through it.

The hub's space is the consensus of the encoders on the items that they have embedded;
no item has to be in all of them. Each encoder has one translation into the hub and
back, so that adding an encoder fits one and leaves the others as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from relatum import _array, _validation
from relatum._array import Array
from relatum._linear_maps import orthogonal
from relatum.translation import Translation

__all__ = ["Hub", "consensus"]

ROUNDS = 100
TOLERANCE = 1e-6
LEAST = 4
"""Items that an encoder must share with the hub."""


@dataclass(frozen=True)
class _Space:
    """One encoder's rows: at mean 0 and mean square 1, and the number of each row's item."""

    name: str
    X: np.ndarray
    items: np.ndarray


def consensus(
    spaces: Mapping[str, Array], items: Mapping[str, np.ndarray], n_items: int, n_features: int
) -> np.ndarray:
    """Return what several spaces agree on: one row for each item, (n_items, n_features).

    Generalised Procrustes analysis with rows missing: every space is turned, scaled and
    moved onto the mean of all that have the item, and the mean is taken anew, until it
    rests. The result has mean 0 and mean square 1.

    Parameters
    ----------
    spaces : mapping of str to array (n_m, d_m)
    items : mapping of str to int array (n_m,)
        The item of each row, 0 to ``n_items - 1``.
    n_items, n_features : int

    Raises
    ------
    ValueError
        A space that shares fewer than 4 items with those before it, however they are
        ordered.

    References
    ----------
    Gower, *Generalized Procrustes analysis*, Psychometrika 1975.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.hub import consensus
    >>> X = np.random.default_rng(0).normal(size=(20, 4))
    >>> rows = np.arange(20)
    >>> consensus({"a": X, "b": X[:, ::-1]}, {"a": rows, "b": rows}, 20, 4).shape
    (20, 4)
    """
    found = [_standard(name, X, items[name]) for name, X in spaces.items()]
    H = _first_guess(found, n_items, n_features)
    for _ in range(ROUNDS):
        total, count = np.zeros_like(H), np.zeros(n_items)
        for space in found:
            every = np.ones(len(space.items), dtype=bool)
            total[space.items] += _onto(space, H, every)
            count[space.items] += 1
        new = total / np.maximum(count, 1)[:, None]
        new -= new.mean(axis=0)
        new /= np.sqrt(np.mean(np.sum(new**2, axis=1)))
        moved = float(np.linalg.norm(new - H) / max(np.linalg.norm(new), np.finfo(float).tiny))
        H = new
        if moved < TOLERANCE:
            break
    return H


def _standard(name: str, X: Array, items: np.ndarray) -> _Space:
    values = _array.to_numpy(_validation.as_matrix(X, name, finite=True)).astype(np.float64)
    values = values - values.mean(axis=0)
    size = float(np.sqrt(np.mean(np.sum(values**2, axis=1))))
    if size == 0:
        raise ValueError(f"{name} has {len(values)} rows that are all the same")
    return _Space(name, values / size, np.asarray(items))


def _onto(space: _Space, H: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """Return a space's rows turned, scaled and moved onto H, as its ``shared`` rows say."""
    target, X = H[space.items[shared]], space.X[shared]
    mean_x, mean_h = X.mean(axis=0), target.mean(axis=0)
    turn = orthogonal(X - mean_x, target - mean_h)
    turned = (X - mean_x) @ turn
    size = float(np.sum(turned**2))
    scale = float(np.sum(turned * (target - mean_h))) / size if size else 1.0
    return np.asarray(scale * (space.X - mean_x) @ turn + mean_h)


def _first_guess(spaces: list[_Space], n_items: int, n_features: int) -> np.ndarray:
    """Turn one space after another onto those before, the one that shares most next."""
    left = sorted(spaces, key=lambda s: len(s.items), reverse=True)
    first = left.pop(0)
    H, known = np.zeros((n_items, n_features)), np.zeros(n_items, dtype=bool)
    axes = np.linalg.svd(first.X, full_matrices=False)[2][:n_features]
    H[first.items, : len(axes)] = first.X @ axes.T
    known[first.items] = True
    while left:
        space = max(left, key=lambda s: int(known[s.items].sum()))
        left.remove(space)
        shared = known[space.items]
        if shared.sum() < LEAST:
            raise ValueError(
                f"{space.name} shares {int(shared.sum())} items with the other encoders; expected "
                f"at least {LEAST}"
            )
        H[space.items[~shared]] = _onto(space, H, shared)[~shared]
        known[space.items] = True
    return H


class Hub:
    """Translate between any two of many encoders through one space.

    Parameters
    ----------
    n_features : int or None
        Width of the hub's space; None is that of the widest encoder, or one less than
        the items where those are fewer.
    method : str
        How each encoder is translated into the hub and back; see
        :class:`relatum.Translation`.
    random_state : int

    Attributes
    ----------
    translations_ : dict of str to Translation
        From each encoder into the hub; ``inverse_transform`` leads back.
    ids_ : list
        The items that the hub knows.
    consensus_ : array (n_items, n_features)

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.hub import Hub
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(90, 6))
    >>> turn = lambda: np.linalg.qr(rng.normal(size=(6, 6)))[0]
    >>> a, b, c = Z @ turn(), Z @ turn(), Z @ turn()
    >>> rows = np.arange(90)
    >>> hub = Hub(method="scaled_procrustes").fit(  # a and c have no item in common
    ...     {"a": a[:40], "b": b[20:70], "c": c[50:]},
    ...     {"a": rows[:40], "b": rows[20:70], "c": rows[50:]})
    >>> bool(np.allclose(hub.translate(a[:5], "a", "c"), c[:5]))
    True
    """

    def __init__(
        self, n_features: int | None = None, *, method: str = "auto", random_state: int = 0
    ) -> None:
        self.n_features = n_features
        self.method = method
        self.random_state = random_state

    def fit(self, anchors: Mapping[str, Array], ids: Mapping[str, Any]) -> Self:
        """Fit the hub on the anchors of several encoders.

        Parameters
        ----------
        anchors : mapping of str to array (n_m, d_m)
            Each encoder's rows.
        ids : mapping of str to sequence (n_m,)
            The items of these rows. Encoders share an item where they have the same id.

        Raises
        ------
        TypeError, ValueError
            Fewer than 2 encoders, ids that do not fit the rows or repeat, encoders that
            share too few items with the others, NaN, infinity.
        """
        if len(anchors) < 2:
            raise ValueError(f"anchors has {len(anchors)} encoders; expected at least 2")
        listed = {name: _checked_ids(name, X, ids) for name, X in anchors.items()}
        self.ids_ = list(dict.fromkeys(i for some in listed.values() for i in some))
        self._row = {item: row for row, item in enumerate(self.ids_)}
        widths = [X.shape[1] for X in anchors.values()]
        n_features = self.n_features or min(max(widths), len(self.ids_) - 1)
        rows = {name: self._rows(some) for name, some in listed.items()}
        self.consensus_ = consensus(anchors, rows, len(self.ids_), n_features)
        self.translations_: dict[str, Translation] = {}
        for name, X in anchors.items():
            self._fit_one(name, X, rows[name])
        return self

    def add(self, name: str, anchors: Array, ids: Any) -> Self:
        """Add an encoder by the items that the hub knows; the others stay as they are.

        Raises
        ------
        TypeError, ValueError
            A name that the hub has, or fewer than 4 items that it knows.
        """
        self._check_fitted()
        if name in self.translations_:
            raise ValueError(f"name is {name!r}, which the hub has already")
        listed = _checked_ids(name, anchors, {name: ids})
        known = np.array([item in self._row for item in listed])
        if known.sum() < LEAST:
            raise ValueError(
                f"{name} has {int(known.sum())} items that the hub knows; expected at least {LEAST}"
            )
        X = _array.to_numpy(_validation.as_matrix(anchors, name))[known]
        return self._fit_one(name, X, self._rows([i for i in listed if i in self._row]))

    def translate(self, X: Array, source: str, target: str) -> Array:
        """Return rows of the encoder ``source`` in the space of the encoder ``target``."""
        self._check_fitted()
        for name, value in (("source", source), ("target", target)):
            _validation.check_choice(value, name, self.translations_)
        if source == target:
            return X
        return self.translations_[target].inverse_transform(self.translations_[source].transform(X))

    def _fit_one(self, name: str, X: Array, rows: np.ndarray) -> Self:
        translation = Translation(self.method, random_state=self.random_state)
        self.translations_[name] = translation.fit(_array.to_numpy(X), self.consensus_[rows])
        return self

    def _to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return tensors and a manifest that :mod:`relatum.artifact` can write."""
        self._check_fitted()
        arrays = {"consensus": self.consensus_}
        states = {}
        for i, (name, translation) in enumerate(self.translations_.items()):
            own, states[name] = translation._to_state()
            arrays |= {f"{i}.{key}": array for key, array in own.items()}
        settings = {"n_features": self.n_features, "method": self.method}
        settings["random_state"] = self.random_state
        # JSON keeps no order: the arrays are numbered by this one
        names = list(self.translations_)
        return arrays, {
            "settings": settings, "ids": self.ids_, "names": names, "encoders": states,
        }  # fmt: skip

    @classmethod
    def _from_state(cls, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> Self:
        """Rebuild a fitted hub from what :meth:`_to_state` gave."""
        self = cls(**manifest["settings"])
        self.ids_ = list(manifest["ids"])
        self._row = {item: row for row, item in enumerate(self.ids_)}
        self.consensus_ = np.asarray(arrays["consensus"])
        self.translations_ = {}
        for i, name in enumerate(manifest["names"]):
            start = f"{i}."
            own = {k.removeprefix(start): a for k, a in arrays.items() if k.startswith(start)}
            self.translations_[name] = Translation._from_state(own, manifest["encoders"][name])
        return self

    def _rows(self, items: list[Any]) -> np.ndarray:
        return np.array([self._row[item] for item in items])

    def _check_fitted(self) -> None:
        if not hasattr(self, "translations_"):
            raise ValueError("this Hub is not fitted; call fit first")


def _checked_ids(name: str, X: Array, ids: Mapping[str, Any]) -> list[Any]:
    if name not in ids:
        raise ValueError(f"ids has none for {name!r}; expected those of every encoder")
    X = _validation.as_matrix(X, name, finite=True)
    listed: list[Any] = np.asarray(ids[name]).tolist()
    if len(listed) != X.shape[0]:
        raise ValueError(f"{name} has {X.shape[0]} rows and {len(listed)} ids; expected one each")
    if len(set(listed)) < len(listed):
        raise ValueError(f"the ids of {name} repeat; expected each at most once")
    return listed
