"""Measures of all rows, block by block, are those of the whole arrays."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relatum
from relatum import alignment
from relatum.comparison_files import compare_all_rows

MEASURES = {
    "cka": alignment.cka,
    "cka_unbiased": partial(alignment.cka, unbiased=True),
    "svcca": alignment.svcca,
    "pwcca": alignment.pwcca,
    "procrustes_distance": alignment.procrustes_distance,
}


def spaces(n: int, d: int, e: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * np.linspace(1, 3, d) + 2
    Y = X @ rng.normal(size=(d, e)) + 2 * rng.normal(size=(n, e)) - 1
    return X, Y


def check(found: dict[str, float], X: np.ndarray, Y: np.ndarray, tolerance: float) -> None:
    assert list(found) == list(MEASURES)
    for name, value in found.items():
        assert value == pytest.approx(MEASURES[name](X, Y), abs=tolerance), name


@settings(deadline=None, max_examples=20)
@given(
    n=st.integers(40, 300), d=st.integers(1, 12), e=st.integers(1, 12), seed=st.integers(0, 9),
    memory=st.sampled_from([10_000, 50_000, 2**30]), scale=st.sampled_from([1e-18, 1.0, 1e18]),
)  # fmt: skip
def test_the_values_are_those_of_the_arrays(
    n: int, d: int, e: int, seed: int, memory: int, scale: float
) -> None:
    X, Y = spaces(n, d, e, seed)
    check(compare_all_rows(X * scale, Y, memory=memory), X, Y, 1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_files_of_any_type(dtype: type, suffix: str, tmp_path: Path) -> None:
    X, Y = (A.astype(dtype) for A in spaces(3000, 20, 12))
    for name, A in (("x", X), ("y", Y)):
        relatum.write_embeddings(tmp_path / f"{name}{suffix}", A)
    done: list[int] = []
    found = compare_all_rows(
        tmp_path / f"x{suffix}", tmp_path / f"y{suffix}", memory=200_000, progress=done.append
    )
    exact = [A.astype(np.float64) for A in (X, Y)]
    check(found, *exact, 1e-9 if dtype == np.float64 else 1e-5)
    assert done == sorted(done)
    assert done[-1] == 9000


@pytest.mark.parametrize("memory", [20_000, 2**30])
def test_rows_that_match(memory: int) -> None:
    X, Y = spaces(1000, 6, 5)
    a, b = np.arange(0, 1000, 3), np.sort(np.random.default_rng(0).permutation(1500)[:334])
    wide = np.full((1500, 5), np.nan)
    wide[b] = Y[a]
    check(compare_all_rows(X, wide, rows=(a, b), memory=memory), X[a], Y[a], 1e-9)


def test_spaces_far_from_the_origin_keep_their_digits() -> None:
    X, Y = spaces(2000, 6, 5)
    check(compare_all_rows(X + 1e6, Y), X, Y, 1e-6)


def test_what_cannot_be_compared_is_refused() -> None:
    X, Y = spaces(100, 6, 5)
    with pytest.raises(ValueError, match="A has 100 rows, B has 90; expected the same number"):
        compare_all_rows(X, Y[:90])
    with pytest.raises(ValueError, match="share 5 rows; expected at least 6"):
        compare_all_rows(X[:5], Y[:5])
    with pytest.raises(ValueError, match="rows has 3 of A and 2 of B; expected as many"):
        compare_all_rows(X, Y, rows=(np.arange(3), np.arange(2)))
    with pytest.raises(ValueError, match="rows of B do not rise; expected the order of the file"):
        compare_all_rows(X, Y, rows=(np.arange(9), np.arange(9)[::-1]))
    with pytest.raises(ValueError, match="without variance"):
        compare_all_rows(X, np.ones_like(Y))
    with pytest.raises(ValueError, match="memory is 10 bytes; expected at least"):
        compare_all_rows(X, Y, memory=10)
    X[70, 2] = np.inf
    with pytest.raises(ValueError, match="A contains NaN or infinity in 1 row: 70"):
        compare_all_rows(X, Y, memory=10_000)
    with pytest.raises(ValueError, match="has values whose sum overflows"):
        compare_all_rows(np.full((100, 6), 1e308), Y)
