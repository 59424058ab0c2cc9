"""_array.py: namespaces, dtypes, blocks and the gradient-safe pieces."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relatum import _array


def test_round_trip_keeps_values_and_dtype(backend, rng):
    for dtype in (np.float32, np.float64, np.int64):
        values = rng.normal(size=(4, 3)).astype(dtype)
        x = backend.array(values)
        np.testing.assert_array_equal(_array.to_numpy(x), values)
        back = _array.from_numpy(values, x)
        assert type(back) is type(x)
        assert back.dtype == x.dtype


def test_from_numpy_takes_the_dtype_of_like_unless_told_to_keep(backend):
    like = backend.array(np.zeros((2, 2), dtype=np.float32))
    assert _array.from_numpy(np.arange(3), like).dtype == like.dtype
    kept = _array.from_numpy(np.arange(3), like, keep_dtype=True)
    assert _array.dtype_kind(kept) == "integer"


def test_is_array_and_backend_name(backend):
    x = backend.array(np.zeros((2, 2)))
    assert _array.is_array(x)
    assert _array.is_numpy(x) == backend.is_numpy
    assert _array.is_torch(x) == backend.is_torch
    assert (
        _array.backend_name(x).replace("_", "-")
        == backend.name.split("-read")[0].split("-fortran")[0].split("-strided")[0]
    )
    assert not _array.is_array([1.0])


def test_backend_name_of_a_subclass_is_its_library():
    torch = pytest.importorskip("torch")

    class Mine(torch.Tensor):
        pass

    assert _array.backend_name(torch.zeros(2).as_subclass(Mine)) == "torch"


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("bool", "bool"),
        ("int8", "integer"),
        ("uint8", "integer"),
        ("float16", "half"),
        ("float32", "float"),
        (">f4", "float"),
        ("complex64", "complex"),
        ("object", "other"),
        ("U3", "other"),
        ("M8[s]", "other"),
    ],
)
def test_dtype_kind_of_numpy(dtype, kind):
    assert _array.dtype_kind(np.zeros(2, dtype=dtype)) == kind


def test_dtype_kind_and_float_dtype_of_torch():
    torch = pytest.importorskip("torch")
    expected = {
        "bool": "bool",
        "int32": "integer",
        "bfloat16": "half",
        "float16": "half",
        "float64": "float",
        "complex64": "complex",
    }
    for name, kind in expected.items():
        assert _array.dtype_kind(torch.zeros(2, dtype=getattr(torch, name))) == kind
    assert _array.float_dtype(torch.zeros(2, dtype=torch.bfloat16)) == torch.float32
    assert _array.to_numpy(torch.ones(2, dtype=torch.bfloat16)).dtype == np.float32


def test_float_dtype_widens_half_and_integers(backend):
    for given_dtype, result in (
        (np.float32, "float32"),
        (np.float64, "float64"),
        (np.int32, "float64"),
    ):
        x = backend.array(np.zeros((2, 2), dtype=given_dtype))
        widened = _array.astype(x, _array.float_dtype(x))
        assert str(widened.dtype).rsplit(".", 1)[-1] == result
    assert _array.float_dtype(np.zeros(2, np.float16)) == np.float32


def test_wide_is_float64(backend):
    x = _array.wide(backend.array(np.ones((2, 2), np.float32)))
    assert str(x.dtype).rsplit(".", 1)[-1] == "float64"


def test_astype_to_its_own_dtype_copies_nothing(backend):
    x = backend.array(np.ones((2, 2)))
    assert _array.astype(x, x.dtype) is x


def test_to_numpy_does_not_copy_and_drops_subclasses():
    x = np.ones((3, 2))
    assert _array.to_numpy(x) is x
    memory = x.view(np.recarray)
    assert type(_array.to_numpy(memory)) is np.ndarray
    assert np.shares_memory(_array.to_numpy(memory), x)


def test_to_numpy_falls_back_to_dlpack():
    class OnlyDlpack:
        dtype = "float64"

        def __init__(self, values):
            self.values = values

        def __array__(self, *args, **kwargs):
            raise TypeError("no implicit conversion")

        def __dlpack__(self, **kwargs):
            return self.values.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.values.__dlpack_device__()

    np.testing.assert_array_equal(_array.to_numpy(OnlyDlpack(np.arange(3.0))), [0, 1, 2])


def test_tracks_gradient():
    assert not _array.tracks_gradient(np.ones(2))
    torch = pytest.importorskip("torch")
    plain, recorded = torch.ones(2), torch.ones(2, requires_grad=True)
    assert not _array.tracks_gradient(plain, None)
    assert _array.tracks_gradient(plain, recorded)
    assert _array.constant(recorded).requires_grad is False
    with torch.no_grad():
        assert not _array.tracks_gradient(recorded)


def test_tracks_gradient_without_torch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert not _array.tracks_gradient(np.ones(2))


def test_tracks_gradient_while_torch_compiles(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert _array.tracks_gradient(torch.ones(2))
    assert not _array.tracks_gradient(np.ones(2))


def test_safe_sqrt(backend):
    x = backend.array(np.array([-1e-18, 0.0, 4.0, np.nan]))
    np.testing.assert_array_equal(backend.numpy(_array.safe_sqrt(x)), [0.0, 0.0, 2.0, np.nan])


def test_safe_sqrt_has_a_finite_gradient_at_zero():
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.0, 4.0, -1.0], requires_grad=True)
    _array.safe_sqrt(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.25, 0.0]


@given(n=st.integers(0, 300), row=st.integers(0, 5000), budget=st.integers(1, 10_000))
def test_blocks_cover_every_row_once_within_the_budget(n, row, budget):
    slices = list(_array.blocks(n, row, budget))
    covered = [i for s in slices for i in range(s.start, s.stop)]
    assert covered == list(range(n))
    assert all((s.stop - s.start) * row <= budget or s.stop - s.start == 1 for s in slices)


def test_blocks_read_the_budget_when_called(monkeypatch):
    monkeypatch.setattr(_array, "BLOCK_BYTES", 100)
    assert len(list(_array.blocks(10, 50))) == 5


def test_map_rows_cuts_and_writes_in_place(backend, rng):
    values = rng.normal(size=(7, 3))
    seen = []

    def double(x):
        seen.append(x.shape[0])
        return x + x

    x = backend.array(values)
    out = _array.empty((7, 3), x)
    result = _array.map_rows(double, x, 3, 10, budget=20, out=out)
    assert result is out
    assert seen == [2, 2, 2, 1]
    np.testing.assert_array_equal(backend.numpy(result), 2 * values)


def test_map_rows_is_one_call_under_autograd():
    torch = pytest.importorskip("torch")
    x = torch.ones(7, 3, requires_grad=True)
    result = _array.map_rows(lambda rows: rows * 2, x, 3, 10, budget=20)
    result.sum().backward()
    assert x.grad.tolist() == [[2.0] * 3] * 7


def test_segment_mean_against_a_loop(backend, rng):
    values, labels = rng.normal(size=(20, 3)), rng.integers(0, 4, size=20)
    expected = np.zeros((5, 3))  # segment 4 is empty
    for j in range(4):
        expected[j] = values[labels == j].mean(axis=0)
    result = _array.segment_mean(backend.array(values), labels, 5)
    np.testing.assert_allclose(backend.numpy(result), expected, atol=1e-12)


def test_n_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert _array.n_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert 1 <= _array.n_threads() <= 8
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert _array.n_threads() == 1
