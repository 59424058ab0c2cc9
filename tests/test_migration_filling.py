"""A shadow is filled whole, once, and again after whatever happened."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_cases import CASES, Case

from relatum.migration import check, fill, filling, row_sums, write_native
from relatum.stores import Rows, Shadow, Store, open_store

N, WIDTH = 120, 6


def items(
    case: Case | None = None, n: int = N, seed: int = 0, prefix: str = "i"
) -> tuple[list[str], np.ndarray, list[str]]:
    """Return ids, vectors and texts; the ids as the store of a case has them."""
    X = np.random.default_rng(seed).normal(size=(n, WIDTH)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    id_of = str if case is None else case.id_of
    return [id_of(f"{prefix}{i}") for i in range(n)], X, [f"text {i}" for i in range(n)]


def translate(X: np.ndarray) -> np.ndarray:
    Y = X[:, ::-1][:, :4] + 1
    return np.asarray(Y / np.linalg.norm(Y, axis=1, keepdims=True))


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    made: Case = CASES[request.param](tmp_path, *items())
    return made


@pytest.fixture
def store(case: Case) -> Store:
    return open_store(case.url)


@pytest.fixture
def shadow(store: Store) -> Shadow:
    found = store.shadow("items_new")
    found.create(4, {"encoder": "new"})
    return found


def vectors(store: Store) -> dict[str, np.ndarray]:
    found = {}
    for rows in store.batches(1000):
        for i, x in zip(rows.ids, rows.X, strict=True):
            assert i not in found
            found[i] = x
    return found


def assert_translated(store: Store, shadow: Shadow, but: tuple[str, ...] = ()) -> None:
    old, new = vectors(store), vectors(shadow.open())
    assert old.keys() == new.keys()
    kept = [i for i in old if i not in but]
    expected = translate(np.stack([old[i] for i in kept]))
    np.testing.assert_allclose(np.stack([new[i] for i in kept]), expected, rtol=1e-4, atol=1e-6)


def test_every_row_is_written_once_and_the_old_ones_stay(store: Store, shadow: Shadow) -> None:
    before = check(store, shadow).checksum
    seen: list[int] = []
    found = fill(store, shadow, translate, batch=50, progress=seen.append)
    assert (found.n_rows, found.n_written, found.n_replaced, found.n_removed) == (N, N, 0, 0)
    assert seen[-1] == N
    assert_translated(store, shadow)
    held = check(store, shadow)
    assert held.whole
    assert held.checksum == before
    assert str(held) == "120 rows, each once; 0 of them native"


def test_a_second_run_finds_nothing_to_do(store: Store, shadow: Shadow) -> None:
    fill(store, shadow, translate)
    found = fill(store, shadow, lambda X: 1 / 0)
    assert (found.n_rows, found.n_written, found.n_passes) == (N, 0, 1)


def test_native_rows_stay_while_their_item_does(store: Store, shadow: Shadow, case: Case) -> None:
    ids, _, texts = items(case)
    Y = np.eye(4, dtype=np.float32)
    assert write_native(store, shadow, [*ids[:3], "gone"], Y, batch=2) == 3
    fill(store, shadow, translate, batch=50)
    new = vectors(shadow.open())
    np.testing.assert_allclose([new[i] for i in ids[:3]], Y[:3], atol=1e-6)
    assert check(store, shadow).n_native == 3
    write_native(store, shadow, ids[4:5], Y[3:])
    np.testing.assert_allclose(vectors(shadow.open())[ids[4]], Y[3], atol=1e-6)
    case.add(ids[:1], items(n=1, seed=5)[1], texts[:1])  # its vector is no longer right
    assert fill(store, shadow, translate).n_replaced == 1
    assert_translated(store, shadow, but=(*ids[1:3], ids[4]))


def test_rows_that_came_changed_and_went_since(store: Store, shadow: Shadow, case: Case) -> None:
    fill(store, shadow, translate)
    ids, X, texts = items(case, 30, seed=1, prefix="new")
    case.add(ids, X, texts)
    case.add(items(case)[0][:7], items(n=7, seed=2)[1], texts[:7])
    case.delete(items(case)[0][100:104])
    held = check(store, shadow)
    assert not held.whole
    assert set(held.missing) <= set(ids)
    assert set(held.stale) <= set(items(case)[0][:7])
    assert set(held.surplus) <= set(items(case)[0][100:104])
    assert f"missing: {held.missing[0]}" in str(held)
    found = fill(store, shadow, translate, batch=50)
    assert (found.n_written, found.n_replaced, found.n_removed) == (37, 7, 4)
    assert_translated(store, shadow)


def test_rows_that_come_and_go_while_it_runs(store: Store, shadow: Shadow, case: Case) -> None:
    ids, X, texts = items(case, 30, seed=1, prefix="new")
    waiting = [True]

    def slow(rows: np.ndarray) -> np.ndarray:
        if waiting:
            waiting.clear()
            case.add(ids, X, texts)
            case.delete(items(case)[0][:5])
        return translate(rows)

    fill(store, shadow, slow, batch=50)
    fill(store, shadow, translate)
    assert_translated(store, shadow)
    assert check(store, shadow).whole


class Failing:
    """A shadow whose writing breaks off: before or after the rows are there."""

    def __init__(self, shadow: Shadow, at: int, after: bool) -> None:
        self.shadow, self.left, self.after = shadow, at, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self.shadow, name)

    def write(self, *args: Any, **kwargs: Any) -> None:
        self.left -= 1
        if self.left < 0 and not self.after:
            raise OSError("no room")
        self.shadow.write(*args, **kwargs)
        if self.left < 0:
            raise OSError("no room")


@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_broke_off_goes_on(store: Store, shadow: Shadow, after: bool) -> None:
    with pytest.raises(OSError, match="no room"):
        fill(store, Failing(shadow, 1, after), translate, batch=30)  # type: ignore[arg-type]
    there = shadow.open().count()
    assert 0 < there < N
    assert fill(store, shadow, translate, batch=50).n_written == N - there
    assert_translated(store, shadow)
    assert check(store, shadow).whole


def test_an_id_that_two_rows_have_is_named(tmp_path: Path) -> None:
    ids, X, texts = items()
    ids[50] = ids[3]
    store = open_store(CASES["parquet"](tmp_path, ids, X, texts).url)
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    with pytest.raises(ValueError, match=r"the id 'i3' occurs more than once"):
        fill(store, shadow, translate)


def test_a_vector_that_is_not_finite_is_named(tmp_path: Path) -> None:
    ids, X, texts = items()
    X[17, 2] = np.nan
    store = open_store(CASES["parquet"](tmp_path, ids, X, texts).url)
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    with pytest.raises(ValueError, match=r"NaN or infinity in the vectors of 'i17'"):
        fill(store, shadow, translate)


def test_it_waits_where_it_shall_not_be_fast(tmp_path: Path) -> None:
    store = open_store(CASES["parquet"](tmp_path, *items()).url)
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    started = time.monotonic()
    fill(store, shadow, translate, batch=30, rows_per_second=200)
    assert time.monotonic() - started >= 0.4
    with pytest.raises(ValueError, match=r"rows_per_second is 0; expected a number above 0"):
        fill(store, shadow, translate, rows_per_second=0)


def test_a_store_that_does_not_stop_changing_ends(tmp_path: Path) -> None:
    case = CASES["parquet"](tmp_path, *items())
    store = open_store(case.url)
    shadow = store.shadow("items_new")
    shadow.create(4, {})

    def more(X: np.ndarray) -> np.ndarray:
        more.n += 1  # type: ignore[attr-defined]
        case.add([f"more{more.n}"], X[:1], ["one more"])  # type: ignore[attr-defined]
        return translate(X)

    more.n = 0  # type: ignore[attr-defined]
    assert fill(store, shadow, more).n_passes == filling.PASSES


def test_native_rows_that_do_not_match(tmp_path: Path) -> None:
    store = open_store(CASES["parquet"](tmp_path, *items()).url)
    with pytest.raises(ValueError, match=r"ids has 1 entries, Y has 2 rows"):
        write_native(store, store.shadow("new"), ["i0"], np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"Y contains NaN"):
        write_native(store, store.shadow("new"), ["i0"], np.full((1, 4), np.nan))


def test_sums_of_rows() -> None:
    import zlib

    X = items()[1]
    assert row_sums(X).tolist() == [zlib.crc32(x.tobytes()) for x in X]
    assert row_sums(X[:0]).shape == (0,)
    assert row_sums(X[:, ::-1]).tolist() == [zlib.crc32(x.tobytes()) for x in X[:, ::-1].copy()]


def test_a_shadow_without_its_rows_is_told(store: Store, shadow: Shadow, case: Case) -> None:
    fill(store, shadow, translate)
    gone = items(case)[0][5:7]
    shadow.remove(gone)
    held = check(store, shadow)
    assert set(held.missing) == set(gone)
    assert held.to_dict()["whole"] is False


def test_payloads_that_are_lists_are_chosen_from() -> None:
    rows = Rows(["a", "b", "c"], np.eye(3, dtype=np.float32), [{"n": 0}, {"n": 1}, {"n": 2}])
    some = filling.chosen(rows, np.array([True, False, True]))
    assert (some.ids, some.payload) == (["a", "c"], [{"n": 0}, {"n": 2}])
