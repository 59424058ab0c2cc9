"""projection.py: the formula, its invariances, its memory, its inverse and its gradients."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import fractional_matrix_power

from relatum import _array, _gemm, inverse_relative_projection, relative_projection
from relatum._validation import RelatumWarning
from relatum.projection import (
    Space,
    fit_projection,
    hash_ids,
    inverse_project,
    inverse_sqrt,
    prepare,
    project,
    project_unchecked,
)
from relatum.similarity import SIMILARITIES, as_specs

DTYPES = [np.float32, np.float64]
KERNELS = ["cosine", "dot"]

# settings that between them take every path: one product or not, a mean, a whitener, several parts
SETTINGS = [
    {},
    {"center": True},
    {"whiten": 0.3},
    {"center": True, "whiten": 1.0},
    {"similarity": "dot"},
    {"similarity": "dot", "center": True, "whiten": 0.3},
    {"similarity": "angular"},
    {"similarity": "angular", "center": True},
    {"similarity": "euclidean"},
    {"similarity": "manhattan", "center": True},
    {"similarity": "chebyshev"},
    {"similarity": ["cosine", "euclidean", "dot"]},
    {"similarity": ["cosine", "dot"], "center": True, "whiten": 0.5},
]


def ids(setting):
    text = [f"{k}={v}" for k, v in setting.items()]
    return ",".join(text) or "plain"


each_setting = pytest.mark.parametrize("setting", SETTINGS, ids=ids)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def data(seed=0, n=20, k=9, d=5, dtype=np.float64):
    """Rows and anchors away from the origin, as embeddings are."""
    rng = np.random.default_rng(seed)
    offset = 0.5 * rng.normal(size=d)
    return (rng.normal(size=(n, d)) + offset).astype(dtype), (
        rng.normal(size=(k, d)) + offset
    ).astype(dtype)


ONE = {
    "cosine": lambda x, a: x @ a / (np.linalg.norm(x) * np.linalg.norm(a)),
    "dot": lambda x, a: x @ a,
    "angular": lambda x, a: np.arccos(ONE["cosine"](x, a)),
    "euclidean": lambda x, a: np.sqrt(((x - a) ** 2).sum()),
    "manhattan": lambda x, a: np.abs(x - a).sum(),
    "chebyshev": lambda x, a: np.abs(x - a).max(),
}


def oracle(X, A, similarity="cosine", center=False, whiten=None):
    """The definition, one pair at a time, in float64."""
    X, A = np.asarray(X, dtype=float), np.asarray(A, dtype=float)
    if center:
        X, A = X - A.mean(axis=0), A - A.mean(axis=0)
    parts = []
    for name in as_specs(similarity):
        R = np.array([[ONE[name](x, a) for a in A] for x in X])
        if whiten is not None:
            K = np.array([[ONE[name](b, a) for a in A] for b in A])
            R = R @ np.real(fractional_matrix_power(K + whiten * np.eye(len(A)), -0.5))
        parts.append(R)
    return np.concatenate(parts, axis=1)


# --- the formula


@each_dtype
@each_setting
def test_relative_projection_is_the_formula(backend, setting, dtype):
    X, A = data(dtype=dtype)
    x, a = backend.array(X), backend.array(A)
    R = relative_projection(x, a, **setting)
    assert type(R) is type(backend.array(X))
    assert R.dtype == x.dtype
    np.testing.assert_allclose(
        backend.numpy(R), oracle(X, A, **setting), atol=2e-5 if dtype == np.float32 else 1e-11
    )
    np.testing.assert_array_equal(backend.numpy(x), X)  # untouched
    np.testing.assert_array_equal(backend.numpy(a), A)


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 8),
    k=st.integers(2, 8),
    d=st.integers(1, 8),
    center=st.booleans(),
    whiten=st.sampled_from([None, 0.1, 1.0]),
)
def test_relative_projection_is_the_formula_at_any_shape(seed, n, k, d, center, whiten):
    X, A = data(seed, n, k, d)
    setting = {"center": center, "whiten": whiten}
    np.testing.assert_allclose(
        relative_projection(X, A, **setting), oracle(X, A, **setting), atol=1e-8
    )


def test_the_dtype_of_the_result_is_that_of_the_rows():
    X, A = data()
    assert relative_projection(X.astype(np.float32), A).dtype == np.float32
    assert relative_projection(X, A.astype(np.float32)).dtype == np.float64
    assert relative_projection(X.astype(np.float16), A).dtype == np.float32
    assert relative_projection((10 * X).astype(np.int32), A).dtype == np.float64


@each_setting
def test_the_three_ways_to_project_agree(backend, setting):
    X, A = (backend.array(v) for v in data())
    expected = backend.numpy(relative_projection(X, A, **setting))
    fitted = fit_projection(A, **{"similarity": "cosine", **setting})
    for R in (
        project(X, fitted),
        project_unchecked(X, fitted),
        project_unchecked(X, prepare(A, **setting)),
    ):
        np.testing.assert_allclose(backend.numpy(R), expected, atol=1e-12)


@each_setting
def test_a_row_alone_equals_that_row_in_a_batch(setting):
    X, A = data()
    batch = relative_projection(X, A, **setting)
    for i in (0, 7):
        alone = relative_projection(X[i : i + 1], A, **setting)
        np.testing.assert_allclose(alone[0], batch[i], atol=1e-12)


@each_setting
def test_the_answer_does_not_depend_on_how_it_is_cut(backend, setting, monkeypatch):
    X, A = data(n=40)
    expected = relative_projection(X, A, **setting)
    for budget in (150, 1500):
        monkeypatch.setattr(_array, "BLOCK_BYTES", budget)
        R = backend.numpy(relative_projection(backend.array(X), backend.array(A), **setting))
        np.testing.assert_allclose(R, expected, rtol=1e-6, atol=1e-9)


def test_quantised_projects_the_whole_batch_together():
    X, A = data(n=40)
    spec = ("quantised", {"threshold": 0.8})
    R = relative_projection(X, A, similarity=spec)
    np.testing.assert_array_equal(R, SIMILARITIES["quantised"].function(X, A, threshold=0.8))
    whitened = relative_projection(X, A, similarity=spec, whiten=1.0)
    K = SIMILARITIES["quantised"].function(A, A, threshold=0.8)
    np.testing.assert_allclose(
        whitened, R @ fractional_matrix_power(K + np.eye(len(A)), -0.5), atol=1e-10
    )


def test_a_function_of_ones_own():
    X, A = data()

    def laplacian(x, anchors):
        return np.exp(-np.abs(x[:, None] - anchors[None]).sum(axis=2))

    R = relative_projection(X, A, similarity=["cosine", laplacian])
    np.testing.assert_allclose(R[:, len(A) :], np.exp(-oracle(X, A, "manhattan")), atol=1e-12)
    assert fit_projection(A, similarity=laplacian).space.similarity == ("laplacian",)


def test_a_function_of_ones_own_that_goes_wrong_is_refused():
    X, A = data()

    def narrow(x, anchors):
        return x[:, :1]

    def undefined(x, anchors):
        return np.where(x[:, :1] == X[3, 0], np.nan, 1.0) * np.ones(len(anchors))

    with pytest.raises(
        ValueError,
        match=r"similarity narrow returned shape \(20, 1\); expected "
        r"\(20, 9\): \(samples, anchors\)",
    ):
        relative_projection(X, A, similarity=narrow)
    with pytest.raises(
        ValueError, match="the undefined of X and anchors leaves the range of float64 in 1 row: 3"
    ):
        relative_projection(X, A, similarity=undefined)


# --- invariances of the whole


def isometry(rng, *arrays):
    """Into a space of more dimensions, which are rotated."""
    Q, _ = np.linalg.qr(rng.normal(size=(8, arrays[0].shape[1])))
    return [a @ Q.T for a in arrays]


@each_dtype
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("whiten", [None, 0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_isometry_scaling_and_translation(dtype, center, whiten, seed):
    rng = np.random.default_rng(seed)
    X, A = data(seed)
    setting = {"center": center, "whiten": whiten}
    expected = relative_projection(X, A, **setting)
    move = [3.7 * a for a in isometry(rng, X, A)]
    tolerance = 2e-5 if dtype == np.float32 else 1e-9
    moved = relative_projection(*(a.astype(dtype) for a in move), **setting)
    np.testing.assert_allclose(moved, expected, atol=tolerance)
    shifted = relative_projection(*((a + 2.5).astype(dtype) for a in move), **setting)
    change = np.abs(shifted - expected).max()
    assert change < tolerance if center else change > 0.05


def test_rows_may_be_scaled_one_by_one_unless_they_are_centred():
    X, A = data()
    c = np.linspace(0.5, 4, len(X))[:, None]
    for setting in ({}, {"whiten": 0.3}):
        np.testing.assert_allclose(
            relative_projection(c * X, A, **setting),
            relative_projection(X, A, **setting),
            atol=1e-12,
        )
    changed = relative_projection(c * X, A, center=True) - relative_projection(X, A, center=True)
    assert np.abs(changed).max() > 0.05


def test_whitening_makes_the_anchors_inner_products_those_of_the_kernel():
    """λ = 0 is the Nyström map: among anchors R Rᵀ = K."""
    _, A = data(k=12)
    R = relative_projection(A, A, whiten=0.0)
    np.testing.assert_allclose(R @ R.T, oracle(A, A), atol=1e-10)


# --- memory


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"center": True},
        {"center": True, "whiten": 1.0},
        {"similarity": "dot"},
        {"similarity": ["cosine", "dot"], "center": True},
        {"similarity": "euclidean"},
        {"similarity": "manhattan"},
        {"similarity": ["angular", "cosine"]},
    ],
    ids=ids,
)
def test_there_is_no_second_copy_of_the_output(setting, monkeypatch):
    block = 2**16
    monkeypatch.setattr(_array, "BLOCK_BYTES", block)
    monkeypatch.setattr(_array, "n_threads", lambda: 2)
    X, A = data(n=20_000, k=64, d=16, dtype=np.float32)
    relative_projection(X, A, **setting)  # imports
    tracemalloc.start()
    R = relative_projection(X, A, **setting)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    folds = all(SIMILARITIES[s].folds for s in as_specs(setting.get("similarity", "cosine")))
    # what does not fold takes blocks eight times as large, and cuts them again in float64
    assert peak <= 1.03 * R.nbytes + (4 if folds else 24) * block
    assert 24 * block < R.nbytes / 2


@pytest.mark.parametrize("setting", [{}, {"center": True, "whiten": 1.0}], ids=ids)
def test_torch_allocates_one_output(setting, monkeypatch):
    torch = pytest.importorskip("torch")
    from torch.utils._python_dispatch import TorchDispatchMode

    owners = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            result = operation(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                storage = result.untyped_storage()
                if storage.nbytes() >= 2000 * 64 * 4 // 2:
                    owners.add(storage.data_ptr())
            return result

    monkeypatch.setattr(_array, "BLOCK_BYTES", 2**14)
    X, A = (torch.as_tensor(v) for v in data(n=2000, k=64, d=8, dtype=np.float32))
    with Watch():
        relative_projection(X, A, **setting)
    assert len(owners) == 1


# --- the inverse


@pytest.mark.parametrize(
    "setting",
    [
        {"similarity": "dot"},
        {"similarity": "dot", "center": True},
        {"similarity": "dot", "whiten": 0.3},
        {"similarity": "euclidean"},
        {"similarity": "euclidean", "center": True},
        {"similarity": ["manhattan", "euclidean"]},
    ],
    ids=ids,
)
def test_inverse_recovers_rows_exactly(backend, setting):
    for dtype in DTYPES:
        X, A = data(dtype=dtype)
        a = backend.array(A)
        R = relative_projection(backend.array(X), a, **setting)
        back = inverse_relative_projection(R, a, **setting)
        assert back.dtype == R.dtype
        tolerance = 2e-4 if dtype == np.float32 else 1e-8
        np.testing.assert_allclose(backend.numpy(back), X, atol=tolerance)


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"center": True},
        {"whiten": 0.3},
        {"center": True, "whiten": 1.0},
        {"similarity": "angular"},
        {"similarity": "angular", "center": True},
    ],
    ids=ids,
)
def test_inverse_of_a_cosine_recovers_directions_at_the_anchors_norm(backend, setting):
    for dtype in DTYPES:
        X, A = data(dtype=dtype)
        mean = A.mean(axis=0) if setting.get("center") else 0
        norm = np.linalg.norm(A - mean, axis=1).mean()
        expected = mean + norm * (X - mean) / np.linalg.norm(X - mean, axis=1)[:, None]
        a = backend.array(A)
        R = relative_projection(backend.array(X), a, **setting)
        back = backend.numpy(inverse_relative_projection(R, a, **setting))
        np.testing.assert_allclose(back, expected, atol=5e-4 if dtype == np.float32 else 1e-8)


def test_inverse_with_as_many_anchors_as_features():
    X, A = data(k=5)
    for setting in ({"similarity": "dot"}, {"similarity": "dot", "whiten": 0.3}):
        back = inverse_relative_projection(relative_projection(X, A, **setting), A, **setting)
        np.testing.assert_allclose(back, X, atol=1e-8)


def test_inverse_with_fewer_anchors_than_features_is_the_shortest_solution():
    X, A = data(k=3)
    R = relative_projection(X, A, similarity="dot")
    back = inverse_relative_projection(R, A, similarity="dot")
    np.testing.assert_allclose(relative_projection(back, A, similarity="dot"), R, atol=1e-10)
    np.testing.assert_allclose(back, np.linalg.lstsq(A, R.T, rcond=None)[0].T, atol=1e-10)


@pytest.mark.parametrize(
    "setting",
    [{"similarity": "dot"}, {"similarity": "euclidean"}, {}, {"center": True, "whiten": 1.0}],
    ids=ids,
)
def test_inverse_into_another_rotated_space_is_a_translation(setting, rng):
    X, A = data()
    if "similarity" not in setting:
        X, A = (v / np.linalg.norm(v, axis=1)[:, None] for v in (X, A))
    Q, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    R = relative_projection(X, A, **setting)
    there = inverse_relative_projection(R, A @ Q, **setting)
    again = relative_projection(there, A @ Q, **setting)
    np.testing.assert_allclose(again, R, atol=1e-7)
    if not setting.get("center"):
        np.testing.assert_allclose(there, X @ Q, atol=1e-7)


def test_inverse_refuses():
    X, A = data()
    R = relative_projection(X, A)
    with pytest.raises(ValueError, match="R has 8 columns; expected 9: one for each anchor"):
        inverse_relative_projection(R[:, :8], A)
    with pytest.raises(
        ValueError,
        match=r"similarity manhattan \+ chebyshev has no inverse; "
        "cosine, dot, angular and euclidean have one",
    ):
        inverse_relative_projection(np.hstack([R, R]), A, similarity=["manhattan", "chebyshev"])
    R[4, 2] = np.nan
    with pytest.raises(ValueError, match="R contains NaN or infinity in 1 row: 4"):
        inverse_project(R, fit_projection(A))


# --- precision


def test_precision_of_the_computation():
    X, A = data(dtype=np.float32)
    exact = oracle(X, A)
    wide = relative_projection(X, A, precision="float64")
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide, exact, atol=1e-13)
    narrow = relative_projection(X.astype(float), A, precision="float32")
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(narrow, exact, atol=1e-6)


@pytest.mark.parametrize(
    "setting", [{}, {"center": True}, {"whiten": 1.0}, {"center": True, "whiten": 1.0}], ids=ids
)
def test_bfloat16_error_is_below_five_thousandths(backend, setting, monkeypatch):
    pytest.importorskip("torch")
    if not (backend.is_numpy or backend.is_torch):
        pytest.skip("bfloat16 takes NumPy and torch; the refusal is tested in test_gemm.py")
    monkeypatch.setattr(_gemm, "bfloat16_is_fast", lambda: True)
    X, A = data(n=50, k=20, d=64)
    R = relative_projection(backend.array(X), backend.array(A), precision="bfloat16", **setting)
    assert str(R.dtype).endswith("float32")
    error = np.abs(backend.numpy(R) - oracle(X, A, **setting)).max()
    assert 1e-5 < error < 5e-3


def test_precision_refuses(monkeypatch):
    X, A = data()
    with pytest.raises(ValueError, match=r"precision is 'bfloat61' \(did you mean 'bfloat16'\?\)"):
        relative_projection(X, A, precision="bfloat61")
    with pytest.raises(
        ValueError,
        match=r"precision='bfloat16' takes similarities that are one "
        r"product \(cosine, dot\); got cosine \+ angular",
    ):
        relative_projection(X, A, precision="bfloat16", similarity=["cosine", "angular"])


# --- (K + λI)^(-1/2)


@pytest.mark.parametrize("whiten", [0.0, 0.1, 3.0])
def test_inverse_sqrt_against_scipy(backend, whiten):
    _, A = data(k=5, d=7)
    K = A @ A.T
    W = backend.numpy(inverse_sqrt(backend.array(K), whiten))
    np.testing.assert_allclose(W, fractional_matrix_power(K + whiten * np.eye(5), -0.5), atol=1e-9)
    np.testing.assert_allclose(W, W.T, atol=1e-12)


def test_inverse_sqrt_drops_what_has_no_rank():
    _, A = data(k=9, d=4)
    K = A @ A.T
    W = inverse_sqrt(K, 0.0)
    np.testing.assert_allclose(W, fractional_matrix_power(np.linalg.pinv(K), 0.5), atol=1e-6)
    span = W @ K @ W  # the orthogonal projection on the span of K
    np.testing.assert_allclose(span @ span, span, atol=1e-8)
    assert np.trace(span) == pytest.approx(4)


@pytest.mark.parametrize("whiten", [0.0, 0.5])
@pytest.mark.parametrize("eigenvalues", [(1.0, 2.0, 5.0), (2.0, 2.0, 3.0), (2.0, 2.0, 2.0)])
def test_gradient_of_inverse_sqrt_against_finite_differences(eigenvalues, whiten):
    torch = pytest.importorskip("torch")
    Q = torch.linalg.qr(torch.as_tensor(np.random.default_rng(0).normal(size=(3, 3))))[0]
    K = (Q * torch.tensor(eigenvalues, dtype=torch.float64)) @ Q.T
    assert torch.autograd.gradcheck(
        lambda M: inverse_sqrt((M + M.T) / 2, whiten), K.requires_grad_()
    )


@pytest.mark.parametrize("whiten", [0.0, 0.5])
def test_gradient_of_inverse_sqrt_where_there_are_more_anchors_than_features(whiten):
    torch = pytest.importorskip("torch")
    A = torch.as_tensor(data(k=6, d=3)[1]).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: inverse_sqrt(a @ a.T, whiten), A)


# --- gradients of the whole


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"center": True},
        {"whiten": 0.3},
        {"center": True, "whiten": 0.3},
        {"whiten": 0.0},
        {"similarity": "angular", "center": True},
        {"similarity": ["cosine", "euclidean"]},
    ],
    ids=ids,
)
def test_gradients_against_finite_differences(setting):
    torch = pytest.importorskip("torch")
    X, A = (torch.as_tensor(v).requires_grad_() for v in data(n=3, k=4, d=3))
    assert torch.autograd.gradcheck(lambda x, a: relative_projection(x, a, **setting), (X, A))


@each_dtype
def test_gradient_is_that_of_torchs_own_expression(dtype):
    torch = pytest.importorskip("torch")
    from torch.nn.functional import normalize

    X, A = (torch.as_tensor(v).requires_grad_() for v in data(dtype=dtype))
    weights = torch.as_tensor(np.random.default_rng(1).normal(size=(20, 9)).astype(dtype))
    ours = torch.autograd.grad((relative_projection(X, A) * weights).sum(), (X, A))
    theirs = torch.autograd.grad((normalize(X) @ normalize(A).T * weights).sum(), (X, A))
    for mine, expected in zip(ours, theirs, strict=True):
        tolerance = 2e-5 if dtype == np.float32 else 1e-12
        torch.testing.assert_close(mine, expected, rtol=tolerance, atol=tolerance)


@each_dtype
@each_setting
def test_the_value_is_the_same_with_and_without_gradient(setting, dtype):
    torch = pytest.importorskip("torch")
    X, A = (torch.as_tensor(v).requires_grad_() for v in data(dtype=dtype))
    recorded = relative_projection(X, A, **setting)
    assert recorded.requires_grad
    with torch.no_grad():
        plain = relative_projection(X, A, **setting)
    assert not plain.requires_grad
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    torch.testing.assert_close(recorded.detach(), plain, rtol=tolerance, atol=tolerance)


def test_rows_are_checked_under_autograd_too():
    torch = pytest.importorskip("torch")
    X, A = (torch.as_tensor(v) for v in data())
    X[3] = 0
    X.requires_grad_()
    with pytest.warns(RelatumWarning, match=r"X has rows that are zero.*\(1 row: 3\)"):
        relative_projection(X, A).sum().backward()
    assert torch.isfinite(X.grad).all()
    with torch.no_grad():
        X[5, 1] = float("inf")
    with pytest.raises(ValueError, match="X contains NaN or infinity in 1 row: 5"):
        relative_projection(X, A)


# --- scales


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("center", [False, True])
def test_rows_near_underflow_and_overflow(backend, name, center):
    X, A = data(n=6)
    for scale in (1e-30, 1e30) if name != "dot" else (1e-30,):
        small, anchors = (X * scale).astype(np.float32), (A * scale).astype(np.float32)
        R = backend.numpy(
            relative_projection(
                backend.array(small), backend.array(anchors), similarity=name, center=center
            )
        )
        expected = oracle(small, anchors, name, center).astype(np.float32)  # 1e-60 is no float32
        np.testing.assert_allclose(R, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("center", [False, True])
def test_inner_products_that_leave_float32_are_refused(backend, center):
    X, A = (backend.array((1e30 * v).astype(np.float32)) for v in data(n=6))
    with pytest.raises(ValueError, match="leaves the range of float32 in 6 rows: 0, 1, 2"):
        relative_projection(X, A, similarity="dot", center=center)


def test_a_distance_that_leaves_float64_is_refused(backend):
    X, A = data(n=3)
    X[1] *= 1e200
    with pytest.raises(
        ValueError, match="the euclidean of X and anchors leaves the range of float64 in 1 row: 1"
    ):
        relative_projection(backend.array(X), backend.array(A), similarity="euclidean")


# --- rows and anchors without a direction


@pytest.mark.parametrize("name", ["cosine", "angular"])
def test_zero_rows_are_warned_of(backend, name):
    X, A = data()
    X[[1, 4]] = 0
    with pytest.warns(
        RelatumWarning,
        match=r"X has rows that are zero, which have no direction "
        r"\(2 rows: 1, 4\); their cosine to every anchor",
    ):
        R = relative_projection(backend.array(X), backend.array(A), similarity=name)
    np.testing.assert_allclose(backend.numpy(R)[[1, 4]], math.pi / 2 if name == "angular" else 0)


@pytest.mark.parametrize("name", ["cosine", "angular"])
@each_dtype
def test_rows_that_equal_the_anchors_mean_are_warned_of(backend, name, dtype):
    X, A = data(dtype=dtype)
    X[3] = A.mean(axis=0)
    X[6] = A[::-1].sum(axis=0) / dtype(len(A))
    with pytest.warns(
        RelatumWarning,
        match=r"X has rows that equal the anchors' mean.*"
        r"\(2 rows: 3, 6\)",
    ):
        R = relative_projection(backend.array(X), backend.array(A), similarity=name, center=True)
    np.testing.assert_allclose(
        backend.numpy(R)[[3, 6]], math.pi / 2 if name == "angular" else 0, rtol=1e-6
    )


@pytest.mark.parametrize("name", ["cosine", "angular"])
def test_anchors_without_a_direction_are_warned_of(backend, name):
    X, A = data()
    zero = A.copy()
    zero[5] = 0
    with pytest.warns(RelatumWarning, match=r"anchors has rows that are zero.*\(1 row: 5\)"):
        R = relative_projection(backend.array(X), backend.array(zero), similarity=name)
    np.testing.assert_allclose(backend.numpy(R)[:, 5], math.pi / 2 if name == "angular" else 0)
    mean = np.vstack([A, A.mean(axis=0)])
    with pytest.warns(
        RelatumWarning,
        match=r"anchors has rows that equal the anchors' mean.*"
        r"\(1 row: 9\)",
    ):
        fit_projection(backend.array(mean), similarity=name, center=True)


def test_zero_rows_mean_nothing_to_a_distance(backend):
    X, A = data()
    X[1] = 0
    R = relative_projection(backend.array(X), backend.array(A), similarity="euclidean")
    np.testing.assert_allclose(backend.numpy(R)[1], np.linalg.norm(A, axis=1), rtol=1e-12)


# --- fitting


@pytest.mark.parametrize("name", [n for n, s in SIMILARITIES.items() if not s.is_kernel])
def test_whitening_is_refused_for_what_is_not_a_kernel(name):
    X, A = data()
    with pytest.raises(
        ValueError,
        match=r"whiten takes a similarity that is a kernel "
        rf"\(cosine, dot, polynomial, quantised\); '{name}' is not positive",
    ):
        relative_projection(X, A, similarity=name, whiten=1.0)


def test_fit_projection_records_the_space():
    _, A = data()
    fitted = fit_projection(
        A, similarity=["cosine", ("geodesic", {"n_neighbors": 3})], center=True, anchor_ids=range(9)
    )
    assert fitted.n_features == 5
    assert fitted.n_outputs == 18
    assert fitted.space == Space(
        9, 18, ("cosine", "geodesic(n_neighbors=3)"), True, None, hash_ids(range(9))
    )


def test_fit_projection_refuses_ids_of_another_length():
    with pytest.raises(
        ValueError,
        match="anchor_ids has 8 ids, anchors has 9 rows; expected one id for each anchor",
    ):
        fit_projection(data()[1], anchor_ids=list("abcdefgh"))


def test_space_differences():
    here = Space(300, 300, ("cosine",), False, None, "abc")
    assert here.differences(here) == []
    assert here.differences(Space(300, 300, ("cosine",), False, None, None)) == []
    assert here.differences(Space(300, 300, ("cosine",), True, 0.5, "abd")) == [
        "center is False here and True there",
        "whiten is None here and 0.5 there",
        "anchor_ids is abc here and abd there",
    ]
    # outputs differ because anchors do: said once
    assert here.differences(Space(200, 200, ("cosine",), False, None, "abc")) == [
        "n_anchors is 300 here and 200 there"
    ]
    assert here.differences(Space(300, 600, ("cosine", "dot"), False, None)) == [
        "similarity is cosine here and cosine+dot there"
    ]
    assert here.differences(Space(300, 299, ("cosine",), False, None)) == [
        "n_outputs is 300 here and 299 there"
    ]


def test_hash_ids():
    assert hash_ids(None) is None
    assert hash_ids(["a", "b"]) == hash_ids(np.array(["a", "b"])) == hash_ids(("a", "b"))
    assert hash_ids([1, 2]) == hash_ids(np.array([1, 2])) == hash_ids(range(1, 3))
    assert hash_ids(["a", "b"]) != hash_ids(["b", "a"])  # parallel means in the same order
    assert len(hash_ids(["a"])) == 16
