"""What is Chroma's own: documents and metadata, spaces, pointers as aliases, its server."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("chromadb")

from chromadb.errors import InternalError

from relatum.migration import check, fill, row_sums, write_native
from relatum.stores import Store, _clients, current, open_store
from relatum.stores._chroma_client import collection as opened
from relatum.stores._chroma_client import connect

N, WIDTH = 60, 6


def vectors(n: int = N, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def made(place: str, name: str = "items", n: int = N, **options: Any) -> Any:
    """Make a collection, and return it."""
    client = connect(place)
    client.create_collection(name, embedding_function=None, **options)
    found = opened(client, name)
    if n:
        found.upsert([f"i{i}" for i in range(n)], vectors(n), [{"n": i} for i in range(n)])
    return found


def translate(X: np.ndarray) -> np.ndarray:
    Y = X[:, ::-1][:, :4] + 1
    return np.asarray(Y / np.linalg.norm(Y, axis=1, keepdims=True))


def whole(store: Store) -> dict[str, np.ndarray]:
    return {i: x for rows in store.batches(25) for i, x in zip(rows.ids, rows.X, strict=True)}


def test_documents_metadata_and_uris_are_kept(tmp_path: Path) -> None:
    rows: dict[str, tuple[Any, Any, Any]] = {
        "all": ("é — 漢", {"n": 3, "x": 0.1, "yes": True, "s": "a", "tags": ["a", "b"]}, "file:a"),
        "no document": (None, {"n": 4}, None),
        "no metadata": ("text", None, None),
        "nothing": (None, None, None),
    }
    old = made(str(tmp_path), n=0, metadata={"owner": "me"})
    documents, metadatas, uris = (list(column) for column in zip(*rows.values(), strict=True))
    old.upsert(list(rows), vectors(4), metadatas, documents, uris=uris)
    store = open_store(f"chroma:{tmp_path}#items")
    assert store.fields[0] == "document"
    assert set(store.fields) == {"document", "n", "x", "yes", "s", "tags"}
    shadow = store.shadow("items_new")
    shadow.create(4, {"encoder": "new", "at": [1, None]})
    assert shadow.open().n_features == 4
    fill(store, shadow, translate)
    new = shadow.open()
    assert new.about() == {"encoder": "new", "at": [1, None]}
    found = new.take(list(rows))
    assert {i: tuple(row.values()) for i, row in zip(found.ids, found.payload, strict=True)} == rows
    texts = dict(zip(found.ids, new.values(found, "document"), strict=True))
    assert texts == {i: row[0] for i, row in rows.items()}
    numbers = dict(zip(found.ids, new.values(found, "n"), strict=True))
    assert numbers == {"all": 3, "no document": 4, "no metadata": None, "nothing": None}
    own = opened(connect(str(tmp_path)), "items_new")
    sums = row_sums(store.take(["nothing"]).X).tolist()
    assert own.get(["nothing"])["metadatas"] == [{"relatum_sum": sums[0], "relatum_native": False}]
    assert own.metadata["owner"] == "me"
    assert json.loads(own.metadata["relatum"])["about"] == new.about()
    assert old.metadata == {"owner": "me"}


def test_what_a_row_has_lost_is_lost_in_the_shadow(tmp_path: Path) -> None:
    """Chroma's own upsert would keep it."""
    old = made(str(tmp_path), n=0)
    old.upsert(["a", "b"], vectors(2), [{"n": 1, "m": 2}, {"n": 2}], ["one", "two"])
    store = open_store(f"chroma:{tmp_path}#items")
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    fill(store, shadow, translate)
    old.delete(["a"])
    old.upsert(["a", "b"], vectors(2, seed=1), [{"n": 3}, {"n": 4, "m": 5}])
    assert fill(store, shadow, translate).n_replaced == 2
    rows = shadow.open().take(["a", "b"])
    assert dict(zip(rows.ids, rows.payload, strict=True)) == {
        "a": {"document": None, "metadata": {"n": 3}, "uri": None},
        "b": {"document": "two", "metadata": {"n": 4, "m": 5}, "uri": None},
    }


@pytest.mark.parametrize("space", ["cosine", "l2", "ip"])
def test_every_space_gives_cosines(tmp_path: Path, space: str) -> None:
    made(str(tmp_path), configuration={"hnsw": {"space": space, "max_neighbors": 24}})
    store = open_store(f"chroma:{tmp_path}#items")
    X = vectors()
    found = whole(store)
    np.testing.assert_allclose(np.stack([found[f"i{i}"] for i in range(N)]), X, rtol=1e-6)
    distances = {
        "cosine": -X @ X.T / np.linalg.norm(X, axis=1),
        "l2": np.square(X[:, None] - X).sum(axis=2),
        "ip": -X @ X.T,
    }[space]
    units = X / np.linalg.norm(X, axis=1, keepdims=True)
    for n, row in enumerate(store.search(X[:3], 4)):
        nearest = np.argsort(distances[n])[:4]
        assert [i for i, _ in row] == [f"i{i}" for i in nearest]
        np.testing.assert_allclose([c for _, c in row], units[nearest] @ units[n], atol=1e-5)
    assert len(store.search(X[:1], N + 9)[0]) == N
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    assert shadow.open().search(np.ones((2, 4)), 3) == [[], []]
    own = opened(connect(str(tmp_path)), "items_new").configuration_json["hnsw"]
    assert (own["space"], own["max_neighbors"]) == (space, 24)


def test_settings_that_older_collections_have_in_their_metadata(tmp_path: Path) -> None:
    made(str(tmp_path), metadata={"hnsw:space": "cosine", "owner": "me"})
    store = open_store(f"chroma:{tmp_path}#items")
    assert store.search(vectors()[:1], 1)[0][0][1] == pytest.approx(1, abs=1e-6)
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    own = opened(connect(str(tmp_path)), "items_new")
    assert own.configuration_json["hnsw"]["space"] == "cosine"
    assert set(own.metadata) == {"owner", "relatum"}


def test_no_embedding_function_is_made_or_called(tmp_path: Path) -> None:
    """Chroma's default fetches a model when it is first called."""
    client = connect(str(tmp_path))
    client.create_collection("items")
    opened(client, "items").upsert(["a", "b"], vectors(2), None, ["one", "two"])
    store = open_store(f"chroma:{tmp_path}#items")
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    fill(store, shadow, translate)
    assert shadow.open().search(np.ones((1, 4)), 2)[0]
    kept = client.get_collection("items", embedding_function=None).configuration_json
    assert kept["embedding_function"]["name"] == "default"
    new = client.get_collection("items_new", embedding_function=None).configuration_json
    assert (new["embedding_function"] or {"type": "legacy"})["type"] == "legacy"


def test_aliases_are_collections_without_rows(tmp_path: Path) -> None:
    made(str(tmp_path))
    store = open_store(f"chroma:{tmp_path}#items")
    store.shadow("items_new").create(4, {})
    with pytest.raises(ValueError, match=r"alias is 'items_new', which is a collection of"):
        store.point("items_new", None)
    assert store.pointed("items") is None
    store.point("now", "items_new")
    own = opened(connect(str(tmp_path)), "now")
    assert (own.count(), own.metadata) == (0, {"relatum_alias": "items_new"})
    with pytest.raises(ValueError, match=r"'now' is an alias of 'items_new' in .*; name the coll"):
        open_store(f"chroma:{tmp_path}#now")
    with pytest.raises(ValueError, match=r"has no collection 'nowhere'; it has items, "):
        store.point("now", "nowhere")
    with pytest.raises(ValueError, match=rf"{tmp_path}: .*Expected a name containing 3-512"):
        store.point("x", None)
    assert current(store.url, "now") == "items_new"


def test_folders_and_collections_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder; expected a Chroma"):
        open_store(f"chroma:{tmp_path / 'nowhere'}#items")
    with pytest.raises(ValueError, match=rf"{tmp_path} has no collection 'items'; it has none"):
        open_store(f"chroma:{tmp_path}#items")
    assert list(tmp_path.iterdir()) == []
    made(str(tmp_path), "empty", n=0)
    with pytest.raises(ValueError, match=r"#empty has no rows; expected vectors"):
        open_store(f"chroma:{tmp_path}#empty")
    with pytest.raises(ValueError, match=r"vector is 'x'; a row of Chroma has one id and one vec"):
        open_store(f"chroma:{tmp_path}#empty", vector="x")
    with pytest.raises(ValueError, match=r"id is 'x'; a row of Chroma has one id"):
        open_store(f"chroma:{tmp_path}#empty", id="x")
    with pytest.raises(ValueError, match=r"expected chroma:PLACE#COLLECTION"):
        open_store(f"chroma:{tmp_path}")


def test_no_row_comes_twice_while_others_write(tmp_path: Path) -> None:
    old = made(str(tmp_path))
    store = open_store(f"chroma:{tmp_path}#items")
    found = []
    for n, rows in enumerate(store.batches(10)):
        found += rows.ids
        old.delete([f"i{n}", f"i{N - 1 - n}"])
        old.upsert([f"i{n}", f"new{n}"], vectors(2))
    assert len(found) == len(set(found))
    assert {f"i{i}" for i in range(N // 2)} <= set(found) <= {f"i{i}" for i in range(N)}


@pytest.mark.slow
def test_more_rows_than_chroma_takes_at_once(tmp_path: Path) -> None:
    old = made(str(tmp_path), n=0)
    X = vectors(6_000, 3)
    for start in (0, 3_000):
        old.upsert([f"i{i}" for i in range(start, start + 3_000)], X[start : start + 3_000])
    store = open_store(f"chroma:{tmp_path}#items")
    shadow = store.shadow("items_new")
    shadow.create(3, {})
    fill(store, shadow, lambda X: X)
    assert check(store, shadow).whole
    assert store.take(["i3", "i3"]).ids == ["i3"]


def test_what_chroma_refuses_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(str(tmp_path))
    store = open_store(f"chroma:{tmp_path}#items")
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    rows = store.take(["i1"])
    shadow.write(rows, np.ones((1, 4)), np.zeros(1), False, replace=False)
    with pytest.raises(ValueError, match=rf"^{tmp_path}: .*dimension of 4, got 9"):
        shadow.write(rows, np.ones((1, 9)), np.zeros(1), False, replace=False)
    with pytest.raises(OSError, match=rf"^{tmp_path}: Collection \[items_new\] already exists"):
        shadow.create(4, {})

    def full(*_: object, **__: object) -> None:
        raise InternalError("code: 13: database or disk is full")

    monkeypatch.setattr(type(opened(connect(str(tmp_path)), "items").thing), "upsert", full)
    with pytest.raises(OSError, match=rf"^{tmp_path}: .*disk is full"):
        fill(store, shadow, translate)
    shadow.drop()
    with pytest.raises(ValueError, match=rf"^{tmp_path}: Collection \[items_new\] does not exist"):
        shadow.open()


class Server:
    """Chroma's own server on this machine."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.url = folder, f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [str(Path(sys.executable).with_name("chroma")), "run"]
        options = ["--path", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(
            command + options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(1_200):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            time.sleep(0.1)
        raise OSError("the server does not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("chroma"))
    yield made
    made.kill()


@pytest.mark.slow
def test_a_server_is_read_filled_and_searched(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(server.url, configuration={"hnsw": {"space": "cosine"}})
    monkeypatch.setattr(_clients, "READ", WIDTH * 7)
    store = open_store(f"chroma:{server.url}#items")
    assert (store.count(), store.n_features, store.fields) == (N, WIDTH, ["document", "n"])
    shadow = store.shadow("items_new")
    shadow.create(4, {"encoder": "new"})
    write_native(store, shadow, ["i3"], np.eye(4)[:1])
    assert fill(store, shadow, translate, batch=25).n_written == N - 1
    held = check(store, shadow)
    assert (held.whole, held.n_native) == (True, 1)
    new = shadow.open()
    assert new.about() == {"encoder": "new"}
    expected = translate(vectors())
    found = whole(new)
    np.testing.assert_allclose(found["i7"], expected[7], rtol=1e-5)
    assert [row[0][0] for row in new.search(expected[5:8], 2)] == ["i5", "i6", "i7"]
    store.point("now", "items_new")
    store.point("now", None)
    assert current(store.url, "now") == "items"
    with pytest.raises(ValueError, match=r"has no collection 'other'; it has items, items_new"):
        open_store(f"chroma:{server.url}#other")
    shadow.remove(["i3"])
    assert new.count() == N - 1
    rows = store.take(["i3"])
    rows.payload[0]["document"] = "x" * 50_000_000
    with pytest.raises(OSError, match=rf"^{server.url}: Payload too large"):
        shadow.write(rows, np.ones((1, 4)), np.zeros(1), False, replace=False)
    with contextlib.suppress(OSError):  # the server may close the connection that it refused
        new.count()
    shadow.drop()
    assert not shadow.exists()


@pytest.mark.slow
def test_a_server_that_is_killed_in_the_middle(server: Server) -> None:
    made(server.url, "large", n=400)
    store = open_store(f"chroma:{server.url}#large")
    shadow = store.shadow("large_new")
    shadow.create(4, {})
    seen = []

    def killing(X: np.ndarray) -> np.ndarray:
        seen.append(len(X))
        if len(seen) == 4:
            server.kill()
        return translate(X)

    with pytest.raises(OSError, match=rf"^{re.escape(server.url)}: "):
        fill(store, shadow, killing, batch=50)
    with pytest.raises(OSError, match=rf"^{re.escape(server.url)}: .*Could not connect"):
        open_store(store.url)
    server.start()
    there = shadow.open().count()
    assert 0 < there < 400
    assert fill(store, shadow, translate, batch=50).n_written == 400 - there
    assert check(store, shadow).whole
    np.testing.assert_allclose(whole(shadow.open())["i9"], translate(vectors(400))[9], rtol=1e-5)


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(OSError, match=rf"^{url}: Could not connect to a Chroma server"):
        open_store(f"chroma:{url}#items")
    with pytest.raises(ValueError, match=r"127.0.0.1 with a user, a password or a query"):
        open_store(f"chroma:{url.replace('//', '//me:secret@')}#items")
