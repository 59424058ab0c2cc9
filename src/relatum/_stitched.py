"""A chain of parts of several libraries that behaves like a scikit-learn estimator."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from relatum import _array
from relatum._array import Array
from relatum.projection import Projection, project


def is_module(part: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(part, torch.nn.Module)


def is_sklearn(part: Any) -> bool:
    return hasattr(part, "get_params") and hasattr(part, "fit") and not isinstance(part, type)


class _Delegated:
    """A method that exists where the decoder has it, as scikit-learn's ``available_if``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.__doc__ = f"The decoder's ``{name}`` on what the parts before it make of ``X``."

    def __get__(self, model: StitchedModel | None, owner: type | None = None) -> Any:
        if model is None:
            return self
        decoder = model.steps[-1][1]
        if not model.has(self.name):
            raise AttributeError(
                f"this stitched model has no {self.name}: its decoder is "
                f"{type(decoder).__name__}, which has none"
            )
        return partial(model.run, self.name)


class StitchedModel:
    """Parts in a row, of which the last decodes; made by :func:`relatum.stitch`.

    ``predict``, ``predict_proba``, ``decision_function``, ``transform`` and
    ``score`` exist where the decoder has them. Calling the model, or ``predict``
    of a decoder that is a torch module or a function, gives its plain output.
    Arrays are handed on in the library that each part takes. Torch parts run in
    evaluation mode and without gradient (their own mode is restored): for
    training, stitch torch modules only.

    Attributes
    ----------
    steps : list of (str, object)
        The parts with their names, in order.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> A = np.random.default_rng(0).normal(size=(20, 4))
    >>> projection = relatum.RelativeProjection().fit(A)
    >>> model = relatum.stitch(None, projection, lambda R: R.argmax(axis=1))
    >>> model.predict(A)[:4].tolist()
    [0, 1, 2, 3]
    >>> hasattr(model, "predict_proba")
    False
    """

    predict = _Delegated("predict")
    predict_proba = _Delegated("predict_proba")
    decision_function = _Delegated("decision_function")
    transform = _Delegated("transform")
    score = _Delegated("score")

    def __init__(self, steps: list[tuple[str, Any]]) -> None:
        self.steps = steps

    @property
    def classes_(self) -> Any:
        """The decoder's classes."""
        return self.steps[-1][1].classes_

    def __call__(self, X: Any) -> Any:
        """Return what the decoder gives: its ``predict``, ``transform`` or plain output."""
        decoder = self.steps[-1][1]
        if is_sklearn(decoder) and not self.has("predict"):
            return self.run("transform", X)
        return self.run("predict", X)

    def __repr__(self) -> str:
        parts = (f"{name}={type(part).__name__}" for name, part in self.steps)
        return f"StitchedModel({', '.join(parts)})"

    def has(self, method: str) -> bool:
        """Tell whether the decoder has ``method``."""
        decoder = self.steps[-1][1]
        if is_sklearn(decoder):
            return hasattr(decoder, method)
        return method == "predict"

    def run(self, method: str, X: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the decoder's ``method`` on what the parts before it make of ``X``."""
        decoder = self.steps[-1][1]
        latent = X
        for _, part in self.steps[:-1]:
            latent = apply(part, latent)
        if not is_sklearn(decoder):
            return like(apply(decoder, latent), X)
        return getattr(decoder, method)(convert(latent, decoder), *args, **kwargs)


def apply(part: Any, X: Any) -> Any:
    """Run one part: the projection, the module, ``transform`` or the call."""
    X = convert(X, part)
    if isinstance(part, Projection):
        return project(X, part)
    if is_module(part):
        with evaluating(part):
            return part(X)
    return part.transform(X) if is_sklearn(part) else part(X)


def convert(X: Any, part: Any) -> Any:
    """Return ``X`` as an array of the library that ``part`` computes in."""
    if not _array.is_array(X):
        return X
    if is_module(part):
        return _to_tensor(X, part)
    for candidate in (part, getattr(part, "projection_", None), getattr(part, "projection", None)):
        if isinstance(candidate, Projection):
            return like(X, candidate.parts[0].anchors)
    return _array.to_numpy(X) if is_sklearn(part) else X


def like(X: Array, other: Any) -> Array:
    """Return ``X`` in the library and on the device of ``other``, in its own precision."""
    if not (_array.is_array(X) and _array.is_array(other)):
        return X
    if _array.backend_name(X) == _array.backend_name(other):
        return X
    return _array.from_numpy(np.asarray(_array.to_numpy(X)), other, keep_dtype=True)


def _to_tensor(X: Array, module: Any) -> Any:
    """Return ``X`` on the device, and floats in the precision, of the module's weights."""
    torch = sys.modules["torch"]
    state = [*module.parameters(), *module.buffers()]
    floats = [t for t in state if t.is_floating_point()]
    X = X if _array.is_torch(X) else torch.from_numpy(np.array(_array.to_numpy(X)))
    if floats and X.is_floating_point():
        return X.to(floats[0].device, floats[0].dtype)
    return X.to(state[0].device) if state else X


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Evaluation mode and no gradient; each submodule's mode is restored."""
    torch = sys.modules["torch"]
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for m in training:
            m.training = True


def other_width(part: Any, width: int) -> int | None:
    """Return the number of features that ``part`` takes, if it is known and not ``width``."""
    known = getattr(part, "n_features_in_", None)  # scikit-learn
    taken = _module_width(part, width) if is_module(part) else known
    return None if taken is None or taken == width else int(taken)


def _module_width(module: Any, width: int) -> int | None:
    """Follow first children down to a layer that states its width; None where unsure.

    Children run in the order of their registration in a Sequential alone. Any
    other module of Linear layers is unfit if none of them takes ``width``.
    """
    nn = sys.modules["torch"].nn
    stated = _stated_width(module)
    children = list(module.children())
    if stated is not None or not children:
        return stated
    if isinstance(module, nn.Sequential) or len(children) == 1:
        after = [c for c in children if not isinstance(c, _passing_through())]
        return _module_width(after[0], width) if after else None
    leaves = [m for m in module.modules() if not list(m.children())]
    widths = [_stated_width(m) for m in leaves if not isinstance(m, _passing_through())]
    return None if None in widths or width in widths or not widths else widths[0]


def _stated_width(module: Any) -> int | None:
    nn = sys.modules["torch"].nn
    if isinstance(module, nn.Linear):
        return int(module.in_features)
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1:
        return int(module.normalized_shape[0])
    if isinstance(module, nn.BatchNorm1d):
        return int(module.num_features)
    known = getattr(module, "relatum_role", None) == "normalizer"
    return int(module.n_features) if known else None


def _passing_through() -> tuple[Any, ...]:
    nn = sys.modules["torch"].nn
    return (nn.Identity, nn.Dropout, nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU)
