"""What every store does alike: read, take, a shadow beside it, aliases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from store_cases import CASES, Case

from relatum.migration import row_sums
from relatum.stores import Rows, Store, current, open_store

N, WIDTH = 120, 6


def items(
    case: Case | None = None, n: int = N, seed: int = 0
) -> tuple[list[str], np.ndarray, list[str]]:
    """Return ids, vectors and texts; the ids as the store of a case has them."""
    X = np.random.default_rng(seed).normal(size=(n, WIDTH)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)  # some stores keep directions only
    id_of = str if case is None else case.id_of
    return [id_of(f"it'em {i}") for i in range(n)], X, [f"text {i} — é" for i in range(n)]


@pytest.fixture(params=list(CASES))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Case]:
    def made(ids: Sequence[str], X: np.ndarray, texts: Sequence[str]) -> Case:
        case: Case = CASES[request.param](tmp_path, ids, X, texts)
        return case

    return made


@pytest.fixture
def case(make: Callable[..., Case]) -> Case:
    return make(*items())


@pytest.fixture
def store(case: Case) -> Store:
    return open_store(case.url)


def read(store: Store, size: int = 50) -> Rows:
    parts = list(store.batches(size))
    assert all(1 <= len(part.ids) <= size for part in parts)
    ids = [i for part in parts for i in part.ids]
    return Rows(ids, np.concatenate([part.X for part in parts]), None)


def by_id(rows: Rows) -> dict[str, np.ndarray]:
    assert len(set(rows.ids)) == len(rows.ids) == len(rows.X)
    return dict(zip(rows.ids, rows.X, strict=True))


def test_all_rows_are_read_with_their_ids_and_payload(store: Store, case: Case) -> None:
    ids, X, texts = items(case)
    assert (store.count(), store.n_features) == (N, WIDTH)
    assert {"text", "section"} <= set(store.fields)
    found = by_id(read(store))
    assert found.keys() == set(ids)
    np.testing.assert_allclose(np.stack([found[i] for i in ids]), X, rtol=1e-6)
    seen = {i: t for part in store.batches(50) for i, t in
            zip(part.ids, store.values(part, "text"), strict=True)}  # fmt: skip
    assert seen == dict(zip(ids, texts, strict=True))
    assert sorted(i for part in store.ids() for i in part) == sorted(ids)


def test_rows_are_taken_by_id(store: Store, case: Case) -> None:
    ids, X, texts = items(case)
    rows = store.take([ids[7], "nobody", ids[100], ids[3]])
    assert set(rows.ids) == {ids[7], ids[100], ids[3]}
    for i, x, text in zip(rows.ids, rows.X, store.values(rows, "text"), strict=True):
        np.testing.assert_allclose(x, X[ids.index(i)], rtol=1e-6)
        assert text == texts[ids.index(i)]
    assert store.take(["nobody"]).X.shape == (0, WIDTH)
    assert store.take([ids[1]], payload=False).ids == [ids[1]]


def test_search_gives_ids_and_cosines(store: Store, case: Case) -> None:
    ids, X, _ = items(case)
    found = store.search(X[:3] * 2, 4)
    cosines = X[:3] @ X.T
    for row, own in zip(found, cosines, strict=True):
        assert [i for i, _ in row] == [ids[j] for j in np.argsort(-own)[:4]]
        np.testing.assert_allclose([c for _, c in row], np.sort(own)[::-1][:4], atol=1e-5)


def test_an_unknown_field_is_named(store: Store, case: Case) -> None:
    with pytest.raises(ValueError, match="no_such"):
        store.values(store.take([items(case)[0][0]]), "no_such")


def test_a_shadow_has_the_same_rows_and_other_vectors(store: Store, case: Case) -> None:
    ids, X, texts = items(case)
    shadow = store.shadow("items_new")
    assert not shadow.exists()
    shadow.create(3, {"encoder": "new", "predicted": {"R@10": 0.9}})
    assert shadow.exists()
    assert list(shadow.marks()) == [] or sum(len(m.ids) for m in shadow.marks()) == 0
    rows = store.take(ids[:80])
    Y = unit(rows.X[:, :3])
    shadow.write(rows, Y, row_sums(rows.X), False, replace=False)
    few = store.take(ids[70:90])
    shadow.write(few, unit(few.X[:, 3:]), row_sums(few.X), True, replace=True)
    new = shadow.open()
    assert (new.count(), new.n_features) == (90, 3)
    assert new.about() == {"encoder": "new", "predicted": {"R@10": 0.9}}
    assert store.about() == {}
    found = by_id(read(new))
    for n, i in enumerate(ids[:90]):
        expected = unit(X[n : n + 1, 3:] if n >= 70 else X[n : n + 1, :3])[0]
        np.testing.assert_allclose(found[i], expected, rtol=1e-5)
    some = new.take(ids[60:75])
    assert dict(zip(some.ids, new.values(some, "text"), strict=True)) == dict(
        zip(ids[60:75], texts[60:75], strict=True)
    )
    marks = {i: (s, n) for m in shadow.marks() for i, s, n in
             zip(m.ids, m.sums.tolist(), m.native.tolist(), strict=True)}  # fmt: skip
    stored = by_id(read(store))
    assert marks == {
        i: (int(row_sums(stored[i][None])[0]), n >= 70) for n, i in enumerate(ids[:90])
    }
    shadow.remove([ids[0], ids[75]])
    assert new.count() == 88
    shadow.finish()
    assert store.count() == N
    np.testing.assert_allclose(np.stack([by_id(read(store))[i] for i in ids]), X, rtol=1e-6)
    shadow.drop()
    assert not shadow.exists()


def unit(X: np.ndarray) -> np.ndarray:
    return np.asarray(X / np.linalg.norm(X, axis=1, keepdims=True), np.float32)


def test_the_state_changes_with_the_rows(store: Store, case: Case) -> None:
    before = store.state()
    assert store.state() == before
    if before is None:  # a store that cannot say
        return
    _, X, texts = items(n=1, seed=1)
    case.add(["one more"], X, texts)
    after = store.state()
    assert after != before
    case.delete([items(case)[0][4]])
    assert store.state() not in (before, after)
    assert store.count() == N


def test_changes_by_others_are_seen(store: Store, case: Case) -> None:
    case.add(["one more"], items(n=1, seed=1)[1], ["new"])
    case.delete(items(case)[0][:2])
    assert store.count() == N - 1
    assert case.id_of("one more") in read(store).ids


def test_an_alias_is_switched_and_switched_back(store: Store, case: Case) -> None:
    assert store.pointed("items_current") is None
    shadow = store.shadow("items_new")
    shadow.create(3, {})
    rows = store.take(items(case)[0][:10])
    shadow.write(rows, unit(rows.X[:, :3]), row_sums(rows.X), False, replace=False)
    name = store.url.rpartition("#")[2].rpartition("/")[2]
    store.point("items_current", None)
    assert current(case.url, "items_current") == name
    store.point("items_current", "items_new")
    assert current(case.url, "items_current") == "items_new"
    store.point("items_current", None)
    assert open_store(case.url).pointed("items_current") == name
    with pytest.raises(ValueError, match=r"alias is 'other'; .* has none of that name"):
        current(case.url, "other")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("items", r"store is 'items'; expected SCHEME:PLACE#NAME"),
        ("mysql:items", "store must be one of|store is 'mysql'"),
        ("lancedb:nowhere#items", "nowhere: no such folder"),
        ("parquet:nowhere", "nowhere: no such folder"),
    ],
)
def test_wrong_urls_are_named(url: str, message: str) -> None:
    if url.startswith("lancedb"):
        pytest.importorskip("lancedb")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_store(url)


def test_a_table_that_is_not_there(case: Case) -> None:
    if "#" not in case.url:
        pytest.skip("a folder has no tables")
    with pytest.raises(ValueError, match=r"has no (table|collection) 'other'; it has .*items"):
        open_store(case.url.rpartition("#")[0] + "#other")
