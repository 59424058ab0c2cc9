"""The scikit-learn shells: the library's own checks, and parity with the functions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import relatum
from relatum import HeadNormalizer, RelativeProjection
from relatum.similarity import SIMILARITIES
from relatum.stitching import standardize

X = np.random.default_rng(0).normal(size=(80, 9)) + 0.5


@pytest.mark.filterwarnings("ignore::relatum.RelatumWarning")  # their data has repeated rows
@parametrize_with_checks(
    [
        RelativeProjection(),
        RelativeProjection(5, center=True, whiten=0.5, random_state=0),
        RelativeProjection(5, similarity=["euclidean", "manhattan"], random_state=0),
        HeadNormalizer(),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", SIMILARITIES)
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_transform_is_the_function(name, center, dtype):
    spec = ("quantised", {"n_clusters": 20}) if name == "quantised" else name
    whiten = 0.3 if SIMILARITIES[name].is_kernel else None
    data = X.astype(dtype)
    shell = RelativeProjection(12, similarity=spec, center=center, whiten=whiten, random_state=1)
    R = shell.fit(data).transform(data)
    assert R.dtype == dtype
    expected = relatum.relative_projection(
        data, data[shell.anchor_indices_], similarity=spec, center=center, whiten=whiten
    )
    np.testing.assert_array_equal(R, expected)
    chosen = relatum.select_anchors(data, 12, random_state=1)
    np.testing.assert_array_equal(shell.anchor_indices_, chosen)


@pytest.mark.parametrize("kwargs", [{}, {"center": True}, {"center": True, "whiten": 0.3}])
def test_inverse_transform_is_the_function(kwargs):
    shell = RelativeProjection(20, random_state=0, **kwargs).fit(X)
    R = shell.transform(X)
    expected = relatum.inverse_relative_projection(R, shell.anchors_, **kwargs)
    np.testing.assert_array_equal(shell.inverse_transform(R), expected)


def test_feature_names_are_the_anchors_ids():
    ids = [f"item-{i}" for i in range(80)]
    shell = RelativeProjection(3, random_state=0).fit(X, ids=ids)
    assert shell.get_feature_names_out().tolist() == [ids[i] for i in shell.anchor_indices_]
    two = RelativeProjection(2, similarity=["cosine", "dot"], random_state=0).fit(X, ids=ids)
    a, b = (ids[i] for i in two.anchor_indices_)
    assert two.get_feature_names_out().tolist() == [
        f"cosine:{a}",
        f"cosine:{b}",
        f"dot:{a}",
        f"dot:{b}",
    ]


def test_pandas_out_has_the_ids_as_columns():
    pd = pytest.importorskip("pandas")
    shell = RelativeProjection(3, random_state=0).set_output(transform="pandas")
    frame = shell.fit_transform(pd.DataFrame(X, columns=list("abcdefghi")))
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [str(i) for i in shell.anchor_indices_]


def test_every_row_is_an_anchor_without_a_number():
    shell = RelativeProjection().fit(X[:7])
    np.testing.assert_array_equal(shell.anchors_, X[:7])
    assert shell.transform(X).shape == (80, 7)


def test_stratified_takes_classes_from_y():
    y = np.repeat([0, 1, 2, 3], 20)
    shell = RelativeProjection(8, method="stratified", random_state=0).fit(X, y)
    assert np.bincount(y[shell.anchor_indices_]).tolist() == [2, 2, 2, 2]
    with pytest.raises(ValueError, match="method 'stratified' needs labels"):
        RelativeProjection(8, method="stratified").fit(X)


def test_torch_in_torch_out():
    torch = pytest.importorskip("torch")
    T = torch.tensor(X)
    shell = RelativeProjection(10, center=True, whiten=1.0, random_state=0).fit(T)
    R = shell.transform(T)
    assert isinstance(R, torch.Tensor)
    plain = RelativeProjection(10, center=True, whiten=1.0, random_state=0).fit(X).transform(X)
    np.testing.assert_allclose(R.numpy(), plain, atol=1e-12)


def test_space_says_what_kind_of_space_it_is():
    ids = np.arange(80)
    first = RelativeProjection(5, random_state=0).fit(X, ids=ids)
    same = RelativeProjection(5, random_state=0).fit(X @ np.diag(range(1, 10)), ids=ids)
    other = RelativeProjection(5, random_state=1).fit(X, ids=ids)
    assert first.space_ == same.space_
    assert [d.split(" is ")[0] for d in first.space_.differences(other.space_)] == ["anchor_ids"]


def test_pipeline_clone_and_grid_search_on_digits():
    digits = load_digits()
    pipeline = make_pipeline(
        RelativeProjection(60, random_state=0), HeadNormalizer(), LogisticRegression(max_iter=500)
    )
    search = GridSearchCV(pipeline, {"relativeprojection__center": [False, True]}, cv=3)
    search.fit(digits.data[:600], digits.target[:600])
    assert search.score(digits.data[600:], digits.target[600:]) > 0.85
    assert clone(pipeline).get_params()["relativeprojection__n_anchors"] == 60


def test_a_head_runs_on_a_rotated_encoder():
    digits = load_digits()
    A, y = digits.data, digits.target
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))[0]
    B = 3.0 * A @ Q
    a = RelativeProjection(100, random_state=0).fit(A[:1000])
    b = RelativeProjection().fit(B[a.anchor_indices_])
    head = LogisticRegression(max_iter=1000).fit(a.transform(A[:1000]), y[:1000])
    native = head.score(a.transform(A[1000:]), y[1000:])
    assert native > 0.85
    assert head.score(b.transform(B[1000:]), y[1000:]) == pytest.approx(native, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: RelativeProjection().transform(X), NotFittedError, "not fitted yet"),
        (lambda: RelativeProjection().inverse_transform(X), NotFittedError, "not fitted yet"),
        (lambda: RelativeProjection().get_feature_names_out(), NotFittedError, "not fitted yet"),
        (lambda: RelativeProjection().space_, NotFittedError, "not fitted yet"),
        (lambda: RelativeProjection(200).fit(X), ValueError, "n_anchors is 200; expected at most"),
        (lambda: RelativeProjection(1).fit(X), ValueError, "anchors has 1 row; expected at least"),
        (lambda: RelativeProjection(5, whiten=-1).fit(X), ValueError, "whiten is -1"),
        (
            lambda: RelativeProjection(5, similarity="cosin").fit(X),
            ValueError,
            "similarity is 'cosin' .did you mean 'cosine'",
        ),
        (
            lambda: RelativeProjection(5).fit(X, ids=[1, 2]),
            ValueError,
            "ids has 2 entries, X has 80 rows",
        ),
        (
            lambda: RelativeProjection(5).fit(X).transform(X[:, :4]),
            ValueError,
            "X has 4 features, but RelativeProjection is expecting 9 features",
        ),
        (
            lambda: RelativeProjection(5).fit(X).inverse_transform(X),
            ValueError,
            "R has 9 columns; expected 5",
        ),
        (lambda: HeadNormalizer("batch").fit(X), ValueError, "mode is 'batch'"),
        (lambda: HeadNormalizer(eps=-1).fit(X), ValueError, "eps is -1"),
    ],
)
def test_bad_use_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_head_normalizer_in_both_modes():
    shifted = 2 * X + 5
    inductive = HeadNormalizer().fit(X)
    np.testing.assert_allclose(
        inductive.transform(shifted), (shifted - X.mean(0)) / np.sqrt(X.var(0) + 1e-5)
    )
    transductive = HeadNormalizer("transductive").fit(X)
    np.testing.assert_allclose(transductive.transform(shifted), standardize(shifted))
    with pytest.raises(ValueError, match="row"):
        transductive.transform(X[:1])


def test_import_is_lazy():
    code = (
        "import sys, relatum; bad = [m for m in ('torch', 'sklearn', 'scipy', 'pyarrow', 'faiss',"
        " 'typer', 'pandas', 'matplotlib') if m in sys.modules]; print(bad)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_public_names_exist():
    for name in relatum.__all__:
        assert getattr(relatum, name) is not None
    assert set(relatum.__all__) <= set(dir(relatum))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = relatum.nothing
