"""What is Qdrant's own: ids, named vectors, payloads, distances, aliases, folders and servers.

No package brings Qdrant's server. ``StandIn`` speaks as much of its REST interface as the
store uses, over the client's local mode: it shows that requests are well formed, bounded
and carry the key, and what becomes of refusals. It does not show how the server behaves.
"""

from __future__ import annotations

import gc
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qdrant_client")

from qdrant_client import QdrantClient, models

from relatum.migration import check, fill, row_sums, write_native
from relatum.stores import Store, _clients, _qdrant, current, open_store
from relatum.stores._qdrant_client import connect, is_id, normalised

N, WIDTH = 60, 6
UUID = "1234abcd-1234-5678-1234-567812345678"


def vectors(n: int = N, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def params(distance: str = "Cosine", size: int = WIDTH, **others: Any) -> models.VectorParams:
    return models.VectorParams(size=size, distance=models.Distance(distance), **others)


def points(X: np.ndarray, name: str = "") -> list[models.PointStruct]:
    return [
        models.PointStruct(id=i, vector={name: x} if name else x, payload={"text": f"text {i}"})
        for i, x in enumerate(X.tolist())
    ]


def made(folder: Path, X: np.ndarray, distance: str = "Cosine") -> str:
    """Make a collection by a client of its own, which is closed."""
    client = QdrantClient(path=str(folder))
    client.create_collection("items", vectors_config=params(distance))
    client.upsert("items", points(X))
    client.close()
    return f"qdrant:{folder}#items"


def translate(X: np.ndarray) -> np.ndarray:
    Y = X[:, ::-1][:, :4] + 1
    return np.asarray(Y / np.linalg.norm(Y, axis=1, keepdims=True))


def whole(store: Store) -> dict[str, np.ndarray]:
    return {i: x for rows in store.batches(25) for i, x in zip(rows.ids, rows.X, strict=True)}


def test_ids_are_whole_numbers_and_uuids(tmp_path: Path) -> None:
    client = connect(str(tmp_path))
    client.create_collection("items", vectors_config=params())
    known = [7, 2**64 - 1, UUID]
    client.upsert("items", [models.PointStruct(id=i, vector=[1.0] * WIDTH) for i in known])
    store = open_store(f"qdrant:{tmp_path}#items")
    assert sorted(i for ids in store.ids() for i in ids) == sorted(map(str, known))
    asked = ["7", "007", "7", UUID.upper(), UUID, "nobody", str(2**64), "", "٧"]
    assert sorted(store.take(asked).ids) == sorted(["7", UUID])
    shadow = store.shadow("new")
    shadow.create(4, {})
    fill(store, shadow, translate)
    assert {p.id for p in client.scroll("new")[0]} == set(known)
    shadow.remove([UUID, "7"])
    assert [m.ids for m in shadow.marks()] == [[str(2**64 - 1)]]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("0", True),
        ("00", False),
        ("-1", False),
        ("8e3250ebd428441ba51082a36a1ec86f", False),
        ("9" * 5000, False),
    ],
)
def test_which_texts_are_ids(text: str, is_one: bool) -> None:
    assert is_id(text) is is_one


def test_one_of_several_named_vectors(tmp_path: Path) -> None:
    client = connect(str(tmp_path))
    sparse = {"words": models.SparseVectorParams()}
    named = {"image": params("Dot"), "text": params("Euclid", 3)}
    client.create_collection("items", vectors_config=named, sparse_vectors_config=sparse)
    X, T = vectors(), vectors(width=3)
    client.upsert("items", [
        models.PointStruct(id=i, vector={"image": x, "text": t}, payload={"n": i})
        for i, (x, t) in enumerate(zip(X.tolist(), T.tolist(), strict=True))
    ])  # fmt: skip
    url = f"qdrant:{tmp_path}#items"
    with pytest.raises(ValueError, match=r"#items has the vectors image, text; name one"):
        open_store(url)
    with pytest.raises(ValueError, match=r"vector is 'words'; .* has the dense vectors image, t"):
        open_store(url, vector="words")
    store = open_store(url, vector="image")
    np.testing.assert_array_equal(np.stack([whole(store)[str(i)] for i in range(N)]), X)
    shadow = store.shadow("items_new")
    shadow.create(4, {"encoder": "new"})
    fill(store, shadow, translate)
    config = client.get_collection("items_new").config.params.vectors
    assert {n: (c.size, c.distance) for n, c in config.items()} == {
        "image": (4, models.Distance.DOT)
    }
    found = client.retrieve("items_new", [5], with_vectors=True)[0]
    np.testing.assert_allclose(found.vector["image"], translate(X)[5], rtol=1e-6)
    client.upsert("items", [models.PointStruct(id=99, vector={"text": [1.0, 2.0, 3.0]})])
    with pytest.raises(ValueError, match=r"no vector 'image' in 99; expected one in every point"):
        fill(store, shadow, translate)


def test_vectors_that_are_not_one_for_each_point(tmp_path: Path) -> None:
    client = connect(str(tmp_path))
    client.create_collection("items", vectors_config=params())
    client.create_collection(
        "only_sparse", sparse_vectors_config={"a": models.SparseVectorParams()}
    )
    several = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    client.create_collection("late", vectors_config=params(multivector_config=several))
    with pytest.raises(ValueError, match=r"vector is 'image'; .* has one without a name"):
        open_store(f"qdrant:{tmp_path}#items", vector="image")
    with pytest.raises(ValueError, match=r"has no dense vectors; its sparse ones are a"):
        open_store(f"qdrant:{tmp_path}#only_sparse")
    with pytest.raises(ValueError, match=r"several vectors for each point"):
        open_store(f"qdrant:{tmp_path}#late")
    with pytest.raises(ValueError, match=r"id is 'key'; a point of Qdrant has an id of its own"):
        open_store(f"qdrant:{tmp_path}#items", id="key")
    with pytest.raises(ValueError, match=r"expected qdrant:PLACE#COLLECTION"):
        open_store(f"qdrant:{tmp_path}")


def test_payloads_are_kept_as_they_are(tmp_path: Path) -> None:
    payloads: list[dict[str, Any]] = [
        {"text": "é — 漢", "n": 3, "x": 0.1, "yes": True, "none": None, "tags": ["a", 1, None]},
        {"deep": {"a": [{"b": {}}, []], "": "no name"}, "n": 2**53 + 1, "when": "2026-11-22"},
        {},
    ]
    client = connect(str(tmp_path))
    client.create_collection("items", vectors_config=params(), metadata={"owner": "me"})
    client.upsert("items", [
        models.PointStruct(id=i, vector=x, payload=payload)
        for i, (x, payload) in enumerate(zip(vectors(3).tolist(), payloads, strict=True))
    ])  # fmt: skip
    store = open_store(f"qdrant:{tmp_path}#items")
    assert store.fields == ["text", "n", "x", "yes", "none", "tags", "deep", "when"]
    shadow = store.shadow("items_new")
    shadow.create(4, {"encoder": "new", "at": [1, 2]})
    fill(store, shadow, translate)
    new = shadow.open()
    assert (new.fields, new.about()) == (store.fields, {"encoder": "new", "at": [1, 2]})
    rows = new.take(["0", "1", "2"])
    assert dict(zip(rows.ids, rows.payload, strict=True)) == {
        str(i): payload for i, payload in enumerate(payloads)
    }
    assert new.values(rows, "n") == [3, 2**53 + 1, None]
    sums = row_sums(store.take(["1"]).X).tolist()
    found = client.retrieve("items_new", [1])[0].payload
    assert found == {**payloads[1], "relatum_sum": sums[0], "relatum_native": False}
    metadata = client.get_collection("items_new").config.metadata
    assert metadata == {"owner": "me", "relatum": {"encoder": "new", "at": [1, 2]}}


@pytest.mark.parametrize("distance", ["Cosine", "Dot", "Euclid", "Manhattan"])
def test_every_distance_gives_cosines(tmp_path: Path, distance: str) -> None:
    X = vectors() * 3
    store = open_store(made(tmp_path, X, distance))
    units = X / np.linalg.norm(X, axis=1, keepdims=True)
    expected = units if distance == "Cosine" else X
    found = whole(store)
    np.testing.assert_allclose(np.stack([found[str(i)] for i in range(N)]), expected, rtol=1e-6)
    for query, row in zip(units[:3], store.search(X[:3], 4), strict=True):
        cosines = units @ query
        assert [i for i, _ in row] == [str(i) for i in np.argsort(-cosines)[:4]]
        np.testing.assert_allclose([c for _, c in row], np.sort(cosines)[::-1][:4], atol=1e-6)
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    assert shadow.open().search(np.ones((2, 4)), 3) == [[], []]
    config = store.client.get_collection("items_new").config  # type: ignore[attr-defined]
    assert config.params.vectors.distance == distance


def test_vectors_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Its files have vectors as they came, its memory has them normalised."""
    url = made(tmp_path, vectors() * 3)
    store = open_store(url)
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    write_native(store, shadow, ["3"], np.eye(4)[:1])
    fill(store, shadow, translate)
    sums = row_sums(np.stack([whole(store)[str(i)] for i in range(N)])).tolist()
    store.search(vectors(3), 2)
    del store, shadow
    gc.collect()
    client = QdrantClient(path=str(tmp_path))  # the other has let go of the folder
    client.query_points("items", [1.0] * WIDTH)
    client.close()
    again = open_store(url)
    assert row_sums(np.stack([whole(again)[str(i)] for i in range(N)])).tolist() == sums
    assert fill(again, again.shadow("items_new"), lambda X: 1 / 0).n_written == 0
    held = check(again, again.shadow("items_new"))
    assert (held.whole, held.n_native) == (True, 1)


def test_rows_that_are_normalised_stay_as_they_are() -> None:
    X = vectors().astype(np.float64)
    units = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(normalised(units), units)
    np.testing.assert_allclose(np.linalg.norm(normalised(X), axis=1), 1)
    assert not normalised(np.zeros((1, 3))).any()


def test_aliases_are_those_of_qdrant(tmp_path: Path) -> None:
    store = open_store(made(tmp_path, vectors()))
    store.shadow("items_new").create(4, {})
    with pytest.raises(ValueError, match=r"alias is 'items_new', which is a collection of"):
        store.point("items_new", None)
    store.point("now", "items_new")
    assert store.pointed("items") is None
    client = store.client  # type: ignore[attr-defined]
    assert [a.collection_name for a in client.get_aliases().aliases] == ["items_new"]
    with pytest.raises(ValueError, match=r"'now' is an alias of 'items_new' in .*; name the coll"):
        open_store(f"qdrant:{tmp_path}#now")
    with pytest.raises(ValueError, match=rf"{tmp_path}: Collection nowhere not found"):
        store.point("now", "nowhere")
    assert current(store.url, "now") == "items_new"


def test_folders_that_have_no_collections(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder; expected a Qdrant"):
        open_store(f"qdrant:{tmp_path / 'nowhere'}#items")
    with pytest.raises(ValueError, match=rf"{tmp_path} has no collection 'items'; it has none"):
        open_store(f"qdrant:{tmp_path}#items")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*lock:pytest.PytestUnraisableExceptionWarning")
def test_a_folder_that_another_client_has_open(tmp_path: Path) -> None:
    url = made(tmp_path, vectors())
    client = QdrantClient(path=str(tmp_path))
    with pytest.raises(OSError, match=rf"{tmp_path}: .* already accessed by another instance"):
        open_store(url)
    gc.collect()  # the client leaves its lock file open where it is refused
    client.close()
    first, second = open_store(url), open_store(url)
    assert first.client is second.client  # type: ignore[attr-defined]


def test_what_the_disk_refuses_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk\nis full")

    store = open_store(made(tmp_path, vectors()))
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    monkeypatch.setattr(store.client.thing, "upsert", full)  # type: ignore[attr-defined]
    with pytest.raises(OSError, match=rf"^{tmp_path}: database or disk is full$"):
        fill(store, shadow, translate)


def test_requests_are_bounded() -> None:
    rows = [{"text": "x" * n} for n in (10, 10, 5 * 2**20, 10, 30 * 2**20, 10)]
    found = list(_clients.pieces(rows, 40_000, 2))
    assert [(s.start, s.stop) for s in found] == [(0, 2), (2, 4), (4, 5), (5, 6)]
    assert list(_clients.pieces([], 4, 2)) == []


class StandIn(ThreadingHTTPServer):
    """Some of Qdrant's REST interface, over the client's local mode."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.client = QdrantClient(":memory:", force_disable_check_same_thread=True)
        self.lock = threading.Lock()
        self.key: str | None = None
        self.refusal: tuple[int, Any] | None = None
        self.status = "green"
        self.upserts = self.largest = 0
        self.refuses_at = -1
        self.indexes: dict[str, dict[str, Any]] = {}
        self.created: dict[str, Any] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, path: str, body: Any) -> Any:
        client = self.client
        if path == "/collections":
            return client.get_collections()
        if path == "/aliases":
            return client.get_aliases()
        if path == "/collections/aliases":
            actions = models.ChangeAliasesOperation(**body).actions
            return client.update_collection_aliases(actions)
        name, _, rest = path.removeprefix("/collections/").partition("/")
        return self.of_collection(method, name, rest, body)

    def of_collection(self, method: str, name: str, rest: str, body: Any) -> Any:
        client = self.client
        if rest == "" and method == "PUT":
            new = models.CreateCollection(**body)
            self.created[name] = body
            return client.create_collection(name, new.vectors, metadata=new.metadata)
        if rest == "" and method == "DELETE":
            return client.delete_collection(name)
        if rest == "":
            info = client.get_collection(name).model_dump(mode="json")
            return info | {"status": self.status, "payload_schema": self.indexes.get(name, {})}
        if rest == "index":
            index = models.CreateFieldIndex(**body)
            found = {"data_type": index.field_schema, "points": 0}
            self.indexes.setdefault(name, {})[index.field_name] = found
        elif rest == "points/scroll":
            page, after = client.scroll(name, **_renamed(models.ScrollRequest(**body)))
            return models.ScrollResult(points=page, next_page_offset=after)
        elif rest == "points" and method == "POST":
            return client.retrieve(name, **_renamed(models.PointRequest(**body)))
        elif rest == "points":
            self.upserts += 1
            if self.upserts == self.refuses_at:
                raise ConnectionAbortedError
            client.upsert(name, models.PointsList(**body).points)
        elif rest == "points/count":
            return client.count(name)
        elif rest == "points/delete":
            client.delete(name, models.PointIdsList(**body))
        elif rest == "points/query/batch":
            return client.query_batch_points(name, models.QueryRequestBatch(**body).searches)
        return models.UpdateResult(operation_id=1, status=models.UpdateStatus.COMPLETED)


def _renamed(request: Any) -> dict[str, Any]:
    found = {name: getattr(request, name) for name in request.model_fields_set}
    if "with_vector" in found:
        found["with_vectors"] = found.pop("with_vector")
    return found


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def handle_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.largest = max(self.server.largest, length)
        body = json.loads(self.rfile.read(length)) if length else None
        if self.server.key not in (None, self.headers.get("api-key")):
            return self.send(401, {"status": {"error": "Must provide an API key"}})
        if self.server.refusal is not None:
            return self.send(*self.server.refusal)
        with self.server.lock:
            try:
                found = self.server.answer(self.command, self.path.partition("?")[0], body)
            except ConnectionAbortedError:
                self.close_connection = True
                return None
            except ValueError as error:
                return self.send(400, {"status": {"error": str(error)}})
        return self.send(200, {"result": _plain(found), "status": "ok", "time": 0.0})

    do_GET = do_PUT = do_POST = do_DELETE = handle_one

    def send(self, code: int, said: Any) -> None:
        data = json.dumps(said).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        if code == 429:
            self.send_header("Retry-After", "3")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _plain(found: Any) -> Any:
    if isinstance(found, list):
        return [_plain(one) for one in found]
    return found.model_dump(mode="json") if hasattr(found, "model_dump") else found


@pytest.fixture
def server() -> Iterator[StandIn]:
    made = StandIn()
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    made.client.create_collection("items", vectors_config=params())
    made.client.upsert("items", points(vectors()))
    yield made
    made.shutdown()
    thread.join()
    made.server_close()
    made.client.close()


def test_a_server_is_read_filled_and_searched(server: StandIn) -> None:
    server.indexes["items"] = {"text": {"data_type": "keyword", "points": N}}
    store = open_store(f"qdrant:{server.url}#items")
    assert (store.count(), store.n_features, store.fields) == (N, WIDTH, ["text"])
    assert sum(len(ids) for ids in store.ids()) == N
    shadow = store.shadow("items_new")
    assert not shadow.exists()
    shadow.create(4, {"encoder": "new"})
    write_native(store, shadow, ["3"], np.eye(4)[:1])
    assert fill(store, shadow, translate, batch=25).n_written == N - 1
    held = check(store, shadow)
    assert (held.whole, held.n_native) == (True, 1)
    shadow.finish()
    assert server.indexes["items_new"]["text"]["data_type"] == "keyword"
    assert server.created["items_new"]["hnsw_config"]["m"] == 16
    new = shadow.open()
    assert new.about() == {"encoder": "new"}
    old, own = whole(store), whole(new)
    expected = translate(np.stack([old[i] for i in own]))
    kept = [n for n, i in enumerate(own) if i != "3"]
    np.testing.assert_allclose(np.stack(list(own.values()))[kept], expected[kept], rtol=1e-5)
    assert [row[0][0] for row in new.search(expected[kept][:3], 2)] == [
        list(own)[n] for n in kept[:3]
    ]
    store.point("now", "items_new")
    store.point("now", None)
    assert current(store.url, "now") == "items"
    shadow.remove(["3"])
    assert new.count() == N - 1
    shadow.drop()
    assert not shadow.exists()


def test_a_server_with_another_distance_gives_cosines(server: StandIn) -> None:
    X = vectors()
    server.client.create_collection("dots", vectors_config={"a": params("Dot")})
    server.client.upsert("dots", points(X, "a"))
    store = open_store(f"qdrant:{server.url}#dots")
    units = X / np.linalg.norm(X, axis=1, keepdims=True)
    for n, row in enumerate(store.search(X[:3], 4)):
        assert [i for i, _ in row] == [str(i) for i in np.argsort(-(X @ X[n]))[:4]]
        expected = [units[int(i)] @ units[n] for i, _ in row]
        np.testing.assert_allclose([c for _, c in row], expected, atol=1e-6)


def test_requests_of_many_rows_stay_small(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clients, "REQUEST", 10_000)
    monkeypatch.setattr(_clients, "READ", WIDTH * 7)
    store = open_store(f"qdrant:{server.url}#items")
    assert max(len(rows.ids) for rows in store.batches(50)) == 7
    shadow = store.shadow("items_new")
    shadow.create(400, {})
    fill(store, shadow, lambda X: np.tile(X, (1, 100))[:, :400])
    assert server.upserts == N
    assert server.largest < 10_000
    assert check(store, shadow).whole


def test_a_server_that_breaks_off_in_the_middle(server: StandIn) -> None:
    store = open_store(f"qdrant:{server.url}#items")
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    server.refuses_at = 2
    with pytest.raises(OSError, match=rf"^{re.escape(server.url)}: .*disconnected"):
        fill(store, shadow, translate, batch=20)
    assert shadow.open().count() == 20
    assert fill(store, shadow, translate, batch=20).n_written == N - 20
    assert check(store, shadow).whole


def test_the_key_comes_from_the_environment(
    server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = "secret"
    url = f"qdrant:{server.url}#items"
    with pytest.raises(PermissionError, match=r"Must provide an API key \(the key is read from QD"):
        open_store(url)
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    with pytest.warns(UserWarning, match="insecure connection"):
        assert open_store(url).count() == N
    with pytest.raises(ValueError, match=r"127.0.0.1 with a user, .* environment \(QDRANT_API_K"):
        open_store(url.replace("//", "//me:secret@"))


def test_what_a_server_refuses_names_it(server: StandIn) -> None:
    store = open_store(f"qdrant:{server.url}#items")
    shadow = store.shadow("items_new")
    shadow.create(4, {})
    with pytest.raises(ValueError, match=rf"{server.url}: .* already exists"):
        shadow.create(4, {})
    with pytest.raises(ValueError, match=rf"^{server.url}: .*dimension"):
        shadow.write(store.take(["1"]), np.ones((1, 9)), np.zeros(1), False, replace=False)
    with pytest.raises(ValueError, match=r"has no collection 'other'; it has items, items_new"):
        open_store(f"qdrant:{server.url}#other")


@pytest.mark.parametrize(
    ("refusal", "kind", "message"),
    [
        ((429, {"status": {"error": "too many requests"}}), OSError, "too many requests"),
        ((503, "no JSON of Qdrant's"), OSError, "503 Service Unavailable"),
        ((404, {"status": {"error": "no such\ncollection"}}), ValueError, "no such collection"),
    ],
)
def test_what_a_server_answers_is_said_in_a_line(
    server: StandIn, refusal: tuple[int, Any], kind: type[Exception], message: str
) -> None:
    store = open_store(f"qdrant:{server.url}#items")
    server.refusal = refusal
    with pytest.raises(kind, match=f"^{server.url}: {message}$"):
        store.count()


def test_a_server_that_keeps_no_metadata(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    create = server.client.create_collection
    monkeypatch.setattr(server.client, "create_collection", lambda *a, metadata: create(*a))
    shadow = open_store(f"qdrant:{server.url}#items").shadow("items_new")
    with pytest.raises(ValueError, match=r"keeps no metadata of collections; expected a newer"):
        shadow.create(4, {"encoder": "new"})
    assert not shadow.exists()


def test_the_index_is_waited_for_within_bounds(
    server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = open_store(f"qdrant:{server.url}#items").shadow("items_new")
    shadow.create(4, {})
    monkeypatch.setattr(_qdrant, "GREEN", 0.01)
    server.status = "yellow"
    with pytest.warns(UserWarning, match=r"still builds the index of items_new after 0.01 s"):
        shadow.finish()
    server.status = "red"
    with pytest.raises(OSError, match=r"items_new is red"):
        shadow.finish()


def test_a_server_that_is_not_there() -> None:
    with StandIn() as gone:
        url = gone.url
        gone.client.close()
    with pytest.raises(OSError, match=rf"^{url}: .*refused"):
        open_store(f"qdrant:{url}#items")
