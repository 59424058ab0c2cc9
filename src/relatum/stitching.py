"""Stitching: the encoder of one model, a relative projection, the head of another.

Section 5 of Moschella et al. (ICLR 2023). A head is bound to the
:class:`~relatum.projection.Space` that it was trained in; :func:`stitch` refuses
parts that do not fit together. Imports neither torch nor scikit-learn.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, TypeVar

from relatum import _array, _stitched, _validation
from relatum._array import Array
from relatum._stitched import StitchedModel, is_module, is_sklearn
from relatum.projection import Projection, Space, inverse_project

__all__ = ["Inverse", "StitchedModel", "bind", "inverse", "space_of", "standardize", "stitch"]

Head = TypeVar("Head")


def standardize(R: Array, reference: Array | None = None, eps: float = 1e-5) -> Array:
    """Standardise each column: ``(r - mean) / sqrt(variance + eps)``.

    Parameters
    ----------
    R : array (n_samples, n_columns)
        A relative representation: NumPy, torch (with gradients) or any array API.
    reference : None or array (n_reference, n_columns)
        None takes mean and variance over the rows of ``R`` itself (transductive:
        what the paper's code does, and what one row alone cannot have). An array
        gives its own (inductive): the relative representation of the training set,
        or of the anchors.
    eps : float
        Added to the variance, which is the biased one.

    Returns
    -------
    array (n_samples, n_columns)
        Columns that are constant in the reference are only centred and scaled by
        ``1 / sqrt(eps)``.

    Raises
    ------
    TypeError, ValueError
        Input that is not a finite 2-D array of numbers, columns that do not
        match, or fewer than 2 rows to take statistics from.

    References
    ----------
    Moschella et al., ICLR 2023, the stitching heads of section 5.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.stitching import standardize
    >>> R = np.array([[0.0, 1.0], [2.0, 5.0]])
    >>> standardize(R, eps=0.0).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    >>> standardize(np.array([[3.0, 3.0]]), reference=R, eps=0.0).tolist()
    [[2.0, 0.0]]
    """
    eps = _validation.check_nonnegative(eps, "eps")
    R = _validation.as_matrix(R, "R", finite=True)
    if reference is None:
        if R.shape[0] < 2:
            raise ValueError(
                "R has 1 row, whose columns have no variance; expected at least 2, or a "
                "reference (the training set or the anchors) to take statistics from"
            )
        source = R
    else:
        source = _validation.as_matrix(reference, "reference", min_rows=2, finite=True)
        _validation.check_same_backend(R, "R", source, "reference")
        _validation.check_same_features(R, "R", source, "reference")
    return apply_statistics(R, *column_statistics(source), eps)


def column_statistics(R: Array) -> tuple[Array, Array]:
    """Return mean and biased variance of each column, summed in float64 over blocks."""
    xp = _array.namespace(R)
    if _array.tracks_gradient(R):
        mean = xp.mean(R, axis=0)
        return mean, xp.mean((R - mean) ** 2, axis=0)
    n, d = R.shape
    rows_of = list(_array.blocks(n, 8 * d))
    mean = sum(xp.sum(_array.wide(R[rows, :]), axis=0) for rows in rows_of) / n
    square = sum(xp.sum((_array.wide(R[rows, :]) - mean) ** 2, axis=0) for rows in rows_of)
    return mean, square / n


def apply_statistics(R: Array, mean: Array, variance: Array, eps: float) -> Array:
    """Return ``(R - mean) / sqrt(variance + eps)`` in the dtype of ``R``."""
    xp = _array.namespace(R)
    spread = xp.sqrt(variance + eps)
    spread = xp.where(spread > 0, spread, xp.ones_like(spread))  # eps = 0, constant column
    return (R - _array.astype(mean, R.dtype)) / _array.astype(spread, R.dtype)


def bind(head: Head, projection: Any) -> Head:
    """Record on ``head`` the relative space that it was trained in, and return it.

    Parameters
    ----------
    head : torch module, scikit-learn estimator or function
    projection : Space, Projection, or a relative projection of either kind
        Where the head's input came from.

    Raises
    ------
    TypeError
        A head that takes no attributes, or a ``projection`` without a space.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> X = np.random.default_rng(0).normal(size=(40, 8))
    >>> projection = relatum.RelativeProjection(10, random_state=0).fit(X)
    >>> head = relatum.bind(lambda R: R.argmax(1), projection)
    >>> relatum.stitching.space_of(head).n_anchors
    10
    """
    space = space_of(projection)
    if space is None:
        raise TypeError(
            f"projection is {type(projection).__name__}; expected a relative projection or a Space"
        )
    try:
        head.relatum_space_ = space  # type: ignore[attr-defined]
    except (AttributeError, TypeError) as error:
        raise TypeError(
            f"head is {type(head).__name__}, which takes no attributes; wrap it in a function"
        ) from error
    return head


def space_of(part: Any) -> Space | None:
    """Return the relative space of ``part``, or None where it has none.

    Parameters
    ----------
    part : object
        A :class:`~relatum.projection.Space` or :class:`~relatum.projection.Projection`,
        a relative projection (estimator or torch module), a bound head, or a fitted
        scikit-learn pipeline that holds a relative projection.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        A relative projection that has not been fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from relatum.projection import fit_projection
    >>> from relatum.stitching import space_of
    >>> space_of(fit_projection(np.eye(3), similarity="euclidean")).similarity
    ('euclidean',)
    """
    if isinstance(part, Space):
        return part
    bound = getattr(part, "relatum_space_", None)
    if isinstance(bound, Space):
        return bound
    step = _projection_step(part)
    if step is not None:
        part = part.steps[step][1]
    if is_sklearn(part) and _is_projection(part):
        _check_fitted(part, "projection")
    for name in ("space_", "space"):
        space = getattr(part, name, None)
        if isinstance(space, Space):
            return space
    return None


@dataclass(frozen=True)
class Inverse:
    """Leads from a relative space back to the absolute space of ``projection``."""

    projection: Projection

    @property
    def space(self) -> Space:
        return self.projection.space

    @property
    def n_features(self) -> int:
        return self.projection.n_features

    def __call__(self, R: Array) -> Array:
        """Return absolute representations ``(n_samples, n_features)``."""
        return inverse_project(R, self.projection)


def inverse(projection: Any) -> Any:
    """Return the part that leads from a relative space back to an absolute one.

    With it, a network that never saw a relative representation can be stitched:
    ``stitch(encoder_a, projection_a, inverse(projection_b), rest_of_b)``, where
    both projections are onto the same anchor items.

    Parameters
    ----------
    projection : a relative projection (estimator, torch module or Projection)
        Of the encoder whose absolute space is wanted.

    Raises
    ------
    TypeError
        Anything else.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from relatum.stitching import inverse
    >>> X = np.random.default_rng(0).normal(size=(60, 6))
    >>> X /= np.linalg.norm(X, axis=1, keepdims=True)
    >>> Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))
    >>> a, b = relatum.RelativeProjection().fit(X[:10]), relatum.RelativeProjection()
    >>> b = b.fit(X[:10] @ Q)  # another encoder's space: the same, rotated
    >>> model = relatum.stitch(None, a, inverse(b), lambda Y: Y @ Q.T)
    >>> bool(np.allclose(model(X), X))
    True
    """
    if isinstance(projection, Projection):
        return Inverse(projection)
    if not _is_projection(projection):
        raise TypeError(
            f"projection is {type(projection).__name__}; expected a relative projection"
        )
    if is_module(projection):
        return projection.inverse()
    _check_fitted(projection, "projection")
    return Inverse(projection.projection_)


def stitch(encoder: Any, projection: Any, *rest: Any) -> Any:
    """Run the head of one model on the encoder of another.

    ``decoder(projection(encoder(x)))``: the projection is onto the *encoder's*
    anchors, and the decoder was trained on the relative representations of
    another encoder with parallel anchors. Nothing is trained.

    Parameters
    ----------
    encoder : torch module, scikit-learn transformer, callable or None
        None: what comes in is already an absolute representation.
    projection : a relative projection (estimator, torch module or Projection)
    *rest : decoder, or block, projection, block, projection, ..., decoder
        A decoder (or block) is a torch module, a fitted scikit-learn estimator or a
        callable. Of a fitted pipeline that holds a relative projection, the steps
        after it are used. :func:`inverse` of a projection may stand between a
        projection and what follows it.

    Returns
    -------
    torch.nn.Sequential or StitchedModel
        A torch module where every part is one: it has their state, trains and
        moves as one. Otherwise a :class:`StitchedModel` with those of ``predict``,
        ``predict_proba``, ``decision_function``, ``transform`` and ``score`` that
        the decoder has.

    Raises
    ------
    ValueError
        A head of another relative space (number of anchors, similarity, centring,
        whitening, anchor ids), one that takes another number of features, or parts
        in the wrong order.
    TypeError
        A part that is none of the above.
    sklearn.exceptions.NotFittedError
        A scikit-learn part that has not been fitted.

    References
    ----------
    Moschella et al., *Relative representations enable zero-shot latent space
    communication*, ICLR 2023, section 5.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> rng = np.random.default_rng(0)
    >>> A = rng.normal(size=(200, 8)); y = (A[:, 0] > 0).astype(int)
    >>> Q, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    >>> B = A @ Q  # what another encoder makes of the same items
    >>> model = make_pipeline(relatum.RelativeProjection(30, random_state=0), RidgeClassifier())
    >>> model = model.fit(A, y)
    >>> anchors = relatum.RelativeProjection().fit(B[model[0].anchor_indices_])
    >>> stitched = relatum.stitch(None, anchors, model)
    >>> bool(stitched.score(B, y) == model.score(A, y))
    True
    """
    parts = _named(encoder, projection, rest)
    _check_order(parts)
    parts = _check_chain(parts)
    present = [(name, part) for name, part in parts if part is not None]
    if all(is_module(part) for _, part in present):
        return sys.modules["torch"].nn.Sequential(OrderedDict(present))
    return StitchedModel(present)


def _named(encoder: Any, projection: Any, rest: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Give each part the name that messages and ``state_dict`` call it by."""
    if not rest:
        raise ValueError("stitch got an encoder and a projection; expected a decoder after them")
    parts = [("encoder", encoder), ("projection", projection)]
    stage = 1
    for part in rest[:-1]:
        if _is_inverse(part):
            parts.append(("inverse" if stage == 1 else f"inverse_{stage}", part))
        elif _is_projection(part):
            parts.append((f"projection_{stage}", part))
        else:
            stage += 1
            parts.append((f"block_{stage}", part))
    return [*parts, ("decoder", rest[-1])]


def _is_inverse(part: Any) -> bool:
    return isinstance(part, Inverse) or getattr(part, "relatum_role", None) == "inverse"


def _is_projection(part: Any) -> bool:
    if isinstance(part, Projection) or getattr(part, "relatum_role", None) == "projection":
        return True
    # by its parameters: estimators.py stands above this file and imports scikit-learn
    return is_sklearn(part) and {"similarity", "center", "whiten"} <= set(part.get_params(False))


_AFTER = {  # what may follow what
    "encoder": {"projection"},
    "projection": {"head", "inverse"},
    "inverse": {"head"},
    "head": {"projection"},
}


def _check_order(parts: list[tuple[str, Any]]) -> None:
    kinds = [_kind(part) for _, part in parts]
    if kinds[0] != "head":
        raise ValueError(
            f"encoder is {_article(kinds[0])}; expected an encoder first, or None where "
            "the input is already an absolute representation"
        )
    if kinds[1] != "projection":
        raise ValueError(
            f"projection is {type(parts[1][1]).__name__}; expected a relative projection "
            "as the second part"
        )
    if kinds[-1] != "head":
        raise ValueError(f"the last part is {_article(kinds[-1])}; expected a decoder")
    for i in range(1, len(parts)):
        before = "encoder" if i == 1 else kinds[i - 1]
        if kinds[i] not in _AFTER[before]:
            raise ValueError(
                f"{parts[i][0]} is {_article(kinds[i])} and follows {parts[i - 1][0]}; expected "
                "the order encoder, projection, block, projection, ..., decoder"
            )


def _kind(part: Any) -> str:
    if _is_inverse(part):
        return "inverse"
    return "projection" if _is_projection(part) else "head"


def _article(kind: str) -> str:
    return {
        "projection": "a relative projection",
        "inverse": "an inverse relative projection",
        "head": "a network part",
    }[kind]


def _check_chain(parts: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Check each part against the one before; return them, pipelines cut to their heads."""
    checked: list[tuple[str, Any]] = []
    space, width = None, None
    for name, part in parts:
        if part is None and name != "encoder":
            raise TypeError(f"{name} is None; expected a torch module, an estimator or a callable")
        kind = _kind(part)
        if kind != "projection" and space is not None:
            _check_space(name, part, space)
        if part is not None:
            part = _check_part(name, part, kind, width)
        checked.append((name, part))
        space = space_of(part) if kind == "projection" else None
        width = space.n_outputs if space is not None else getattr(part, "n_features", None)
        width = None if kind == "head" else width
    return checked


def _check_space(name: str, head: Any, space: Space) -> None:
    theirs = space_of(head)
    found = [] if theirs is None else space.differences(theirs)
    if found:
        raise ValueError(
            f"{name} belongs to another relative space than the projection before it "
            f"(here: the projection's, there: the {name}'s): {'; '.join(found)}"
        )


def _check_part(name: str, part: Any, kind: str, width: int | None) -> Any:
    if is_sklearn(part):
        _check_fitted(part, name)
    step = _projection_step(part)
    if step is not None and name == "encoder":
        raise ValueError(
            "encoder is a pipeline that holds a relative projection; expected the steps before "
            f"it alone: encoder[:{step}], or None where there are none"
        )
    if step is not None:
        part = part[step + 1 :]
    if kind != "head":
        return part
    _check_callable(name, part)
    taken = None if width is None else _stitched.other_width(part, width)
    if taken is not None:
        raise ValueError(
            f"{name} takes {taken} features, the part before it gives {width}; "
            "expected the same number"
        )
    return part


def _check_callable(name: str, part: Any) -> None:
    if is_sklearn(part):
        if hasattr(part, "steps") and not part.steps:
            raise ValueError(
                f"{name} is a pipeline that ends with its relative projection; "
                "expected steps after it"
            )
        if name != "decoder" and not hasattr(part, "transform"):
            raise TypeError(f"{name} is {type(part).__name__}, which has no transform")
    elif not callable(part):
        raise TypeError(
            f"{name} is {type(part).__name__}; expected a torch module, a fitted "
            "scikit-learn estimator or a callable"
        )


def _projection_step(part: Any) -> int | None:
    """Return which step of a scikit-learn pipeline is its (last) relative projection."""
    if not (is_sklearn(part) and isinstance(getattr(part, "steps", None), list)):
        return None
    steps = [i for i, (_, step) in enumerate(part.steps) if _is_projection(step)]
    return steps[-1] if steps else None


def _check_fitted(part: Any, name: str) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(part)
    except NotFittedError as error:
        raise NotFittedError(
            f"{name} ({type(part).__name__}) is not fitted; call fit before stitching"
        ) from error
