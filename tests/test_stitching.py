"""Stitching of scikit-learn objects and callables; torch modules are in test_nn.py."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import relatum
from relatum import RelativeProjection, bind, stitch
from relatum.projection import fit_projection, project
from relatum.stitching import Inverse, inverse, space_of, standardize

rng = np.random.default_rng(0)
A = rng.normal(size=(120, 8)) + 0.3
Q = np.linalg.qr(rng.normal(size=(8, 8)))[0]
B = 2.5 * A @ Q  # another encoder's space: rotated and scaled
y = (A[:, 0] + A[:, 1] > 0.6).astype(int)


def projection(X=A, k=20, **kwargs):
    return RelativeProjection(k, random_state=0, **kwargs).fit(X)


def head(k=20, **kwargs):
    shell = projection(k=k, **kwargs)
    return bind(LogisticRegression().fit(shell.transform(A), y), shell)


# ---- standardize


def test_standardize_is_the_formula(backend):
    R = rng.normal(3.0, 2.0, size=(50, 4))
    out = standardize(backend.array(R))
    np.testing.assert_allclose(
        backend.numpy(out), (R - R.mean(0)) / np.sqrt(R.var(0) + 1e-5), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(
        backend.numpy(standardize(backend.array(R), backend.array(R[:20]), eps=0.0)),
        StandardScaler().fit(R[:20]).transform(R),
        rtol=1e-10,
        atol=1e-12,
    )


def test_standardize_keeps_float32_and_is_exact_far_from_zero():
    R = (rng.normal(size=(40_000, 3)) + 1e4).astype(np.float32)
    out = standardize(R)
    assert out.dtype == np.float32
    wide = R.astype(np.float64)
    expected = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5)
    assert np.abs(out - expected).max() < 2e-3  # half a unit of 1e4 in float32


def test_standardize_of_a_constant_column():
    R = np.column_stack([np.full(5, 2.0), np.arange(5.0)])
    assert (standardize(R)[:, 0] == 0).all()
    assert (standardize(R, eps=0.0)[:, 0] == 0).all()


def test_standardize_passes_the_gradient():
    torch = pytest.importorskip("torch")
    R = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    ref = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(standardize, (R,))
    assert torch.autograd.gradcheck(standardize, (R, ref))


@pytest.mark.parametrize(
    ("args", "match"),
    [
        ((A[:1],), "R has 1 row, whose columns have no variance"),
        ((A, A[:1]), "reference has shape .* expected at least 2 row"),
        ((A, A[:, :3]), "R has 8 features, reference has 3"),
        ((A, None, -1.0), "eps is -1.0"),
        ((np.full((3, 2), np.nan),), "R contains NaN"),
    ],
)
def test_standardize_refuses(args, match):
    with pytest.raises(ValueError, match=match):
        standardize(*args)


# ---- bind and space_of


def test_space_of_everything_that_has_one():
    shell = projection(center=True)
    space = shell.space_
    assert space.n_anchors == 20
    assert space_of(space) is space
    assert space_of(shell) == space
    assert space_of(shell.projection_) == space
    assert space_of(bind(LogisticRegression(), shell)) == space
    assert space_of(bind(LogisticRegression(), space)) == space
    assert space_of(make_pipeline(shell, RidgeClassifier()).fit(A, y)) == space
    assert space_of(inverse(shell)) == space
    for other in (LogisticRegression(), np.ones, None, 3):
        assert space_of(other) is None


def test_space_of_an_unfitted_projection():
    with pytest.raises(NotFittedError, match=r"RelativeProjection.*not fitted"):
        space_of(RelativeProjection())


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: bind(LogisticRegression(), "cosine"), "projection is str; expected a relative"),
        (lambda: bind(A.sum, projection()), "head is builtin.*wrap it in a function"),
        (lambda: inverse(LogisticRegression()), "projection is LogisticRegression; expected"),
    ],
)
def test_bind_and_inverse_refuse(call, match):
    with pytest.raises(TypeError, match=match):
        call()


# ---- stitch: what comes out


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"center": True}, {"center": True, "whiten": 0.5}, {"similarity": ["cosine", "angular"]}],
)
def test_a_rotated_encoder_is_decoded_as_well_as_the_own(kwargs):
    native = projection(**kwargs)
    decoder = bind(LogisticRegression().fit(native.transform(A), y), native)
    other = RelativeProjection(**kwargs).fit(B[native.anchor_indices_])
    model = stitch(None, other, decoder)
    np.testing.assert_array_equal(model.predict(B), decoder.predict(native.transform(A)))
    np.testing.assert_allclose(
        model.predict_proba(B), decoder.predict_proba(native.transform(A)), atol=1e-6
    )
    assert model.score(B, y) == decoder.score(native.transform(A), y) > 0.9
    assert model.classes_.tolist() == [0, 1]
    assert model.decision_function(B).shape == (120,)


def test_of_a_pipeline_the_steps_after_the_projection_are_used():
    pipeline = make_pipeline(projection(), StandardScaler(), RidgeClassifier()).fit(A, y)
    fitted = pipeline[0]
    other = RelativeProjection().fit(B[fitted.anchor_indices_])
    model = stitch(None, other, pipeline)
    np.testing.assert_array_equal(model.predict(B), pipeline.predict(A))
    assert not hasattr(model, "predict_proba")
    with pytest.raises(AttributeError, match="no predict_proba: its decoder is Pipeline"):
        model.predict_proba(B)
    # the projection may stand behind steps of its own encoder
    deep = make_pipeline(StandardScaler(), projection(), RidgeClassifier()).fit(A, y)
    scaled = StandardScaler().fit_transform(A)[deep[1].anchor_indices_]
    model = stitch(deep[0], RelativeProjection().fit(scaled), deep)
    np.testing.assert_array_equal(model.predict(A), deep.predict(A))


def test_encoders_of_every_kind():
    shell, decoder = projection(), head()
    expected = decoder.predict(shell.transform(A))
    texts = [str(i) for i in range(len(A))]
    assert_same = np.testing.assert_array_equal
    assert_same(stitch(None, shell, decoder).predict(A), expected)
    assert_same(stitch(None, shell.projection_, decoder).predict(A), expected)
    lookup = stitch(lambda rows: A[[int(t) for t in rows]], shell, decoder)
    assert_same(lookup.predict(texts), expected)
    identity = FunctionTransformer().fit(A)
    assert_same(stitch(identity, shell, decoder)(A), expected)


def test_decoders_of_every_kind():
    shell = projection()
    R = shell.transform(A)
    decode = bind(lambda R: R @ np.arange(20.0), shell)
    np.testing.assert_allclose(stitch(None, shell, decode)(A), R @ np.arange(20.0))
    scaler = StandardScaler().fit(R)
    model = stitch(None, shell, scaler)
    np.testing.assert_array_equal(model.transform(A), scaler.transform(R))
    np.testing.assert_array_equal(model(A), scaler.transform(R))
    assert not hasattr(model, "predict")
    regression = LinearRegression().fit(R, A[:, 2])
    assert stitch(None, shell, regression).score(A, A[:, 2]) == regression.score(R, A[:, 2])
    assert "projection=RelativeProjection, decoder=LinearRegression" in repr(
        stitch(None, shell, regression)
    )
    assert not hasattr(stitch(None, shell, decode), "score")
    with pytest.raises(AttributeError):
        _ = stitch(None, shell, decode).classes_


def test_stitching_at_several_layers_is_the_chain():
    first = projection()
    hidden = np.tanh(first.transform(A) @ rng.normal(size=(20, 6)))
    second = projection(hidden, k=15)
    W = rng.normal(size=(20, 6))
    second = second.fit(np.tanh(first.transform(A) @ W))
    model = stitch(
        None,
        first,
        lambda R: np.tanh(R @ W),
        second,
        RidgeClassifier().fit(second.transform(np.tanh(first.transform(A) @ W)), y),
    )
    assert [name for name, _ in model.steps] == [
        "projection",
        "block_2",
        "projection_2",
        "decoder",
    ]
    latent = second.transform(np.tanh(first.transform(A) @ W))
    np.testing.assert_array_equal(model.predict(A), model.steps[-1][1].predict(latent))


def test_the_inverse_leads_into_the_other_absolute_space():
    rest = LinearRegression().fit(B, A[:, 0])
    ours, theirs = (
        RelativeProjection(similarity="dot", center=True).fit(X[:30]) for X in (A * 2.5, B)
    )
    part = inverse(theirs)
    assert isinstance(part, Inverse)
    assert part.n_features == 8
    model = stitch(None, ours, part, rest)
    np.testing.assert_allclose(model.predict(A * 2.5), rest.predict(B), atol=1e-8)
    same = stitch(None, ours.projection_, inverse(theirs.projection_), rest)
    np.testing.assert_allclose(same.predict(A * 2.5), rest.predict(B), atol=1e-8)


def test_real_encoders_on_digits():
    """A head of one encoder decodes another of another width and kind."""
    data, target = load_digits(return_X_y=True)
    encoders = [PCA(40, random_state=0), Nystroem(gamma=5e-4, n_components=90, random_state=1)]
    train, test = slice(0, 1200), slice(1200, None)
    anchors = relatum.select_anchors(data[train], 150, random_state=0)
    spaces = [e.fit(data[train]) for e in encoders]
    shells = [
        RelativeProjection(center=True, whiten=0.1).fit(e.transform(data[anchors])) for e in spaces
    ]
    heads = [
        bind(RidgeClassifier().fit(s.transform(e.transform(data[train])), target[train]), s)
        for e, s in zip(spaces, shells, strict=True)
    ]
    for i, j in ((0, 1), (1, 0)):
        native = stitch(spaces[i], shells[i], heads[i]).score(data[test], target[test])
        stitched = stitch(spaces[i], shells[i], heads[j]).score(data[test], target[test])
        assert native > 0.85
        assert stitched > 0.85 * native


# ---- stitch: what is refused


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"k": 25}, "n_anchors is 20 here and 25 there"),
        ({"similarity": "angular"}, "similarity is cosine here and angular there"),
        ({"center": True}, "center is False here and True there"),
        ({"whiten": 0.5}, "whiten is None here and 0.5 there"),
        ({"k": 25, "center": True}, "n_anchors is .* there; center is"),
    ],
)
@pytest.mark.parametrize("as_pipeline", [False, True])
def test_a_head_of_another_space(kwargs, match, as_pipeline):
    kwargs = dict(kwargs)
    decoder = head(**kwargs)
    if as_pipeline:
        decoder = make_pipeline(projection(**kwargs), LogisticRegression()).fit(A, y)
    with pytest.raises(ValueError, match=f"decoder belongs to another relative space.*{match}"):
        stitch(None, projection(), decoder)


def test_anchor_ids_that_are_not_parallel():
    ids = np.arange(100, 120)
    trained = RelativeProjection().fit(A[:20], ids=ids)
    decoder = bind(RidgeClassifier().fit(trained.transform(A), y), trained)
    parallel = RelativeProjection().fit(B[:20], ids=ids)
    np.testing.assert_array_equal(
        stitch(None, parallel, decoder).predict(B), decoder.predict(trained.transform(A))
    )
    with pytest.raises(ValueError, match=r"another relative space.*anchor_ids is"):
        stitch(None, RelativeProjection().fit(B[:20], ids=ids[::-1]), decoder)
    shuffled = RelativeProjection().fit(B[:20], ids=ids[::-1])
    with pytest.raises(ValueError, match="inverse belongs to another relative space"):
        stitch(None, trained, inverse(shuffled), lambda X: X)


shell20 = projection()
plain = LogisticRegression().fit(shell20.transform(A), y)


@pytest.mark.parametrize(
    ("parts", "error", "match"),
    [
        ((None, shell20), ValueError, "expected a decoder after them"),
        ((shell20, shell20, plain), ValueError, "encoder is a relative projection; expected an"),
        ((None, plain, shell20), ValueError, "projection is LogisticRegression; expected a rel"),
        ((None, shell20, shell20), ValueError, "the last part is a relative projection; expected"),
        ((None, shell20, np.sin, np.cos, plain), ValueError, "block_3 is a network part and follo"),
        ((None, shell20, shell20, plain), ValueError, "projection_1 is a relative projection and"),
        ((None, shell20, np.sin, inverse(shell20), plain), ValueError, "inverse_2 is an inverse"),
        ((None, shell20, None), TypeError, "decoder is None; expected"),
        ((None, shell20, 3), TypeError, "decoder is int; expected a torch module"),
        (("bert", shell20, plain), TypeError, "encoder is str; expected a torch module"),
        ((plain, shell20, plain), TypeError, "encoder is LogisticRegression, which has no trans"),
        ((None, projection(k=7), plain), ValueError, "decoder takes 20 features.* gives 7"),
        ((None, shell20, inverse(shell20), plain), ValueError, "takes 20 features.* gives 8"),
        ((None, RelativeProjection(), plain), NotFittedError, "projection .*not fitted"),
        ((None, shell20, LogisticRegression()), NotFittedError, "decoder .Logistic.* not fitted"),
        ((PCA(3), shell20, plain), NotFittedError, "encoder .PCA. is not fitted"),
        ((None, shell20, make_pipeline(shell20)), ValueError, "pipeline that ends with its rela"),
        (
            (make_pipeline(StandardScaler(), projection()).fit(A), shell20, plain),
            ValueError,
            r"encoder is a pipeline that holds a relative projection; .*encoder\[:1\]",
        ),
    ],
)
def test_parts_that_do_not_fit_together(parts, error, match):
    with pytest.raises(error, match=match):
        stitch(*parts)


def test_arrays_of_another_library_reach_the_part_that_takes_them():
    torch = pytest.importorskip("torch")
    shell = projection()
    decoder = head()
    expected = decoder.predict(shell.transform(A))
    np.testing.assert_array_equal(stitch(None, shell, decoder).predict(torch.tensor(A)), expected)
    fitted = fit_projection(torch.tensor(shell.anchors_))
    np.testing.assert_array_equal(stitch(None, fitted, decoder).predict(A), expected)
    decode = stitch(None, fitted, lambda R: R.sum(1))
    np.testing.assert_allclose(decode(A), project(A, shell.projection_).sum(1), rtol=1e-9)
    assert isinstance(decode(A), np.ndarray)
    assert isinstance(decode(torch.tensor(A)), torch.Tensor)
    back = stitch(None, shell, inverse(shell), lambda X: X)
    assert isinstance(back(torch.tensor(A)), torch.Tensor)


def test_import_needs_neither_torch_nor_scikit_learn():
    code = (
        "import sys, relatum.stitching; print([m for m in ('torch','sklearn') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
