"""alignment.py against SciPy, scikit-learn and textbook formulas, and the laws of its table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes, subspace_angles
from sklearn.cross_decomposition import CCA

from relatum import RelatumWarning, _canonical, alignment
from relatum.alignment import (
    latent_similarity,
    pairwise_score,
    procrustes_distance,
    pwcca,
    svcca,
)


def related(rng, n, d, e, noise=1.0):
    shared = rng.normal(size=(n, 3))
    return [shared @ rng.normal(size=(3, w)) + noise * rng.normal(size=(n, w)) for w in (d, e)]


def centred(X):
    return X - X.mean(axis=0)


def leading_basis(X, variance):
    """Left singular vectors that hold this share of the variance, by SVD."""
    U, s, _ = np.linalg.svd(centred(X), full_matrices=False)
    n = 1 + int(np.argmax(np.cumsum(s**2) >= variance * np.sum(s**2) - 1e-12))
    return U[:, :n]


def textbook_pwcca(X, Y, variance):
    U, V = leading_basis(X, variance), leading_basis(Y, variance)
    left, rho, _ = np.linalg.svd(U.T @ V, full_matrices=False)
    variates = U @ left
    alpha = [sum(abs(h @ column) for column in centred(X).T) for h in variates.T]
    return np.average(rho, weights=alpha)


# --- CCA


@pytest.mark.parametrize("variance", [0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize(("n", "d", "e"), [(80, 6, 9), (80, 9, 6), (12, 30, 5)])
def test_svcca_is_the_svd(variance, n, d, e, rng):
    X, Y = related(rng, n, d, e)
    U, V = leading_basis(X, variance), leading_basis(Y, variance)
    expected = np.linalg.svd(U.T @ V, compute_uv=False).mean()
    assert svcca(X, Y, variance=variance) == pytest.approx(expected, abs=1e-6)
    cosines = np.cos(subspace_angles(U, V))
    assert svcca(X, Y, variance=variance) == pytest.approx(cosines.mean(), abs=1e-6)


def test_svcca_of_everything_is_sklearns_cca(rng):
    X, Y = related(rng, 200, 3, 4)
    A, B = CCA(n_components=3, max_iter=5000, tol=1e-12).fit_transform(X, Y)
    expected = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(A.T, B.T, strict=True)])
    assert svcca(X, Y, variance=1.0) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("variance", [0.9, 0.99, 1.0])
@pytest.mark.parametrize(("n", "d", "e"), [(80, 6, 9), (80, 9, 6), (40, 60, 5), (40, 5, 60)])
def test_pwcca_is_the_textbook(variance, n, d, e, rng):
    # little noise: with few rows and many axes several correlations are exactly 1, and
    # the weights of equal correlations depend on the basis that is chosen for them
    X, Y = related(rng, n, d, e, noise=0.3 if n > max(d, e) else 0.02)
    expected = textbook_pwcca(X, Y, variance)
    assert pwcca(X, Y, variance=variance) == pytest.approx(expected, abs=1e-6)


def test_pwcca_weights_are_those_of_the_first_space(rng):
    X, Y = related(rng, 100, 4, 8)
    assert pwcca(X, Y) != pytest.approx(pwcca(Y, X), abs=1e-3)


def test_cca_of_rank_deficient_and_badly_scaled_spaces(rng):
    X, Y = related(rng, 100, 4, 5)
    wide = np.hstack([X, X[:, :2] - X[:, 2:], np.ones((100, 1))])  # rank 4, one constant
    assert svcca(wide, Y, variance=1.0) == pytest.approx(svcca(X, Y, variance=1.0), abs=1e-6)
    stretched = X * [1, 1e-1, 1e-2, 1e-4]
    assert svcca(stretched, Y, variance=1.0) == pytest.approx(svcca(X, Y, variance=1.0), abs=1e-6)


def test_cca_streams_in_blocks(rng, monkeypatch):
    X, Y = related(rng, 90, 4, 5)
    whole = svcca(X, Y), pwcca(X, Y), procrustes_distance(X, Y)
    monkeypatch.setattr(_canonical._array.blocks, "__defaults__", (400,))
    assert (svcca(X, Y), pwcca(X, Y), procrustes_distance(X, Y)) == pytest.approx(whole)


# --- Procrustes


def textbook_procrustes(X, Y):
    """Rotate with SciPy, then measure the distance that is left."""
    width = max(X.shape[1], Y.shape[1])
    A, B = (np.pad(centred(Z), ((0, 0), (0, width - Z.shape[1]))) for Z in (X, Y))
    A, B = A / np.linalg.norm(A), B / np.linalg.norm(B)
    Q, _ = orthogonal_procrustes(B, A)
    return np.linalg.norm(A - B @ Q) ** 2


@pytest.mark.parametrize(("n", "d", "e"), [(40, 6, 6), (40, 6, 9), (40, 9, 6), (8, 30, 5)])
def test_procrustes_is_scipys_rotation(n, d, e, rng):
    X, Y = related(rng, n, d, e)
    assert procrustes_distance(X, Y) == pytest.approx(textbook_procrustes(X, Y), abs=1e-10)


def test_procrustes_of_orthogonal_spaces_is_two():
    columns = np.linalg.qr(centred(np.random.default_rng(0).normal(size=(20, 4))))[0]
    assert procrustes_distance(columns[:, :2], columns[:, 2:]) == pytest.approx(2)


def test_a_failed_svd_is_never_a_match(rng, monkeypatch):
    def fail(*_, **__):
        raise np.linalg.LinAlgError("SVD did not converge")

    X, Y = related(rng, 30, 4, 4)
    monkeypatch.setattr(np.linalg, "svd", fail)
    monkeypatch.setattr(np.linalg, "eigh", fail)
    for measure in (procrustes_distance, svcca, pwcca):
        with pytest.raises(np.linalg.LinAlgError, match="did not converge"):
            measure(X, Y)


# --- row by row


def test_latent_similarity_is_the_loop(rng):
    R1, R2 = related(rng, 30, 5, 5)
    expected = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(R1, R2, strict=True)]
    assert latent_similarity(R1, R2) == pytest.approx(np.mean(expected))


def test_latent_similarity_warns_of_zero_rows():
    R = np.array([[1.0, 0.0], [0.0, 0.0]])
    with pytest.warns(RelatumWarning, match="R2 has rows that are zero.*1 row: 1"):
        assert latent_similarity(np.ones((2, 2)), R) == pytest.approx(0.5**0.5 / 2)


def test_latent_similarity_has_a_gradient():
    torch = pytest.importorskip("torch", reason="torch is an extra")
    values = np.random.default_rng(0).normal(size=(2, 6, 3))
    R1 = torch.tensor(values[0], requires_grad=True)
    R2 = torch.tensor(values[1])
    found = latent_similarity(R1, R2)
    assert found.shape == ()
    assert float(found.detach()) == pytest.approx(latent_similarity(*values))
    assert torch.autograd.gradcheck(lambda r: latent_similarity(r, R2), R1)
    assert isinstance(latent_similarity(R1.detach(), R2), float)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_pairwise_score_is_torchs_or_the_loop(metric, rng):
    R1, R2 = related(rng, 30, 5, 5)
    pairs = list(zip(R1, R2, strict=True))
    if metric == "euclidean":
        expected = np.mean([np.sqrt(sum((a - b) ** 2)) for a, b in pairs])
    else:
        expected = np.mean([1 - np.corrcoef(np.r_[a, -a], np.r_[b, -b])[0, 1] for a, b in pairs])
    assert pairwise_score(R1, R2, metric=metric) == pytest.approx(expected)


def test_pairwise_score_reaches_figure_sevens_size(rng):
    """A cosine distance is at most 2; the figure's absolute score of 3.30 is no such distance."""
    R1, R2 = rng.normal(size=(2, 100, 300)) * 0.13
    assert pairwise_score(R1, R2) > 3
    assert pairwise_score(R1, R2, metric="cosine") < 2


# --- all of them

ABSOLUTE = [svcca, pwcca, procrustes_distance]
RELATIVE = [latent_similarity, pairwise_score]


@pytest.mark.parametrize("measure", ABSOLUTE + RELATIVE)
def test_every_back_end(measure, backend, rng):
    X, Y = related(rng, 30, 5, 5)
    assert measure(backend.array(X), backend.array(Y)) == pytest.approx(measure(X, Y), abs=1e-6)


@pytest.mark.parametrize("measure", ABSOLUTE)
@pytest.mark.parametrize("value", [0.0, 1e6 + 1 / 3])
def test_equal_rows_are_refused(measure, value, rng):
    X, Y = np.full((30, 3), value), rng.normal(size=(30, 4))
    for a, b in ((X, Y), (Y, X), (X[:, :1], np.ones((30, 40)))):
        with pytest.raises(ValueError, match=r"rows that are all the same; .* is undefined"):
            measure(a, b)


@pytest.mark.parametrize("measure", [svcca, pwcca])
@pytest.mark.parametrize("variance", [0, 1.5])
def test_variance_is_a_share(measure, variance, rng):
    X = rng.normal(size=(20, 3))
    with pytest.raises(ValueError, match=r"variance is .*; expected a share in \(0, 1\]"):
        measure(X, X, variance=variance)


@pytest.mark.parametrize("measure", ABSOLUTE + RELATIVE)
def test_refuses(measure, rng):
    X = rng.normal(size=(20, 3))
    with pytest.raises(ValueError, match=r"has 20 rows, .* has 19"):
        measure(X, X[1:])
    with pytest.raises(ValueError, match="contains NaN or infinity in 1 row: 3"):
        measure(X, np.where(np.arange(20)[:, None] == 3, np.inf, X))
    with pytest.raises(ValueError, match="dimension"):
        measure(X[0], X[0])


def test_more_refusals(rng):
    X = rng.normal(size=(20, 3))
    for measure in ABSOLUTE:
        with pytest.raises(ValueError, match=r"X has shape \(2, 3\); expected at least 3 row"):
            measure(X[:2], X[:2])
    for measure in RELATIVE:
        with pytest.raises(ValueError, match="R1 has 3 features, R2 has 2"):
            measure(X, X[:, :2])
    with pytest.raises(ValueError, match="did you mean 'euclidean'"):
        pairwise_score(X, X, metric="euclidian")


def test_module_lists_every_measure():
    assert {"cka", "rsa_distance"} <= set(alignment.__all__)
    assert all(callable(getattr(alignment, name)) for name in alignment.__all__)
