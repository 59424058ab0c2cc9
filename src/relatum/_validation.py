"""Every check of user input, with its message.

A message names the argument, what was expected and what came. Checks return
the value in the form that the mathematics uses.
"""

from __future__ import annotations

import difflib
import numbers
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from relatum import _array
from relatum._array import Array


class RelatumWarning(UserWarning):
    """Something in the input makes the result doubtful, though it was computed."""


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the install line."""


def require(module: str, extra: str, purpose: str) -> Any:
    """Import ``module`` or say which extra brings it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.split(".")[0]
        raise MissingExtraError(
            f"{purpose} needs {name}; install it with: pip install 'relatum[{extra}]'"
        ) from error


def as_array(X: Any, name: str) -> Array:
    """Return ``X`` as an array: arrays as they are, frames and lists through NumPy."""
    if X is None:
        raise TypeError(f"{name} is None; expected a 2-D array of numbers")
    if hasattr(X, "tocsr") and hasattr(X, "toarray"):
        raise TypeError(
            f"{name} is a sparse matrix ({type(X).__name__}); expected a dense array: "
            f"pass {name}.toarray()"
        )
    if isinstance(X, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; expected an array without missing values")
    if _array.is_torch(X) and str(X.layout) != "torch.strided":
        raise TypeError(
            f"{name} is a sparse tensor ({X.layout}); expected a dense one: pass {name}.to_dense()"
        )
    if _array.is_numpy(X):
        return np.asarray(X)  # a subclass, such as np.matrix, may mean something else by *
    if _array.is_array(X):
        return X
    if isinstance(X, str) or not (hasattr(X, "__array__") or isinstance(X, (list, tuple))):
        raise TypeError(f"{name} is {type(X).__name__}; expected a 2-D array of numbers")
    if hasattr(X, "to_numpy"):  # pandas and polars frames
        return np.asarray(X.to_numpy())
    try:
        return np.asarray(X)
    except ValueError as error:
        raise ValueError(f"{name} has rows of different lengths; expected (n, d)") from error


def as_matrix(X: Any, name: str = "X", *, min_rows: int = 1, finite: bool = False) -> Array:
    """Return ``X`` as a 2-D float array with at least ``min_rows`` rows."""
    X = as_array(X, name)
    kind = _array.dtype_kind(X)
    if kind in ("bool", "complex", "other"):
        raise TypeError(
            f"{name} has dtype {X.dtype}; expected real numbers "
            "(float64, float32, float16 or integers)"
        )
    if X.ndim != 2:
        hint = f"; a single row is {name}.reshape(1, -1)" if X.ndim == 1 else ""
        raise ValueError(
            f"{name} has {X.ndim} dimension(s), shape {tuple(X.shape)}; "
            f"expected 2: (rows, features){hint}"
        )
    if X.shape[0] < min_rows or X.shape[1] < 1:
        raise ValueError(
            f"{name} has shape {tuple(X.shape)}; expected at least {min_rows} row(s) and 1 feature"
        )
    X = _array.astype(X, _array.float_dtype(X))
    if finite:
        check_finite(X, name)
    return X


def check_finite(X: Array, name: str, first_row: int = 0) -> None:
    """Refuse NaN and infinity, with the rows that hold them, counted from ``first_row``."""
    bad = [row + first_row for row in _rows_not_finite(X)]
    if bad:
        raise ValueError(
            f"{name} contains NaN or infinity in {describe_rows(bad)}; expected finite numbers"
        )


def check_overflow(R: Array, what: str, first_row: int = 0) -> None:
    """Refuse a result that left the range of its dtype, with the rows of X that did."""
    bad = _rows_not_finite(R)
    if bad:
        raise ValueError(
            f"the {what} of X and anchors leaves the range of "
            f"{str(R.dtype).rsplit('.', 1)[-1]} in "
            f"{describe_rows(r + first_row for r in bad)}; scale both down, "
            "or compute in float64"
        )


def _rows_not_finite(X: Array) -> list[int]:
    xp = _array.namespace(X)
    bad: list[int] = []
    for rows in _array.blocks(X.shape[0], 8 * max(1, X.shape[1])):
        block = X[rows, :]
        with np.errstate(over="ignore", invalid="ignore"):
            total = xp.sum(block)
        if bool(xp.isfinite(total)) or bool(xp.all(xp.isfinite(block))):
            continue
        ok = _array.to_numpy(xp.all(xp.isfinite(block), axis=1))
        bad += (np.flatnonzero(~ok) + rows.start).tolist()
    return bad


def check_distinct(X: np.ndarray, name: str) -> None:
    """Refuse rows that are all the same; warn of rows that repeat an earlier one."""
    first: dict[bytes, int] = {}
    repeated = [
        (i, j)
        for i, row in enumerate(np.ascontiguousarray(X))
        if (j := first.setdefault(row.tobytes(), i)) != i
    ]
    if len(first) == 1:
        raise ValueError(
            f"{name} has {len(X)} rows that are all the same; every relative "
            "representation would be constant (collapse)"
        )
    if repeated:
        i, j = repeated[0]
        warn(
            f"{name} has {len(repeated)} repeated rows (row {i} repeats row {j}); "
            "they add no information",
            stacklevel=5,
        )


def describe_rows(rows: Iterable[int], limit: int = 5, count: int | None = None) -> str:
    """Write row numbers for a message: ``3 rows: 4, 8, 15``; ``count`` where not all are given."""
    rows = [int(r) for r in rows]
    count = len(rows) if count is None else count
    shown = ", ".join(str(r) for r in rows[:limit])
    more = ", ..." if count > limit else ""
    return f"{count} row{'s' if count != 1 else ''}: {shown}{more}"


def warn(message: str, stacklevel: int = 4) -> None:
    warnings.warn(message, RelatumWarning, stacklevel=stacklevel)


_told = threading.local()


@contextmanager
def rows_without_direction_told() -> Iterator[set[int]]:
    """Yield a set that takes the rows that :func:`warn_zero_rows` would warn of, in this thread.

    Warnings are caught for a process, and so not where several threads work.
    """
    _told.rows = set()
    try:
        yield _told.rows
    finally:
        _told.rows = None


def warn_zero_rows(rows: np.ndarray, name: str, centred: bool, count: int | None = None) -> None:
    told = getattr(_told, "rows", None)
    if told is not None:
        told.update(np.asarray(rows).tolist())
        return
    what = "equal the anchors' mean" if centred else "are zero"
    warn(
        f"{name} has rows that {what}, which have no direction "
        f"({describe_rows(rows, count=count)}); "
        "their cosine to every anchor is set to 0"
    )


def check_same_backend(X: Array, name_x: str, Y: Array, name_y: str) -> None:
    if _array.backend_name(X) != _array.backend_name(Y):
        raise TypeError(
            f"{name_x} is a {_array.backend_name(X)} array, {name_y} a "
            f"{_array.backend_name(Y)} array; expected the same library for both"
        )


def check_same_features(X: Array, name_x: str, Y: Array, name_y: str) -> None:
    if X.shape[1] != Y.shape[1]:
        raise ValueError(
            f"{name_x} has {X.shape[1]} features, {name_y} has {Y.shape[1]}; "
            "expected the same number"
        )


def check_same_rows(X: Array, name_x: str, Y: Array, name_y: str) -> None:
    if X.shape[0] != Y.shape[0]:
        raise ValueError(
            f"{name_x} has {X.shape[0]} rows, {name_y} has {Y.shape[0]}; "
            "expected the same number: row i of both is the same item"
        )


def check_pair(
    X: Any,
    Y: Any,
    name_x: str = "X",
    name_y: str = "Y",
    *,
    min_rows: int = 1,
    same_features: bool = False,
) -> tuple[Array, Array]:
    """Return two matrices whose row i is the same item in two spaces."""
    X = as_matrix(X, name_x, min_rows=min_rows, finite=True)
    Y = as_matrix(Y, name_y, min_rows=min_rows, finite=True)
    check_same_backend(X, name_x, Y, name_y)
    check_same_rows(X, name_x, Y, name_y)
    if same_features:
        check_same_features(X, name_x, Y, name_y)
    return X, Y


def check_choice(value: object, name: str, options: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``options``, else suggest the nearest."""
    options = list(options)
    if isinstance(value, str) and value in options:
        return value
    near = difflib.get_close_matches(value, options, n=1) if isinstance(value, str) else []
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"{name} is {value!r}{hint}; expected one of {', '.join(options)}")


def check_integer(
    value: object, name: str, minimum: int = 1, maximum: int | None = None, maximum_is: str = ""
) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is {value!r}; expected an integer")
    if int(value) < minimum:
        raise ValueError(f"{name} is {value}; expected at least {minimum}")
    if maximum is not None and int(value) > maximum:
        because = f" ({maximum_is})" if maximum_is else ""
        raise ValueError(f"{name} is {value}; expected at most {maximum}{because}")
    return int(value)


def check_nonnegative(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; expected a number >= 0")
    if not 0 <= float(value) < float("inf"):
        raise ValueError(f"{name} is {value}; expected a finite number >= 0")
    return float(value)


def check_whiten(whiten: object) -> float | None:
    """Return λ, or None where no whitening is asked for."""
    return None if whiten is None else check_nonnegative(whiten, "whiten")


def check_indices(indices: Any, name: str, n_rows: int) -> np.ndarray:
    """Return row numbers as int64, in range and without repeats."""
    indices = np.asarray(_array.to_numpy(as_array(indices, name)))
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise TypeError(
            f"{name} has dtype {indices.dtype} and {indices.ndim} dimension(s); "
            "expected 1-D integer row numbers"
        )
    if indices.size == 0:
        raise ValueError(f"{name} is empty; expected at least one row number")
    if indices.min() < 0 or indices.max() >= n_rows:
        raise ValueError(
            f"{name} has row numbers from {indices.min()} to {indices.max()}; "
            f"expected 0 to {n_rows - 1}"
        )
    if len(np.unique(indices)) < len(indices):
        raise ValueError(f"{name} repeats row numbers; expected each at most once")
    return np.asarray(indices, dtype=np.int64)


def random_generator(random_state: Any) -> np.random.Generator:
    """Return a generator from None, an integer, a Generator or a RandomState."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    if random_state is None:
        return np.random.default_rng()
    integer = isinstance(random_state, numbers.Integral) and not isinstance(random_state, bool)
    if integer and int(random_state) >= 0:
        return np.random.default_rng(int(random_state))
    raise TypeError(
        f"random_state is {random_state!r}; expected None, an integer >= 0, "
        "a numpy Generator or a RandomState"
    )
