"""_validation.py: every refusal of bad input, with its message."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from relatum import _validation, inverse_relative_projection, relative_projection
from relatum._validation import MissingExtraError, RelatumWarning

X = np.random.default_rng(0).normal(size=(20, 4))
A = np.random.default_rng(1).normal(size=(6, 4))


def with_rows(values, rows, bad):
    values = values.copy()
    values[rows, 1] = bad
    return values


# What is refused: how the good rows become bad, the error, and its message for argument {name}.
BAD = {
    "NaN": (
        lambda a: with_rows(a, [1, 4], np.nan),
        ValueError,
        r"{name} contains NaN or infinity in 2 rows: 1, 4; expected finite numbers",
    ),
    "infinity": (
        lambda a: with_rows(a, [3], np.inf),
        ValueError,
        r"{name} contains NaN or infinity in 1 row: 3; expected",
    ),
    "negative infinity": (
        lambda a: with_rows(a, [0], -np.inf),
        ValueError,
        r"{name} contains NaN or infinity in 1 row: 0; expected",
    ),
    "NaN in float32": (
        lambda a: with_rows(a, [2], np.nan).astype(np.float32),
        ValueError,
        r"{name} contains NaN or infinity in 1 row: 2; expected",
    ),
    "no rows": (
        lambda a: a[:0],
        ValueError,
        r"{name} has shape \(0, 4\); expected at least 1 row\(s\) and 1 feature",
    ),
    "no features": (lambda a: a[:, :0], ValueError, r"{name} has shape \(\d+, 0\); expected at"),
    "empty list": (lambda a: [], ValueError, r"{name} has 1 dimension\(s\), shape \(0,\)"),
    "1-D": (
        lambda a: a[0],
        ValueError,
        r"{name} has 1 dimension\(s\), shape \(4,\); expected 2: \(rows, features\); a single "
        r"row is {name}.reshape\(1, -1\)",
    ),
    "3-D": (
        lambda a: a[None],
        ValueError,
        r"{name} has 3 dimension\(s\), shape \(1, \d+, 4\); "
        r"expected 2: \(rows, features\)$",
    ),
    "scalar": (lambda a: np.float64(3.0), ValueError, r"{name} has 0 dimension\(s\)"),
    "boolean": (lambda a: a > 0, TypeError, r"{name} has dtype bool; expected real numbers"),
    "complex": (lambda a: a + 0j, TypeError, r"{name} has dtype complex128; expected real numbers"),
    "object": (lambda a: a.astype(object), TypeError, r"{name} has dtype object; expected real"),
    "strings": (lambda a: a.astype(str), TypeError, r"{name} has dtype <U\d+; expected real"),
    "list of strings": (lambda a: [["a", "b"]], TypeError, r"{name} has dtype <U1; expected real"),
    "dates": (lambda a: a.astype("M8[s]"), TypeError, r"{name} has dtype datetime64\[s\]; expect"),
    "records": (
        lambda a: np.zeros((6, 4), dtype=[("a", float)]),
        TypeError,
        r"{name} has dtype \[\('a', '<f8'\)\]; expected real numbers",
    ),
    "None": (lambda a: None, TypeError, r"{name} is None; expected a 2-D array of numbers"),
    "a string": (lambda a: "embeddings.npy", TypeError, r"{name} is str; expected a 2-D array"),
    "a number": (lambda a: 3.0, TypeError, r"{name} is float; expected a 2-D array of numbers"),
    "a dict": (lambda a: {"x": a}, TypeError, r"{name} is dict; expected a 2-D array of numbers"),
    "a generator": (
        lambda a: (row for row in a),
        TypeError,
        r"{name} is generator; expected a 2-D array",
    ),
    "ragged lists": (
        lambda a: [[1.0, 2.0], [3.0]],
        ValueError,
        r"{name} has rows of different lengths; expected \(n, d\)",
    ),
    "masked": (
        lambda a: np.ma.masked_less(a, 0),
        TypeError,
        r"{name} is a masked array; expected an array without missing values",
    ),
}


@pytest.mark.parametrize("name", ["X", "anchors"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_the_projection(kind, name):
    spoil, error, message = BAD[kind]
    arguments = {"X": X, "anchors": A} | {name: spoil({"X": X, "anchors": A}[name])}
    with pytest.raises(error, match=message.replace("{name}", name)):
        relative_projection(**arguments)


@pytest.mark.parametrize("similarity", ["dot", "angular", "manhattan", ["cosine", "euclidean"]])
def test_rows_that_are_not_finite_are_refused_under_every_similarity(backend, similarity):
    bad = backend.array(with_rows(X, [2, 17], np.nan))
    with pytest.raises(ValueError, match="X contains NaN or infinity in 2 rows: 2, 17"):
        relative_projection(bad, backend.array(A), similarity=similarity)


@pytest.mark.parametrize("dtype", ["bool", "complex64"])
def test_dtypes_are_refused_on_every_back_end(backend, dtype):
    bad = backend.array((X > 0).astype(dtype))
    with pytest.raises(TypeError, match=rf"X has dtype (\w+\.)?{dtype}; expected real numbers"):
        relative_projection(bad, backend.array(A))


@pytest.mark.parametrize("container", ["csr_array", "csr_matrix", "coo_array"])
def test_sparse_matrices_are_refused(container):
    import scipy.sparse

    bad = getattr(scipy.sparse, container)(X)
    with pytest.raises(
        TypeError,
        match=rf"X is a sparse matrix \({container}\); expected a dense "
        r"array: pass X\.toarray\(\)",
    ):
        relative_projection(bad, A)


def test_sparse_tensors_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(
        TypeError,
        match=r"X is a sparse tensor \(torch.sparse_coo\); expected a "
        r"dense one: pass X\.to_dense\(\)",
    ):
        relative_projection(torch.as_tensor(X).to_sparse(), torch.as_tensor(A))


# --- numbers of anchors, and anchors that repeat


def test_one_anchor_is_refused(backend):
    with pytest.raises(ValueError, match="anchors has 1 row; expected at least 2"):
        relative_projection(backend.array(X), backend.array(A[:1]))


def test_anchors_that_are_all_the_same_are_refused(backend):
    same = backend.array(np.repeat(A[:1], 3, axis=0))
    with pytest.raises(
        ValueError,
        match="anchors has 3 rows that are all the same; every relative "
        r"representation would be constant \(collapse\)",
    ):
        relative_projection(backend.array(X), same)


def test_repeated_anchors_are_warned_of(backend):
    with pytest.warns(
        RelatumWarning,
        match=r"anchors has 2 repeated rows \(row 6 repeats row 2\); "
        "they add no information",
    ):
        R = relative_projection(backend.array(X), backend.array(A[[0, 1, 2, 3, 4, 5, 2, 0]]))
    np.testing.assert_allclose(backend.numpy(R)[:, 6], backend.numpy(R)[:, 2])


def test_mismatched_features_are_refused(backend):
    with pytest.raises(ValueError, match="anchors has 3 features, X has 4; expected the same"):
        relative_projection(backend.array(X), backend.array(A[:, :3]))


def test_arrays_of_two_libraries_are_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(
        TypeError,
        match="X is a numpy array, anchors a torch array; expected the same library for both",
    ):
        relative_projection(X, torch.as_tensor(A))
    R = relative_projection(X, A)
    with pytest.raises(TypeError, match="R is a numpy array, anchors a torch array"):
        inverse_relative_projection(R, torch.as_tensor(A))


# --- settings


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"whiten": -0.1}, ValueError, r"whiten is -0\.1; expected a finite number >= 0"),
        ({"whiten": float("nan")}, ValueError, "whiten is nan; expected a finite number >= 0"),
        ({"whiten": float("inf")}, ValueError, "whiten is inf; expected a finite number >= 0"),
        ({"whiten": True}, TypeError, "whiten is True; expected a number >= 0"),
        ({"whiten": "1"}, TypeError, "whiten is '1'; expected a number >= 0"),
        (
            {"similarity": "cosinus"},
            ValueError,
            r"similarity is 'cosinus' \(did you mean 'cosine'\?\)",
        ),
        ({"similarity": []}, ValueError, "similarity is an empty list; expected at least one"),
        ({"similarity": ["cosine", "dott"]}, ValueError, r"'dott' \(did you mean 'dot'\?\)"),
        (
            {"similarity": ("geodesic", {"neighbors": 3})},
            TypeError,
            "similarity 'geodesic' has no parameter 'neighbors'; it has n_neighbors",
        ),
        ({"precision": "float16"}, ValueError, r"precision is 'float16' \(did you mean"),
    ],
)
def test_settings_are_refused(setting, error, message):
    with pytest.raises(error, match=message):
        relative_projection(X, A, **setting)


# --- what is taken


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8", ">f4", "longdouble"])
def test_numbers_of_every_kind_are_taken(dtype):
    values = np.abs(4 * X).astype(dtype)
    R = relative_projection(values, np.abs(4 * A).astype(dtype))
    expected = relative_projection(values.astype(float), np.abs(4 * A).astype(dtype).astype(float))
    np.testing.assert_allclose(R.astype(float), expected, atol=1e-5)


def test_lists_tuples_one_row_and_subclasses_are_taken():
    expected = relative_projection(X, A)
    np.testing.assert_array_equal(relative_projection(X.tolist(), A.tolist()), expected)
    np.testing.assert_array_equal(relative_projection(tuple(map(tuple, X)), A), expected)
    np.testing.assert_allclose(relative_projection(X[:1], A), expected[:1], atol=1e-14)
    matrix = X.view(np.matrix)  # whose * is a product of matrices
    for similarity in ("cosine", "euclidean", "angular"):
        R = relative_projection(matrix, A.view(np.matrix), similarity=similarity)
        assert type(R) is np.ndarray
        np.testing.assert_array_equal(R, relative_projection(X, A, similarity=similarity))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_are_taken_as_numpy(library):
    frames = pytest.importorskip(library)
    columns = {f"x{j}": X[:, j] for j in range(4)}
    R = relative_projection(frames.DataFrame(columns), A)
    assert type(R) is np.ndarray
    np.testing.assert_allclose(R, relative_projection(X, A), atol=1e-14)
    with pytest.raises(ValueError, match=r"X has 1 dimension\(s\)"):
        relative_projection(frames.DataFrame(columns)["x0"], A)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_with_gaps_or_words_are_refused(library):
    frames = pytest.importorskip(library)
    gap = frames.DataFrame({"a": [1.0, None, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 5.0]})
    with pytest.raises(ValueError, match="anchors contains NaN or infinity in 1 row: 1"):
        relative_projection(X, gap)
    words = frames.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(TypeError, match=r"X has dtype object; expected real numbers"):
        relative_projection(words, A)


# --- the checks by themselves


def test_describe_rows_shows_the_first_five():
    assert _validation.describe_rows([7]) == "1 row: 7"
    assert _validation.describe_rows(range(5)) == "5 rows: 0, 1, 2, 3, 4"
    assert _validation.describe_rows(range(9)) == "9 rows: 0, 1, 2, 3, 4, ..."


def test_check_finite_takes_numbers_whose_sum_overflows(backend):
    _validation.check_finite(backend.array(np.full((3, 4), 3e38, dtype=np.float32)), "X")


def test_check_finite_counts_rows_over_all_blocks(backend, monkeypatch):
    monkeypatch.setattr("relatum._array.BLOCK_BYTES", 64)
    bad = with_rows(X, [0, 7, 19], np.inf)
    with pytest.raises(ValueError, match="Z contains NaN or infinity in 3 rows: 0, 7, 19"):
        _validation.check_finite(backend.array(bad), "Z")


def test_check_overflow_counts_from_the_first_row(backend):
    bad = backend.array(with_rows(X, [1], np.inf).astype(np.float32))
    with pytest.raises(
        ValueError,
        match="the dot of X and anchors leaves the range of float32 in "
        "1 row: 11; scale both down, or compute in float64",
    ):
        _validation.check_overflow(bad, "dot", first_row=10)


def test_as_matrix_asks_for_rows():
    assert _validation.as_matrix(X, "X", min_rows=20).shape == (20, 4)
    with pytest.raises(ValueError, match=r"X has shape \(20, 4\); expected at least 21 row\(s\)"):
        _validation.as_matrix(X, "X", min_rows=21)
    with pytest.raises(ValueError, match="Z contains NaN or infinity in 1 row: 5"):
        _validation.as_matrix(with_rows(X, [5], np.nan), "Z", finite=True)


def test_as_matrix_copies_nothing():
    assert np.shares_memory(_validation.as_matrix(X), X)


def test_check_pair(backend):
    x, y = backend.array(X), backend.array(X[:, :3])
    assert [a.shape for a in _validation.check_pair(x, y)] == [(20, 4), (20, 3)]
    with pytest.raises(ValueError, match="X has 4 features, Y has 3; expected the same number"):
        _validation.check_pair(x, y, same_features=True)
    with pytest.raises(
        ValueError,
        match="S has 20 rows, T has 19; expected the same number: row i of both is the same item",
    ):
        _validation.check_pair(x, y[:19, :], "S", "T")
    with pytest.raises(ValueError, match=r"X has shape \(20, 4\); expected at least 30 row"):
        _validation.check_pair(x, y, min_rows=30)


def test_check_choice():
    assert _validation.check_choice("a", "letter", ["a", "b"]) == "a"
    with pytest.raises(ValueError, match=r"letter is 'q'; expected one of a, b"):
        _validation.check_choice("q", "letter", ["a", "b"])
    with pytest.raises(ValueError, match=r"letter is \['a'\]; expected one of a, b"):
        _validation.check_choice(["a"], "letter", ["a", "b"])


def test_check_integer():
    assert _validation.check_integer(np.int32(3), "k") == 3
    assert _validation.check_integer(0, "k", minimum=0) == 0
    with pytest.raises(ValueError, match="k is 0; expected at least 1"):
        _validation.check_integer(0, "k")
    with pytest.raises(ValueError, match=r"k is 9; expected at most 5$"):
        _validation.check_integer(9, "k", maximum=5)
    with pytest.raises(ValueError, match=r"k is 9; expected at most 5 \(rows of X\)"):
        _validation.check_integer(9, "k", maximum=5, maximum_is="rows of X")
    for bad in (2.0, True, "3", None):
        with pytest.raises(TypeError, match=f"k is {bad!r}; expected an integer"):
            _validation.check_integer(bad, "k")


def test_check_whiten():
    assert _validation.check_whiten(None) is None
    assert _validation.check_whiten(0) == 0.0
    assert _validation.check_whiten(np.float32(0.5)) == 0.5


def test_check_indices(backend):
    rows = _validation.check_indices(backend.array(np.array([3, 0, 2])), "idx", 4)
    assert rows.dtype == np.int64
    assert rows.tolist() == [3, 0, 2]
    assert _validation.check_indices([1, 2], "idx", 4).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([0, 4], ValueError, "idx has row numbers from 0 to 4; expected 0 to 3"),
        ([-1, 2], ValueError, "idx has row numbers from -1 to 2; expected 0 to 3"),
        ([1, 1], ValueError, "idx repeats row numbers; expected each at most once"),
        (np.array([], dtype=int), ValueError, "idx is empty; expected at least one row number"),
        (
            [0.0, 1.0],
            TypeError,
            r"idx has dtype float64 and 1 dimension\(s\); expected 1-D integer",
        ),
        (
            [True, False],
            TypeError,
            r"idx has dtype bool and 1 dimension\(s\); expected 1-D integer",
        ),
        ([[0], [1]], TypeError, r"idx has dtype int64 and 2 dimension\(s\); expected 1-D integer"),
        (None, TypeError, "idx is None"),
    ],
)
def test_check_indices_refuses(indices, error, message):
    with pytest.raises(error, match=message):
        _validation.check_indices(indices, "idx", 4)


def test_random_generator():
    make = _validation.random_generator
    generator = np.random.default_rng(1)
    assert make(generator) is generator
    assert make(3).integers(1000) == make(np.int64(3)).integers(1000)
    legacy = [make(np.random.RandomState(3)).integers(1000) for _ in range(2)]
    assert legacy[0] == legacy[1]
    assert make(None).bit_generator.state != make(None).bit_generator.state


@pytest.mark.parametrize("bad", [-1, True, 1.5, "seed"])
def test_random_generator_refuses(bad):
    with pytest.raises(TypeError, match=f"random_state is {bad!r}; expected None, an integer"):
        _validation.random_generator(bad)


def test_require(monkeypatch):
    assert _validation.require("json", "torch", "this") is sys.modules["json"]
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(
        MissingExtraError,
        match=r"fast search needs faiss; install it with: "
        r"pip install 'relatum\[faiss\]'",
    ):
        _validation.require("faiss.contrib", "faiss", "fast search")
