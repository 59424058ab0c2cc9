"""similarity.py: tests generated from its table, and an independent oracle for each entry."""

from __future__ import annotations

import math
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree, shortest_path
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.preprocessing import normalize

from relatum import _array, _gemm, _minkowski, _quantised
from relatum.similarity import (
    SIMILARITIES,
    TRANSFORMATIONS,
    Similarity,
    angular,
    as_specs,
    chebyshev,
    cosine,
    geodesic,
    manhattan,
    polynomial,
    quantised,
    similarity,
    spec_name,
)

# An entry that cannot run on its defaults, or runs differently, is tested with these.
PARAMETERS = {
    "quantised": [{"threshold": 0.8}, {"n_clusters": 6}],
    "geodesic": [{}, {"n_neighbors": 2}],
    "polynomial": [{}, {"degree": 2}],
}
SPECS = [(name, p) for name in SIMILARITIES for p in PARAMETERS.get(name, [{}])]
DTYPES = [np.float32, np.float64]


def ids(value):
    return spec_name(value) if isinstance(value, tuple) else None


each_spec = pytest.mark.parametrize("spec", SPECS, ids=ids)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def compute(spec, X, anchors):
    return np.asarray(similarity(spec).function(X, anchors))


def data(seed, n=14, k=9, d=5, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng, rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(k, d)).astype(dtype)


# --- the table's declarations


def orthogonal(rng, *arrays):
    Q, _ = np.linalg.qr(rng.normal(size=(arrays[0].shape[1],) * 2))
    return [a @ Q for a in arrays]


def signed_permutation(rng, *arrays):
    d = arrays[0].shape[1]
    order, signs = rng.permutation(d), rng.choice([-1.0, 1.0], size=d)
    return [a[:, order] * signs for a in arrays]


def translation(rng, *arrays):
    t = 2 * rng.normal(size=arrays[0].shape[1])
    return [a + t for a in arrays]


def scaling(rng, *arrays):
    c = np.exp(rng.uniform(0.5, 2) * rng.choice([-1, 1]))
    return [a * c for a in arrays]


def row_scaling(rng, *arrays):
    return [a * np.exp(rng.uniform(-2, 2, size=(len(a), 1))) for a in arrays]


MOVES = {f.__name__: f for f in (orthogonal, signed_permutation, translation, scaling, row_scaling)}


def change(spec, move, seed, dtype, d=5):
    """Largest change of the result under ``move``, relative to the largest result."""
    rng, X, A = data(seed, d=d)
    before = compute(spec, X.astype(dtype), A.astype(dtype))
    after = compute(spec, *(a.astype(dtype) for a in MOVES[move](rng, X, A)))
    return np.abs(after - before).max() / max(1e-3, np.abs(before).max())


def test_every_declared_name_is_a_transformation_and_has_a_test():
    assert set(MOVES) == set(TRANSFORMATIONS)
    for entry in SIMILARITIES.values():
        assert entry.invariant_to <= set(TRANSFORMATIONS)


@each_dtype
@each_spec
@pytest.mark.parametrize("move", TRANSFORMATIONS)
def test_invariance_holds_exactly_where_it_is_declared(spec, move, dtype):
    seeds = range(2 if spec[0] == "quantised" else 4)  # clustering takes its time
    changes = [change(spec, move, seed, dtype) for seed in seeds]
    if move in SIMILARITIES[spec[0]].invariant_to:
        assert max(changes) < (2e-5 if dtype == np.float32 else 1e-9)
    else:
        assert max(changes) > 0.05  # a witness


@pytest.mark.parametrize("name", [n for n in SIMILARITIES if n not in PARAMETERS])
@given(seed=st.integers(0, 1000), d=st.integers(1, 6))
def test_invariance_holds_for_any_shape(name, seed, d):
    for move in SIMILARITIES[name].invariant_to:
        # near 0 and π an angle in float64 carries the square root of the rounding error
        assert change((name, {}), move, seed, np.float64, d) < (1e-7 if name == "angular" else 1e-9)


@each_dtype
@each_spec
@settings(max_examples=10)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(1, 5),
    k=st.integers(2, 5),
    d=st.integers(1, 4),
    exponent=st.integers(-20, 20),
)
def test_results_are_finite_and_in_the_declared_range(spec, dtype, seed, n, k, d, exponent):
    entry = SIMILARITIES[spec[0]]
    if spec[0] == "dot" and dtype == np.float32:
        exponent = exponent % 15  # a product of two 1e20 is no float32: the projection refuses it
    rng, X, A = data(seed, n=n, k=k, d=d)
    parameters = {key: min(v, n + k) if key == "n_clusters" else v for key, v in spec[1].items()}
    X, A = X * 10.0**exponent, A * 10.0**exponent
    X[rng.integers(n)] = A[0]  # an anchor itself
    if seed % 3 == 0:
        X[0] = 0
    R = compute((spec[0], parameters), X.astype(dtype), A.astype(dtype))
    low, high = entry.range
    slack = 4 * np.finfo(dtype).eps
    assert R.shape == (n, k)
    assert R.dtype == dtype
    assert np.isfinite(R).all()
    assert R.min() >= low - slack
    assert R.max() <= high + 4 * slack


@each_spec
def test_orientation_a_row_near_an_anchor_is_closer_than_a_far_one(spec):
    for seed in range(5):
        rng, _, A = data(seed)
        near, far = A + 1e-3 * rng.normal(size=A.shape), -A
        R = compute(spec, np.concatenate([near, far]), A)
        nearest, farthest = np.diag(R[: len(A)]), np.diag(R[len(A) :])
        closer = (
            nearest > farthest if SIMILARITIES[spec[0]].higher_is_closer else (nearest < farthest)
        )
        assert closer.all()


@each_spec
def test_a_kernel_is_positive_semidefinite_and_anything_else_has_a_witness(spec):
    least = []
    for seed in range(5):
        _, _, A = data(seed, k=12)
        K = compute(spec, A, A)
        np.testing.assert_allclose(K, K.T, atol=1e-7)
        least.append(np.linalg.eigvalsh((K + K.T) / 2).min() / np.abs(K).max())
    if SIMILARITIES[spec[0]].is_kernel:
        assert min(least) >= -1e-12
    else:
        assert min(least) < -1e-2


@each_spec
def test_row_wise_means_that_a_row_alone_equals_that_row_in_a_batch(spec):
    parameters = {k: min(v, 6) for k, v in spec[1].items()}
    largest = 0.0
    for seed in range(2):
        _, X, A = data(seed, n=8)
        batch = compute((spec[0], parameters), X, A)
        alone = [compute((spec[0], parameters), X[i : i + 1], A)[0] for i in range(len(X))]
        largest = max(largest, np.abs(batch - np.stack(alone)).max())
    if SIMILARITIES[spec[0]].row_wise:
        assert largest < 1e-12
    else:
        assert largest > 0.01


@pytest.mark.parametrize("name", [n for n, s in SIMILARITIES.items() if s.folds])
def test_what_folds_is_one_product(name):
    _, X, A = data(0)
    unit = SIMILARITIES[name].folds == "unit"
    basis = (_gemm.unit_rows(A) if unit else A).T
    np.testing.assert_allclose(
        compute(name, X, A), _gemm.expression(X, basis, None, unit), atol=1e-14
    )


# --- back ends


@each_spec
def test_back_ends_agree_with_numpy(backend, spec):
    for dtype in DTYPES:
        _, X, A = data(3, dtype=dtype)
        expected = compute(spec, X, A)
        x, a = backend.array(X), backend.array(A)
        R = similarity(spec).function(x, a)
        assert type(R) is type(backend.array(expected))
        assert R.dtype == x.dtype
        tolerance = 1e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(backend.numpy(R), expected, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(backend.numpy(x), X)  # untouched
        np.testing.assert_array_equal(backend.numpy(a), A)


@each_spec
def test_blocks_do_not_change_the_result(backend, spec, monkeypatch):
    _, X, A = data(4, n=60)
    expected = compute(spec, X, A)
    monkeypatch.setattr(_array, "BLOCK_BYTES", 2000)
    R = similarity(spec).function(backend.array(X), backend.array(A))
    np.testing.assert_allclose(backend.numpy(R), expected, rtol=1e-6, atol=1e-9)


# --- gradients


@each_dtype
@each_spec
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_values_and_gradients_are_finite_everywhere(spec, dtype, scale):
    torch = pytest.importorskip("torch")
    _, X, A = data(5)
    X[0], X[1], X[2], X[3] = A[0], -A[1], 0, A[2] + 1e-9  # itself, opposite, zero, close
    A[3] = 0
    x, a = (torch.tensor((v * scale).astype(dtype), requires_grad=True) for v in (X, A))
    R = similarity(spec).function(x, a)
    overflows = spec[0] == "dot" and dtype == np.float32 and scale > 1
    assert overflows or torch.isfinite(R).all()
    R.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert a.grad is None or torch.isfinite(a.grad).all()


@each_spec
def test_gradients_against_finite_differences(spec):
    torch = pytest.importorskip("torch")
    _, X, A = data(6, n=3, k=4, d=3)
    x, a = (torch.tensor(v, requires_grad=True) for v in (X, A))
    # the geodesic takes the graph among the anchors as given
    moving = (x,) if spec[0] == "geodesic" else (x, a)
    function = similarity((spec[0], {k: min(v, 4) for k, v in spec[1].items()})).function
    fixed = (a.detach(),) if spec[0] == "geodesic" else ()
    assert torch.autograd.gradcheck(lambda *v: function(*v, *fixed), moving)


@each_spec
def test_the_value_is_the_same_with_and_without_gradient(spec):
    torch = pytest.importorskip("torch")
    _, X, A = data(7, dtype=np.float32)
    x, a = torch.tensor(X, requires_grad=True), torch.tensor(A)
    recorded = similarity(spec).function(x, a)
    assert recorded.requires_grad
    with torch.no_grad():
        plain = similarity(spec).function(x, a)
    torch.testing.assert_close(recorded.detach(), plain, rtol=1e-5, atol=1e-5)


# --- oracles


@each_dtype
@pytest.mark.parametrize(
    ("name", "metric"),
    [("euclidean", "euclidean"), ("manhattan", "cityblock"), ("chebyshev", "chebyshev")],
)
def test_distances_against_scipy(name, metric, dtype):
    _, X, A = data(8, n=50, k=20, d=30, dtype=dtype)
    expected = cdist(X.astype(float), A.astype(float), metric)
    np.testing.assert_allclose(
        compute(name, X, A), expected, rtol=2e-6 if dtype == np.float32 else 1e-12
    )


@each_dtype
def test_cosine_and_dot_against_scikit_learn(dtype):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    _, X, A = data(9, n=50, k=20, d=30, dtype=dtype)
    X[3] = 0
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(cosine(X, A), pairwise.cosine_similarity(X, A), atol=tolerance)
    np.testing.assert_allclose(
        compute("dot", X, A), pairwise.linear_kernel(X, A), atol=30 * tolerance
    )


@each_dtype
def test_angular_against_arccos_in_float64(dtype):
    _, X, A = data(10, n=50, k=20, d=30, dtype=dtype)
    unit = [v.astype(float) / np.linalg.norm(v.astype(float), axis=1)[:, None] for v in (X, A)]
    expected = np.arccos(unit[0] @ unit[1].T)
    np.testing.assert_allclose(angular(X, A), expected, atol=3e-7 if dtype == np.float32 else 1e-13)


@each_dtype
def test_angular_is_accurate_where_arccos_is_not(dtype):
    angles = 10.0 ** np.arange(-6, 0, 0.5)
    X = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(dtype)
    A = np.array([[1, 0], [-1, 0]], dtype=dtype)
    exact = np.arctan2(X[:, 1].astype(float), X[:, 0].astype(float))
    np.testing.assert_allclose(angular(X, A)[:, 0], exact, atol=1e-7)
    np.testing.assert_allclose(angular(X, A)[:, 1], math.pi - exact, atol=3e-7)


@each_dtype
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_the_angle_of_an_anchor_to_itself_is_zero(dtype, scale):
    _, _, A = data(11, k=40, d=300)
    A = (A * scale).astype(dtype)
    assert np.diag(angular(A, A)).max() < 1e-7
    assert np.abs(np.diag(angular(-A, A)) - math.pi).max() < 3e-7
    np.testing.assert_allclose(angular(np.zeros_like(A), A), math.pi / 2, rtol=1e-6)


@pytest.mark.parametrize("degree", [1, 3, 6])
def test_polynomial_is_scikit_learns_of_unit_rows(degree):
    _, X, anchors = data(3)
    a, b = normalize(X), normalize(anchors)
    np.testing.assert_allclose(
        polynomial(X, anchors, degree=degree),
        polynomial_kernel(a, b, degree=degree, gamma=0.5, coef0=0.5),
    )
    with pytest.raises(ValueError, match="degree is 0; expected at least 1"):
        polynomial(X, anchors, degree=0)


@pytest.mark.parametrize("name", ["euclidean", "manhattan", "chebyshev", "geodesic"])
def test_the_distance_of_an_anchor_to_itself_is_zero(name):
    _, _, A = data(12, k=20)
    assert np.diag(compute(name, A, A)).max() < 1e-6
    assert np.diag(compute(name, A.astype(np.float32), A.astype(np.float32))).max() < 1e-6


def test_a_distance_too_large_for_float64_is_not_taken_for_zero():
    with np.errstate(all="ignore"):
        R = compute("euclidean", np.array([[1e200, 0.0]]), np.array([[0.0, 1e200]]))
    assert not np.isfinite(R).any()


def geodesic_oracle(X, A, n_neighbors):
    """kNN graph of scikit-learn with SciPy's spanning tree; rows enter by their neighbours."""
    graph = (
        pytest.importorskip("sklearn.neighbors")
        .kneighbors_graph(A, n_neighbors, mode="distance")
        .toarray()
    )
    tree = minimum_spanning_tree(cdist(A, A)).toarray()
    paths = shortest_path(np.maximum(graph, tree), directed=False)
    edges = cdist(X, A)
    near = np.argsort(edges, axis=1)[:, :n_neighbors]
    return np.array(
        [
            [min(edges[i, m] + paths[m, j] for m in near[i]) for j in range(len(A))]
            for i in range(len(X))
        ]
    )


@pytest.mark.parametrize("n_neighbors", [1, 2, 5, 10])
@each_dtype
def test_geodesic_against_scikit_learn_and_scipy(n_neighbors, dtype):
    _, X, A = data(13, n=20, k=30, dtype=dtype)
    expected = geodesic_oracle(X.astype(float), A.astype(float), n_neighbors)
    np.testing.assert_allclose(
        geodesic(X, A, n_neighbors=n_neighbors),
        expected,
        rtol=1e-6 if dtype == np.float32 else 1e-9,
    )


def test_geodesic_joins_clusters_that_lie_apart():
    _, X, A = data(14, k=20)
    A[10:] += 100
    R = geodesic(X, A, n_neighbors=2)
    np.testing.assert_allclose(R, geodesic_oracle(X, A, 2), rtol=1e-9)
    assert R[:, 10:].min() > 100


def test_geodesic_follows_a_curve_that_euclidean_cuts():
    t = np.linspace(0, math.pi, 60)
    A = np.stack([np.cos(t), np.sin(t)], axis=1)
    R = geodesic(A[:1], A, n_neighbors=2)
    np.testing.assert_allclose(R[0], t, atol=1e-3)


def test_geodesic_with_repeated_anchors_and_more_neighbours_than_anchors():
    _, X, A = data(15, k=6)
    A[1] = A[0]
    R = geodesic(X, A, n_neighbors=50)
    np.testing.assert_allclose(R, cdist(X, A), atol=1e-6)
    np.testing.assert_allclose(R[:, 0], R[:, 1], atol=1e-6)


def test_geodesic_finds_the_paths_once_for_all_blocks(monkeypatch):
    from relatum import _geodesic, relative_projection

    _, X, A = data(16, n=200)
    monkeypatch.setattr(_array, "BLOCK_BYTES", 500)
    _geodesic._shortest_paths.cache_clear()
    relative_projection(X, A, similarity="geodesic")
    assert _geodesic._shortest_paths.cache_info().misses == 1
    assert _geodesic._shortest_paths.cache_info().hits > 1


def test_geodesic_refuses_no_neighbours():
    _, X, A = data(0)
    with pytest.raises(ValueError, match="n_neighbors is 0; expected at least 1"):
        geodesic(X, A, n_neighbors=0)
    with pytest.raises(TypeError, match=r"n_neighbors is 2\.5; expected an integer"):
        geodesic(X, A, n_neighbors=2.5)


def quantised_oracle(X, A, labels):
    """Cosine between the means of the clusters, row by row."""
    together = np.concatenate([X, A])
    together = together / np.linalg.norm(together, axis=1)[:, None]
    means = np.array([together[labels == labels[i]].mean(axis=0) for i in range(len(labels))])
    means /= np.linalg.norm(means, axis=1)[:, None]
    return means[: len(X)] @ means[len(X) :].T


@each_dtype
@pytest.mark.parametrize("linkage", ["ward", "complete", "average", "single"])
@pytest.mark.parametrize("threshold", [0.3, 0.9])
def test_quantised_against_scikit_learn(linkage, threshold, dtype):
    cluster = pytest.importorskip("sklearn.cluster")
    _, X, A = data(17, n=30, k=10, dtype=dtype)
    unit = _gemm.unit_rows(np.concatenate([X, A]).astype(float))
    labels = cluster.AgglomerativeClustering(
        None, distance_threshold=threshold, linkage=linkage
    ).fit_predict(unit)
    assert len(set(labels)) < 40  # something was merged
    R = quantised(X, A, threshold=threshold, linkage=linkage)
    np.testing.assert_allclose(
        R,
        quantised_oracle(X.astype(float), A.astype(float), labels),
        atol=1e-6 if dtype == np.float32 else 1e-12,
    )


def test_quantised_by_kmeans_against_scikit_learn():
    cluster = pytest.importorskip("sklearn.cluster")
    _, X, A = data(18, n=30, k=10)
    unit = _gemm.unit_rows(np.concatenate([X, A]))
    labels = cluster.KMeans(7, n_init=1, random_state=3).fit_predict(unit)
    R = quantised(X, A, n_clusters=7, random_state=3)
    np.testing.assert_allclose(R, quantised_oracle(X, A, labels), atol=1e-12)


def test_quantised_means_of_the_paper_s_code_are_not_scaled():
    cluster = pytest.importorskip("sklearn.cluster")
    _, X, A = data(20, n=30, k=10)
    unit = _gemm.unit_rows(np.concatenate([X, A]))
    labels = cluster.AgglomerativeClustering(None, distance_threshold=0.9).fit_predict(unit)
    means = np.array([unit[labels == label].mean(axis=0) for label in labels])
    R = quantised(X, A, threshold=0.9, unit_means=False)
    np.testing.assert_allclose(R, means[:30] @ means[30:].T, atol=1e-12)


def test_quantised_at_threshold_zero_is_the_cosine():
    _, X, A = data(19)
    X[2] = 3 * X[1]  # the same direction
    np.testing.assert_allclose(quantised(X, A, threshold=0), cosine(X, A), atol=1e-12)


def test_quantised_at_a_large_threshold_is_constant():
    _, X, A = data(20)
    np.testing.assert_allclose(quantised(X, A, threshold=1e9), 1.0, atol=1e-12)


def test_quantised_goes_in_mini_batches_where_there_are_many_rows():
    _, X, A = data(21, n=20_001, k=5, d=2)
    R = quantised(X, A, n_clusters=3)
    assert len(np.unique(np.round(R, 9), axis=0)) <= 3
    assert len(np.unique(np.round(R, 9), axis=0)) > 1


def test_quantised_with_more_clusters_than_distinct_rows_says_nothing():
    _, X, A = data(22, n=3, k=3)
    X[:] = A
    np.testing.assert_allclose(quantised(X, A, n_clusters=6), cosine(X, A), atol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, r"exactly one of threshold .* got threshold=None, n_clusters=None"),
        ({"threshold": 1.0, "n_clusters": 2}, r"exactly one of threshold .* n_clusters=2"),
        ({"threshold": -1.0}, "threshold is -1.0; expected a finite number >= 0"),
        ({"threshold": float("nan")}, "threshold is nan; expected a finite number >= 0"),
        ({"threshold": 1.0, "linkage": "wards"}, r"linkage is 'wards' \(did you mean 'ward'\?\)"),
        ({"n_clusters": 0}, "n_clusters is 0; expected at least 1"),
        ({"n_clusters": 24}, r"n_clusters is 24; expected at most 23 \(rows of X and anchors\)"),
    ],
)
def test_quantised_refuses(parameters, message):
    _, X, A = data(0)
    with pytest.raises(ValueError, match=message):
        quantised(X, A, **parameters)


def test_quantised_refuses_more_rows_than_agglomerative_clustering_takes(monkeypatch):
    _, X, A = data(0)
    monkeypatch.setattr(_quantised, "AGGLOMERATIVE_LIMIT", 20)
    with pytest.raises(
        ValueError,
        match="23 rows together; agglomerative clustering goes up to 20: pass n_clusters",
    ):
        quantised(X, A, threshold=1.0)


# --- faiss, and memory


@pytest.fixture(params=["faiss", "without faiss"])
def with_or_without_faiss(request, monkeypatch):
    if request.param == "faiss":
        pytest.importorskip("faiss")
    else:
        monkeypatch.setattr(_minkowski, "_faiss", lambda: None)


@pytest.mark.usefixtures("with_or_without_faiss")
@pytest.mark.parametrize("name", ["manhattan", "chebyshev"])
def test_minkowski_is_the_same_with_and_without_faiss(name):
    _, X, A = data(23, n=70, k=12, d=33, dtype=np.float32)
    metric = {"manhattan": "cityblock"}.get(name, name)
    np.testing.assert_allclose(compute(name, X, A), cdist(X, A, metric), rtol=2e-6)
    np.testing.assert_allclose(compute(name, X, A.astype(float)), cdist(X, A, metric), rtol=2e-6)


def test_faiss_is_optional(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "faiss", None)
    assert _minkowski._faiss() is None


@pytest.mark.usefixtures("with_or_without_faiss")
@pytest.mark.parametrize("function", [manhattan, chebyshev])
@each_dtype
def test_minkowski_takes_a_fixed_memory(function, dtype, monkeypatch):
    """The peak above the output does not grow with n, and is far below n·k·d."""
    monkeypatch.setattr(_array, "BLOCK_BYTES", 2**18)
    monkeypatch.setattr(_array, "n_threads", lambda: 2)
    above = []
    for n in (1000, 4000):
        _, X, A = data(24, n=n, k=64, d=32, dtype=dtype)
        function(X[:10], A)  # imports
        tracemalloc.start()
        R = function(X, A)
        above.append(tracemalloc.get_traced_memory()[1] - R.nbytes)
        tracemalloc.stop()
        assert above[-1] < 12 * 2**18 < X.size * 64 * X.itemsize / 2
    assert above[1] < above[0] + 2**19


@pytest.mark.parametrize("function", [manhattan, chebyshev])
def test_minkowski_takes_a_fixed_memory_in_any_namespace(function, monkeypatch):
    xp = pytest.importorskip("array_api_strict")
    monkeypatch.setattr(_array, "BLOCK_BYTES", 2**18)
    _, X, A = data(25, n=1000, k=32, d=32)
    x, a = xp.asarray(X), xp.asarray(A)
    tracemalloc.start()
    function(x, a)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < X.nbytes + 4 * 2**18 < 32 * X.nbytes / 4


@pytest.mark.parametrize("function", [manhattan, chebyshev])
@pytest.mark.parametrize("recorded", [True, False])
def test_minkowski_in_torch_creates_no_three_dimensional_array(function, recorded):
    torch = pytest.importorskip("torch")
    from torch.utils._python_dispatch import TorchDispatchMode

    sizes = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            result = operation(*args, **(kwargs or {}))
            for value in result if isinstance(result, tuple) else (result,):
                sizes.append(value.numel() if isinstance(value, torch.Tensor) else 0)
            return result

    _, X, A = data(26, n=50, k=20, d=30)
    x, a = torch.tensor(X, requires_grad=recorded), torch.tensor(A, requires_grad=recorded)
    with Watch():
        R = function(x, a)
        if recorded:
            R.sum().backward()
    assert max(sizes, default=0) <= max(R.numel(), x.numel())


# --- looking a similarity up


def test_similarity_by_name_with_parameters_and_as_a_function():
    assert similarity("cosine") is SIMILARITIES["cosine"]
    entry = similarity(("geodesic", {"n_neighbors": 3}))
    assert entry.invariant_to == SIMILARITIES["geodesic"].invariant_to
    _, X, A = data(27)
    np.testing.assert_array_equal(entry.function(X, A), geodesic(X, A, n_neighbors=3))

    def mine(X, anchors):
        return X @ anchors.T

    own = similarity(mine)
    assert own.function is mine
    assert own.invariant_to == frozenset()
    assert not own.is_kernel
    assert own.row_wise


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (
            "cosin",
            ValueError,
            r"similarity is 'cosin' \(did you mean 'cosine'\?\); expected one of "
            "cosine, dot, angular",
        ),
        ("Manhatten", ValueError, r"did you mean 'manhattan'\?"),
        ("zzz", ValueError, "similarity is 'zzz'; expected one of cosine"),
        (None, ValueError, "similarity is None; expected one of cosine"),
        (3, ValueError, "similarity is 3; expected one of cosine"),
        (("geodesik", {}), ValueError, r"did you mean 'geodesic'\?"),
        (("geodesic",), TypeError, r"expected a name or \(name, parameters\)"),
        (("cosine", "dot"), TypeError, r"expected a name or \(name, parameters\)"),
        (
            ("geodesic", {"k": 3}),
            TypeError,
            "similarity 'geodesic' has no parameter 'k'; it has n_neighbors",
        ),
        (("cosine", {"k": 3}), TypeError, "similarity 'cosine' has no parameter 'k'; it has none"),
    ],
)
def test_similarity_refuses(spec, error, message):
    with pytest.raises(error, match=message):
        similarity(spec)


def test_the_table_cannot_be_changed_by_accident():
    entry = SIMILARITIES["cosine"]
    with pytest.raises(AttributeError, match="cannot assign to field 'is_kernel'"):
        entry.is_kernel = False
    assert isinstance(entry, Similarity)


def test_as_specs():
    assert as_specs("cosine") == ["cosine"]
    assert as_specs(["cosine", "dot"]) == ["cosine", "dot"]
    assert as_specs(("geodesic", {})) == [("geodesic", {})]
    with pytest.raises(ValueError, match="similarity is an empty list; expected at least one"):
        as_specs([])


def test_spec_name():
    assert spec_name("dot") == "dot"
    assert spec_name(("dot", {})) == "dot"
    assert spec_name(("quantised", {"threshold": 0.5, "linkage": "ward"})) == (
        "quantised(linkage='ward', threshold=0.5)"
    )
    assert spec_name(cosine) == "cosine"


def test_no_entry_warns_on_ordinary_input():
    _, X, A = data(28)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for spec in SPECS:
            compute(spec, X, A)
