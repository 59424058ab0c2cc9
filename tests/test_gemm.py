"""_gemm.py: normalise(X - mean) @ basis in blocks, and the rows that need care."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relatum import _array, _gemm
from relatum._validation import MissingExtraError, RelatumWarning

TOLERANCE = {np.float32: 3e-6, np.float64: 1e-13}


def oracle(X, basis, mean=None, unit=True):
    """The formula in long double, row by row."""
    X, basis = np.asarray(X, np.longdouble), np.asarray(basis, np.longdouble)
    rows = []
    for x in X:
        x = x if mean is None else x - np.asarray(mean, np.longdouble)
        norm = np.sqrt(np.sum(x * x))
        rows.append((x / norm if unit and norm > 0 else x) @ basis)
    return np.array(rows).astype(float)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("centred", [True, False])
def test_project_is_the_formula(backend, rng, dtype, unit, centred):
    X = rng.normal(size=(30, 5)).astype(dtype)
    basis = rng.normal(size=(5, 7)).astype(dtype)
    mean = rng.normal(size=5).astype(dtype) if centred else None
    result = _gemm.project(
        backend.array(X),
        backend.array(basis),
        unit=unit,
        mean=None if mean is None else backend.array(mean),
    )
    assert str(result.dtype).endswith(np.dtype(dtype).name)
    np.testing.assert_allclose(
        backend.numpy(result), oracle(X, basis, mean, unit), atol=20 * TOLERANCE[dtype], rtol=0
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("budget", [100, 1000, 50_000])
def test_the_answer_does_not_depend_on_how_it_is_cut(backend, rng, monkeypatch, threads, budget):
    X, basis, mean = rng.normal(size=(150, 6)), rng.normal(size=(6, 9)), rng.normal(size=6)
    expected = oracle(X, basis, mean)
    monkeypatch.setattr(_array, "BLOCK_BYTES", budget)
    monkeypatch.setattr(_array, "n_threads", lambda: threads)
    result = _gemm.project(backend.array(X), backend.array(basis), mean=backend.array(mean))
    np.testing.assert_allclose(backend.numpy(result), expected, rtol=1e-6, atol=1e-12)


def test_project_writes_into_columns_of_a_wider_output(backend, rng):
    X, basis = rng.normal(size=(40, 4)), rng.normal(size=(4, 3))
    if not (backend.is_numpy or backend.is_torch):
        pytest.skip("the array-API standard promises no views")
    wide = _array.empty((40, 8), backend.array(X))
    wide[:, :] = 5.0
    _gemm.project(backend.array(X), backend.array(basis), out=wide[:, 2:5])
    np.testing.assert_allclose(backend.numpy(wide)[:, 2:5], oracle(X, basis), atol=1e-13)
    assert (backend.numpy(wide)[:, [0, 1, 5, 6, 7]] == 5.0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(exponents=st.lists(st.integers(-36, 36), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_rows_of_any_scale_are_exact(dtype, exponents, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(len(exponents), 4)) * 10.0 ** np.array(exponents)[:, None]
    basis = rng.normal(size=(4, 3)).astype(dtype)
    result = _gemm.project(X.astype(dtype), basis)
    # float32 holds numbers below 1e-38 with fewer digits: judge what it holds
    np.testing.assert_allclose(result, oracle(X.astype(dtype), basis), atol=20 * TOLERANCE[dtype])


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
def test_extreme_rows_on_every_back_end(backend, rng, scale):
    X = rng.normal(size=(6, 4)).astype(np.float32)
    X[1:4] *= np.float32(scale)
    basis = rng.normal(size=(4, 3)).astype(np.float32)
    result = _gemm.project(backend.array(X), backend.array(basis))
    np.testing.assert_allclose(backend.numpy(result), oracle(X, basis), atol=1e-5)


def test_zero_rows_give_zeros_and_a_warning_with_their_numbers(backend, rng):
    X = rng.normal(size=(9, 4))
    X[[2, 7]] = 0
    basis = backend.array(rng.normal(size=(4, 3)))
    with pytest.warns(RelatumWarning, match=r"X has rows that are zero.*\(2 rows: 2, 7\)"):
        result = backend.numpy(_gemm.project(backend.array(X), basis))
    assert np.flatnonzero((result == 0).all(axis=1)).tolist() == [2, 7]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_equal_the_mean_up_to_rounding_have_no_direction(backend, rng, dtype):
    X = rng.normal(size=(9, 40)).astype(dtype)
    mean = (rng.normal(size=40) + 3).astype(dtype)
    X[4] = mean
    X[6] = np.nextafter(mean, np.inf, dtype=dtype)
    X[7] = mean + dtype(1e-3)
    basis = backend.array(rng.normal(size=(40, 3)).astype(dtype))
    with pytest.warns(RelatumWarning, match=r"equal the anchors' mean.*\(2 rows: 4, 6\)"):
        result = _gemm.project(backend.array(X), basis, mean=backend.array(mean))
    assert np.flatnonzero((backend.numpy(result) == 0).all(axis=1)).tolist() == [4, 6]


def test_zero_rows_of_a_plain_product_need_no_warning(backend):
    result = _gemm.project(
        backend.array(np.zeros((3, 2))), backend.array(np.ones((2, 2))), unit=False
    )
    assert (backend.numpy(result) == 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("unit", [True, False])
def test_rows_that_are_not_finite_are_refused_with_their_numbers(backend, rng, bad, unit):
    X = rng.normal(size=(20, 4))
    X[3, 1] = X[11, 0] = bad
    X[5] = 0
    with pytest.raises(ValueError, match=r"rows contains NaN or infinity in 2 rows: 3, 11;"):
        _gemm.project(backend.array(X), backend.array(np.ones((4, 2))), unit=unit, name="rows")


def test_opposite_infinities_do_not_cancel(backend):
    X = np.array([[1.0, 2.0], [np.inf, -np.inf]])
    with pytest.raises(ValueError, match="X contains NaN or infinity in 1 row: 1"):
        _gemm.project(backend.array(X), backend.array(np.ones((2, 2))), unit=False)


def test_a_product_that_overflows_is_refused_with_its_rows(backend):
    X = np.full((5, 3), 1.0, dtype=np.float32)
    X[[1, 4]] = 1e15
    basis = np.full((3, 2), 1e30, dtype=np.float32)
    message = r"product of X and anchors leaves the range of float32 in 2 rows: 1, 4; scale both"
    for left, right in ((X, basis), (1e15 * X, 1e-15 * basis)):
        with pytest.raises(ValueError, match=message):
            _gemm.project(backend.array(left), backend.array(right), unit=False)


def test_a_large_product_that_fits_is_exact(backend):
    X = np.full((5, 3), 1e30, dtype=np.float32)
    basis = np.full((3, 2), 2.0, dtype=np.float32)
    result = _gemm.project(backend.array(X), backend.array(basis), unit=False)
    np.testing.assert_allclose(backend.numpy(result), 6e30, rtol=1e-6)


def test_input_is_never_modified(backend, rng):
    X, basis, mean = rng.normal(size=(80, 4)), rng.normal(size=(4, 3)), rng.normal(size=4)
    X[3] *= 1e-200
    arrays = [backend.array(a) for a in (X, basis, mean)]
    _gemm.project(arrays[0], arrays[1], mean=arrays[2])
    for before, after in zip((X, basis, mean), arrays, strict=True):
        np.testing.assert_array_equal(backend.numpy(after), before)


def test_expression_is_project_and_is_differentiable(rng):
    torch = pytest.importorskip("torch")
    X, basis, mean = (torch.as_tensor(rng.normal(size=s)) for s in ((6, 4), (4, 3), (4,)))
    for a in (X, basis, mean):
        a.requires_grad_()
    recorded = _gemm.project(X, basis, mean=mean)
    assert recorded.requires_grad
    with torch.no_grad():
        plain = _gemm.project(X, basis, mean=mean)
    assert not plain.requires_grad
    torch.testing.assert_close(recorded, plain, rtol=0, atol=1e-13)
    assert torch.autograd.gradcheck(
        lambda *a: _gemm.project(a[0], a[1], mean=a[2]), (X, basis, mean)
    )


# --- unit_rows and centre


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_rows(backend, rng, dtype):
    X = rng.normal(size=(4, 5)).astype(dtype)
    X[1] = 0
    X[2] *= dtype(1e30)
    X[3] *= dtype(1e-30)
    norms = np.linalg.norm(backend.numpy(_gemm.unit_rows(backend.array(X))), axis=1)
    np.testing.assert_allclose(norms, [1, 0, 1, 1], rtol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e20])
def test_unit_rows_has_a_finite_gradient(scale):
    torch = pytest.importorskip("torch")
    X = torch.full((1, 3), scale, requires_grad=True)
    _gemm.unit_rows(X)[0, 0].backward()
    assert torch.isfinite(X.grad).all()


def test_centre_without_a_mean_is_the_array_itself(backend):
    X = backend.array(np.ones((2, 2)))
    assert _gemm.centre(X, None) is X


def test_centre_knows_a_coarser_rounding_than_its_dtype(backend):
    mean = np.array([0.1, 0.7])
    X = np.array([mean.astype(np.float32), [0.2, 0.7]]).astype(np.float64)
    fine = backend.numpy(_gemm.centre(backend.array(X), backend.array(mean)))
    coarse = backend.numpy(_gemm.centre(backend.array(X), backend.array(mean), eps=2.0**-23))
    assert fine[0].any()
    assert not coarse[0].any()
    np.testing.assert_array_equal(fine[1], coarse[1])


# --- bfloat16


@pytest.fixture
def fast_bfloat16(monkeypatch):
    """Numbers do not depend on the processor; only the warning does."""
    pytest.importorskip("torch")
    monkeypatch.setattr(_gemm, "bfloat16_is_fast", lambda: True)


@pytest.mark.usefixtures("fast_bfloat16")
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("centred", [True, False])
def test_bfloat16_is_close_and_returns_float32(backend, rng, unit, centred):
    if not (backend.is_numpy or backend.is_torch):
        pytest.skip("refused: tested below")
    X = _gemm.unit_rows(rng.normal(size=(500, 64))).astype(np.float32)
    basis = _gemm.unit_rows(rng.normal(size=(20, 64))).T.astype(np.float32)
    mean = (0.1 * rng.normal(size=64)).astype(np.float32) if centred else None
    result = backend.numpy(
        _gemm.project(
            backend.array(X),
            backend.array(basis),
            unit=unit,
            bfloat16=True,
            mean=None if mean is None else backend.array(mean),
        )
    )
    assert result.dtype == np.float32
    error = np.abs(result - oracle(X, basis, mean, unit)).max()
    assert 1e-5 < error < 5e-3  # below 1e-5 it would not be bfloat16


@pytest.mark.usefixtures("fast_bfloat16")
def test_bfloat16_treats_bad_rows_as_float32_does(rng):
    X = rng.normal(size=(5, 8)).astype(np.float32)
    basis = rng.normal(size=(8, 3)).astype(np.float32)
    X[1] *= np.float32(1e-30)
    X[2] = 0
    with pytest.warns(RelatumWarning, match=r"are zero.*\(1 row: 2\)"):
        result = _gemm.project(X, basis, bfloat16=True)
    np.testing.assert_allclose(result, oracle(X, basis), atol=0.05)
    X[4, 0] = np.nan
    with pytest.raises(ValueError, match="X contains NaN or infinity in 1 row: 4"):
        _gemm.project(X, basis, bfloat16=True)


def test_bfloat16_says_when_the_processor_is_slow_at_it(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(_gemm, "bfloat16_is_fast", lambda: False)
    with pytest.warns(RelatumWarning, match="precision='bfloat16' is slow here"):
        _gemm.project(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), bfloat16=True)


def test_bfloat16_is_fast_reads_the_processor_flags(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert _gemm.bfloat16_is_fast() is False
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    assert _gemm.bfloat16_is_fast() is True


def test_bfloat16_without_torch_names_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    one = np.ones((2, 2), dtype=np.float32)
    with pytest.raises(MissingExtraError, match=r"pip install 'relatum\[torch\]'"):
        _gemm.project(one, one, bfloat16=True)


def test_bfloat16_refuses_other_namespaces():
    pytest.importorskip("torch")
    xp = pytest.importorskip("array_api_strict")
    one = xp.ones((2, 2), dtype=xp.float32)
    with pytest.raises(TypeError, match=r"takes NumPy and torch arrays; X is a array_api_strict"):
        _gemm.project(one, one, bfloat16=True)


def test_nothing_is_printed_or_warned_for_ordinary_rows(backend, rng):
    X, basis = rng.normal(size=(200, 4)), rng.normal(size=(4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _gemm.project(backend.array(X), backend.array(basis))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_unit_rows_in_two_passes_are_unit_rows_whatever_the_scale(dtype):
    X = np.random.default_rng(0).normal(size=(300, 7)).astype(dtype)
    huge = float(np.finfo(dtype).max) / 10
    X *= np.resize([1, 1e-3, 0, huge, 1 / huge, 1e5], 300).astype(dtype)[:, None]
    out = np.empty_like(X)
    _gemm.unit_rows_into(X, out)
    np.testing.assert_allclose(out, _gemm.unit_rows(X), rtol=1e-5, atol=1e-7)
    norms = np.linalg.norm(out.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, np.resize([1, 1, 0, 1, 1, 1], 300), atol=1e-5)


def test_the_blas_has_its_threads_again_when_the_last_call_is_done():
    from threadpoolctl import threadpool_info

    def threads() -> list[int]:
        return [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]

    before = threads()
    first, second = _gemm._blas_of_one_thread(), _gemm._blas_of_one_thread()
    first.__enter__()
    second.__enter__()
    assert set(threads()) <= {1}
    first.__exit__(None, None, None)  # another is still at it
    assert set(threads()) <= {1}
    second.__exit__(None, None, None)
    assert threads() == before
