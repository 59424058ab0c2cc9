"""What only PostgreSQL has: schemas, types of ids, half vectors, views, a server that goes away."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from postgres_server import PostgresServer, postgres_server, run

from relatum import _terminal
from relatum._validation import MissingExtraError, RelatumWarning
from relatum.migration import check, fill, row_sums, write_native
from relatum.stores import Rows, Store, current, open_store
from relatum.stores._pgvector import PgStore

N, WIDTH, NEW = 60, 6, 4
X = np.random.default_rng(0).normal(size=(N, WIDTH)).astype(np.float32)


def translate(X: np.ndarray) -> np.ndarray:
    return X[:, :NEW] + 1


@pytest.fixture
def server() -> PostgresServer:
    return postgres_server()


@pytest.fixture
def url(server: PostgresServer, tmp_path: Path) -> str:
    return server.url(server.database(tmp_path))


def make(
    url: str,
    columns: str = "id bigint PRIMARY KEY, text text, embedding vector(6)",
    table: str = "items",
    id: Callable[[int], Any] = int,
    rows: np.ndarray = X,
) -> list[str]:
    """Make a table of items with an id, a text and a vector; return the ids as text."""
    run(url, f"CREATE TABLE {table} ({columns})")
    lines = [(id(n), f"text {n}", str(x.tolist())) for n, x in enumerate(rows)]
    table = table.replace("%", "%%")
    run(url, f"INSERT INTO {table} VALUES (%s, %s, %s)", lines)
    return [str(line[0]) for line in lines]


def filled(store: Store, name: str = "items_new") -> Any:
    shadow = store.shadow(name)
    shadow.create(NEW, {"encoder": "new"})
    fill(store, shadow, translate, batch=25)
    return shadow


def vectors(store: Store) -> dict[str, np.ndarray]:
    return {i: x for rows in store.batches(25) for i, x in zip(rows.ids, rows.X, strict=True)}


def assert_translated(store: Store, shadow: Any) -> None:
    assert check(store, shadow).whole
    old, new = vectors(store), vectors(shadow.open())
    assert old.keys() == new.keys()
    for i, x in old.items():
        np.testing.assert_allclose(new[i], translate(x[None])[0], rtol=1e-6)


# --- tables, and the columns of ids and vectors ----------------------------------------------

ID_TYPES = {
    "smallint": lambda n: n - 9,
    "integer": lambda n: n * 1_000_000 - 9,
    "bigint": lambda n: n * 10**15 - 9,
    "text": lambda n: f"é'{n}",
    "varchar(20)": lambda n: f"n{n}",
    "char(8)": lambda n: f"n{n}",
    "uuid": lambda n: uuid.uuid5(uuid.NAMESPACE_OID, str(n)),
}


@pytest.mark.parametrize("type_", list(ID_TYPES))
def test_ids_cross_as_text_and_keep_their_type(url: str, type_: str) -> None:
    ids = make(url, f"id {type_} PRIMARY KEY, text text, embedding vector(6)", id=ID_TYPES[type_])
    store = open_store(url + "#items")
    shadow = filled(store)
    assert_translated(store, shadow)
    of = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attname = 'id' AND "
    same = of + "attrelid IN ('items'::regclass, 'items_new'::regclass)"
    assert len(set(run(url, same))) == 1
    native = np.ones((2, NEW), np.float32)
    assert write_native(store, shadow, [ids[3], "nobody", ids[50]][::2], native) == 2
    found = store.take([ids[5], "nobody", "7.0", "9" * 40, "\0", ids[3]])
    assert set(found.ids) == {ids[5], ids[3]}
    np.testing.assert_allclose(vectors(shadow.open())[ids[50]], 1)
    shadow.remove([ids[0], "nobody"])
    assert check(store, shadow).missing == (ids[0],)
    assert store.search(X[:1], 1)[0][0][0] == ids[0]


def test_tables_of_another_schema(url: str) -> None:
    run(url, 'CREATE SCHEMA "my schema"')
    make(url, table='"my schema".items')
    run(url, "CREATE TABLE items (id bigint PRIMARY KEY, embedding vector(2))")
    store = open_store(url + "#my schema.items")
    assert (store.n_features, store.count(), store.fields) == (WIDTH, N, ["text"])
    shadow = filled(store)
    assert shadow.name == "my schema.items_new"
    assert_translated(store, shadow)
    store.point("items_current", shadow.name)
    assert store.pointed("items_current") == shadow.name
    assert current(url + "#my schema.items", "my schema.items_current") == shadow.name
    assert open_store(f"{url}#{shadow.name}").n_features == NEW
    store.point("items_current", None)
    assert store.pointed("items_current") == "my schema.items"
    assert run(url, 'SELECT count(*) FROM "my schema".items_current') == [(N,)]
    with pytest.raises(ValueError, match=r"no table 'my schema.other'; it has .*\"my schema\".i"):
        open_store(url + "#my schema.other")


def test_names_are_quoted(url: str) -> None:
    make(
        url,
        '"the ""id"" %s" text PRIMARY KEY, "a %(b)s" text, "v{}; --" vector(6)',
        '"T% {0}"',
        str,
    )
    store = open_store(url + "#T% {0}")
    shadow = filled(store, 'new "%" {}')
    assert_translated(store, shadow)
    assert store.values(store.take(["3"]), "a %(b)s") == ["text 3"]
    assert shadow.open().search(translate(X[:1]), 1)[0][0][0] == "0"
    store.point("now '%s'", 'new "%" {}')
    assert run(url, "SELECT count(*) FROM \"now '%s'\"") == [(N,)]
    shadow.remove(["3"])


def test_half_vectors_become_vectors(url: str) -> None:
    make(url, "id bigint PRIMARY KEY, text text, embedding halfvec(6)")
    run(url, "CREATE INDEX ON items USING hnsw (embedding halfvec_cosine_ops) WITH (m = 5)")
    store = open_store(url + "#items")
    found = vectors(store)
    np.testing.assert_array_equal([found[str(n)] for n in range(N)], X.astype(np.float16))
    assert store.search(X[:2], 1)[1][0][0] == "1"
    shadow = filled(store)
    assert_translated(store, shadow)
    shadow.finish()
    assert indexes(url) == ["USING hnsw (embedding vector_cosine_ops) WITH (m='5')"]


def test_vectors_whose_type_has_no_length(url: str) -> None:
    make(url, "id bigint PRIMARY KEY, text text, embedding vector")
    store = open_store(url + "#items")
    assert store.n_features == WIDTH
    assert_translated(store, filled(store))
    run(url, "UPDATE items SET embedding = '[1,2]' WHERE id = 7")
    with pytest.raises(ValueError, match=r"another length, in the rows '7'; expected 6 numbers"):
        vectors(store)
    run(url, "DELETE FROM items")
    with pytest.raises(ValueError, match=r"#items has no vectors, and column embedding \(vector\)"):
        open_store(url + "#items")


def test_rows_without_a_vector_or_an_id_are_named(url: str) -> None:
    make(url, "id text, text text, embedding vector(6)", id=str)
    store = open_store(url + "#items")
    run(url, "UPDATE items SET embedding = NULL, text = repeat('x', 99) WHERE id IN ('7', '50')")
    for payload in (True, False):
        with pytest.raises(ValueError, match=r"#items has no vector, .* in the rows '7', '50'"):
            list(store.batches(100, payload=payload))
    run(url, "DELETE FROM items WHERE embedding IS NULL")
    run(url, "UPDATE items SET id = NULL WHERE id = '3'")
    with pytest.raises(ValueError, match=r"#items has a row whose id is NULL"):
        vectors(store)


@pytest.mark.parametrize(
    ("columns", "names", "message"),
    [
        ("a int, b text, embedding vector(6), PRIMARY KEY (a, b)", {},
         r"a primary key of several columns \(a, b\); name one that tells its rows apart \(id\)"),
        ("a int, b text, embedding vector(6)", {},
         r"no primary key, and the columns a, b, embedding; name the one of the ids \(id\)"),
        ("a date PRIMARY KEY, b text, embedding vector(6)", {},
         r"column a \(date\) has no ids; expected integers, text or uuid"),
        ("a int PRIMARY KEY, b text, embedding vector(6)", {"id": "c"},
         r"column is 'c'; expected one of a, b, embedding"),
        ("a int PRIMARY KEY, b text, embedding vector(6)", {"vector": "b"},
         r"column b \(text\) is no vector; expected vector or halfvec"),
        ("a int PRIMARY KEY, b text, embedding vector(6)", {"vector": "c"},
         r"column is 'c'; expected one of a, b, embedding"),
        ("a int PRIMARY KEY, b text", {},
         r"#items has a \(integer\), b \(text\); expected a column of type vector or halfvec"),
        ("a int PRIMARY KEY, b halfvec(3), c vector(6)", {},
         r"several columns of vectors \(b \(halfvec\(3\)\), c \(vector\(6\)\)\); name one"),
    ],
)  # fmt: skip
def test_columns_that_do_not_do(
    url: str, columns: str, names: dict[str, str], message: str
) -> None:
    run(url, f"CREATE TABLE items ({columns})")
    with pytest.raises(ValueError, match=message):
        open_store(url + "#items", **names)


def test_columns_that_are_named(url: str) -> None:
    make(url, "a int, b text, c vector(6), d halfvec(2), PRIMARY KEY (a, b)")
    store = open_store(url + "#items", id="b", vector="c")
    shadow = filled(store)
    assert_translated(store, shadow)
    assert store.fields == ["a", "d"]
    assert shadow.open().values(shadow.open().take(["text 4"]), "a") == [4]


def test_other_columns_are_what_they_are_in_json(url: str) -> None:
    make(url)
    run(url, "ALTER TABLE items ADD n numeric, ADD j jsonb, ADD l int[], ADD at date")
    run(
        url,
        "UPDATE items SET n = 1.5, j = '{\"k\": [1]}', l = '{1,2}', at = '2026-01-02' WHERE id = 1",
    )
    store = open_store(url + "#items")
    rows = store.take(["1"])
    assert [store.values(rows, f) for f in store.fields] == [
        ["text 1"], [1.5], [{"k": [1]}], [[1, 2]], ["2026-01-02"],
    ]  # fmt: skip
    assert store.values(store.take(["2"]), "j") == [None]
    run(url, "CREATE TABLE bare (id int PRIMARY KEY, embedding vector(6))")
    assert open_store(url + "#bare").fields == []
    assert open_store(url + "#bare").take(["1"]).ids == []


# --- what a shadow is, and the view that shows it --------------------------------------------


def test_filling_does_not_read_what_it_does_not_copy(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(url)
    store = open_store(url + "#items")
    asked = []
    batches = PgStore.batches
    monkeypatch.setattr(
        PgStore,
        "batches",
        lambda *a, payload=True: asked.append(payload) or batches(*a, payload=payload),
    )
    shadow = filled(store)
    assert asked
    assert not any(asked)
    columns = (
        "SELECT attname FROM pg_attribute WHERE attrelid = 'items_new'::regclass AND attnum > 0"
    )
    assert [c for (c,) in run(url, columns)] == ["id", "embedding", "relatum_sum", "relatum_native"]
    assert_translated(store, shadow)


def test_the_old_table_is_as_it_was(url: str) -> None:
    make(url)
    of = (
        "SELECT ctid::text, xmin::text, xmax::text, items::text FROM items ORDER BY id",
        "SELECT relfilenode, relnatts, relchecks, relhastriggers, relacl FROM pg_class"
        " WHERE oid = 'items'::regclass",
        "SELECT count(*) FROM pg_index WHERE indrelid = 'items'::regclass",
    )
    before = [run(url, query) for query in of]
    store = open_store(url + "#items")
    shadow = filled(store)
    write_native(store, shadow, ["1"], np.ones((1, NEW)))
    store.point("items_current", "items_new")
    shadow.finish()
    store.point("items_current", None)
    shadow.drop()
    assert [run(url, query) for query in of] == before


def test_the_view_shows_new_vectors_with_old_columns(url: str) -> None:
    make(url)
    store = open_store(url + "#items")
    shadow = filled(store)
    store.point("items_current", None)
    old = run(url, "SELECT id, text, embedding::text FROM items ORDER BY id")
    assert run(url, "SELECT * FROM items_current ORDER BY id")[0][:2] == (0, "text 0")
    assert run(url, "SELECT id, text, embedding::text FROM items_current ORDER BY id") == old
    run(url, "CREATE ROLE reader; GRANT SELECT ON items_current TO reader WITH GRANT OPTION;"
             "GRANT SELECT, UPDATE ON items_current TO PUBLIC")  # fmt: skip
    rights = "SELECT relacl::text FROM pg_class WHERE oid = 'items_current'::regclass"
    before = run(url, rights)
    store.point("items_current", "items_new")
    assert sorted(run(url, rights)[0][0].split(",")) == sorted(before[0][0].split(","))
    run(url, "DROP OWNED BY reader; DROP ROLE reader")
    run(url, "DELETE FROM items WHERE id < 10")
    found = run(url, "SELECT id, text, embedding::text FROM items_current ORDER BY id")
    assert [line[:2] for line in found] == [line[:2] for line in old[10:]]
    Y = np.array([np.fromstring(line[2][1:-1], sep=",") for line in found])
    np.testing.assert_allclose(Y, translate(X[10:]), rtol=1e-5)
    assert shadow.open().count() == N - 10
    assert run(url, "SELECT count(*) FROM items_new") == [(N,)]


def test_an_alias_can_be_searched(url: str) -> None:
    make(url)
    store = open_store(url + "#items")
    filled(store)
    store.point("items_current", "items_new")
    alias = open_store(url + "#items_current")
    assert (alias.n_features, alias.about(), alias.state()) == (NEW, {"encoder": "new"}, None)
    assert alias.search(translate(X[7:8]), 3)[0][0][0] == "7"
    assert alias.values(alias.take(["7"]), "text") == ["text 7"]


def test_an_alias_that_is_anothers(url: str) -> None:
    make(url)
    store = open_store(url + "#items")
    filled(store)
    run(url, "CREATE VIEW theirs AS SELECT * FROM items")
    run(url, """COMMENT ON VIEW theirs IS 'relatum'; COMMENT ON TABLE items IS '[1]'""")
    for alias in ("theirs", "items", "items_new"):
        with pytest.raises(ValueError, match=rf"alias is '{alias}'; .* relatum did not make"):
            store.point(alias, "items_new")
        assert store.pointed(alias) is None
    assert run(url, "SELECT count(*) FROM theirs") == [(N,)]
    assert open_store(url + "#items").about() == {}


def test_names_that_stand_for_no_shadow(url: str) -> None:
    make(url)
    make(url, table="others")
    store = open_store(url + "#items")
    filled(open_store(url + "#others"), "others_new")
    for name in ("items_new", "others", "others_new"):
        with pytest.raises(ValueError, match=rf"#items has no shadow '{name}'"):
            store.point("items_current", name)
    assert not store.shadow("others").exists()
    with pytest.raises(ValueError, match=r"#items has no shadow 'others'"):
        store.shadow("others").drop()
    with pytest.raises(ValueError, match=r"relation \"others\" already exists"):
        store.shadow("others").create(NEW, {})
    with pytest.raises(ValueError, match=r"name is 'nnn.*'; expected 1 to 63 bytes"):
        store.shadow("n" * 64)
    assert run(url, "SELECT count(*) FROM others") == [(N,)]


def test_a_view_does_not_show_what_row_level_security_hides(url: str) -> None:
    make(url)
    run(url, "ALTER TABLE items ENABLE ROW LEVEL SECURITY")
    store = open_store(url + "#items")
    assert_translated(store, filled(store))
    guarded = "SELECT relrowsecurity FROM pg_class WHERE relname = 'items_new'"
    assert run(url, guarded) == [(True,)]
    with pytest.raises(ValueError, match=r"#items has row-level security, which a view would not"):
        store.point("items_current", "items_new")
    assert store.pointed("items_current") is None


def test_a_shadow_that_is_in_use_is_not_dropped(url: str) -> None:
    make(url)
    store = open_store(url + "#items")
    shadow = filled(store)
    store.point("items_current", "items_new")
    with pytest.raises(ValueError, match=r"cannot drop table items_new .*view items_current"):
        shadow.drop()


def test_a_shadow_is_a_store_of_its_own(url: str) -> None:
    make(url)
    shadow = filled(open_store(url + "#items"))
    new = open_store(url + "#items_new")
    assert (new.fields, new.count(), new.about()) == (["text"], N, {"encoder": "new"})
    assert new.values(new.take(["7"]), "text") == ["text 7"]
    assert new.url == shadow.open().url == url + "#items_new"
    newer = new.shadow("items_newer")  # another encoder after that one
    newer.create(2, {"encoder": "newer"})
    fill(new, newer, lambda Y: Y[:, :2])
    assert check(new, newer).whole
    assert newer.open().values(newer.open().take(["7"]), "text") == ["text 7"]
    new.point("items_current", "items_newer")
    assert run(url, "SELECT text, vector_dims(embedding) FROM items_current WHERE id = 7") == [
        ("text 7", 2)
    ]
    run(url, "DROP VIEW items_current; DROP TABLE items")
    left = open_store(url + "#items_new")
    assert (left.fields, left.count()) == ([], N)


def test_the_state_is_that_of_the_rows(url: str) -> None:
    make(url)
    store = open_store(url + "#items")
    shadow = filled(store)
    seen = {store.state(): ""}
    for change in (
        "UPDATE items SET text = text WHERE id = 3",
        "DELETE FROM items WHERE id = 3; INSERT INTO items VALUES (3, 'text 3', '[1,2,3,4,5,6]')",
        "UPDATE items SET id = 99 WHERE id = 3",
        "BEGIN; DELETE FROM items WHERE id = 4; COMMIT",
        "DELETE FROM items",
    ):
        before = shadow.open().state()
        run(url, change)
        assert store.state() not in seen, change
        assert shadow.open().state() != before, change
        seen[store.state()] = change
    run(url, "CREATE TABLE parts (id int PRIMARY KEY, embedding vector(2)) PARTITION BY HASH (id)")
    run(url, "CREATE TABLE p PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)")
    parts = open_store(url + "#parts")
    before = parts.state()
    run(url, "INSERT INTO parts VALUES (1, '[1,2]')")
    assert parts.state() not in (before, None)


# --- indexes and search ----------------------------------------------------------------------


def indexes(url: str) -> list[str]:
    found = run(url, "SELECT indexdef FROM pg_indexes WHERE tablename = 'items_new' ORDER BY 1")
    return [d[d.index("USING") :] for (d,) in found if "btree" not in d]


def test_indexes_are_built_as_the_old_table_has_them(url: str) -> None:
    make(url)
    run(url, "CREATE INDEX ON items USING hnsw (embedding vector_cosine_ops)"
             " WITH (m = 8, ef_construction = 50)")  # fmt: skip
    run(url, "CREATE INDEX ON items USING ivfflat (embedding vector_l2_ops) WITH (lists = 3)")
    run(url, "CREATE INDEX ON items USING hnsw (embedding vector_ip_ops) WHERE id > 3")
    store = open_store(url + "#items")
    shadow = filled(store)
    assert indexes(url) == []
    for _ in range(2):
        shadow.finish()
        assert indexes(url) == [
            "USING hnsw (embedding vector_cosine_ops) WITH (m='8', ef_construction='50')",
            "USING ivfflat (embedding) WITH (lists='3')",
        ]
    assert run(url, "SELECT reltuples FROM pg_class WHERE relname = 'items_new'") == [(N,)]


def test_vectors_that_are_too_long_for_an_index(url: str) -> None:
    make(url)
    run(url, "CREATE INDEX ON items USING hnsw (embedding vector_cosine_ops)")
    store = open_store(url + "#items")
    shadow = store.shadow("items_new")
    shadow.create(2001, {})
    fill(store, shadow, lambda X: np.ones((len(X), 2001)))
    with pytest.warns(RelatumWarning, match=r"items_new has vectors of 2,001 numbers, and indexes"):
        shadow.finish()
    assert indexes(url) == []
    np.testing.assert_array_equal(shadow.open().take(["1"]).X, np.ones((1, 2001)))


@pytest.mark.parametrize("index", ["hnsw", "ivfflat"])
def test_an_index_gives_as_many_as_were_asked_for(url: str, index: str) -> None:
    rows = np.random.default_rng(1).normal(size=(500, WIDTH)).astype(np.float32)
    make(url, rows=rows)
    run(url, f"CREATE INDEX ON items USING {index} (embedding vector_cosine_ops)")
    run(url, "ANALYZE items")
    database = url.partition("?")[0].rpartition("/")[2]
    run(url, f"ALTER DATABASE {database} SET enable_seqscan = off")
    store = open_store(url + "#items")
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    (found,) = store.search(rows[:1], 120)
    cosines = [c for _, c in found]
    assert len(found) == 120
    assert cosines == sorted(cosines, reverse=True)
    np.testing.assert_allclose(cosines, [unit[int(i)] @ unit[0] for i, _ in found], atol=1e-5)
    best = {str(i) for i in np.argsort(-(unit @ unit[0]))[:120]}
    assert len(best & {i for i, _ in found}) >= (115 if index == "hnsw" else 60)


def test_vectors_without_a_cosine_come_last(url: str) -> None:
    make(url, rows=X[:3])
    run(url, "INSERT INTO items VALUES (8, 'none', NULL), (9, 'zero', '[0,0,0,0,0,0]')")
    (found,) = open_store(url + "#items").search(X[:1], 9)
    assert {i for i, _ in found[:3]} == {"0", "1", "2"}
    assert found[0][0] == "0"
    assert found[3][0] == "9"
    assert np.isnan(found[3][1])
    assert len(found) == 4


# --- connections, errors and secrets ---------------------------------------------------------


def test_a_server_that_stops_in_the_middle(url: str, server: PostgresServer) -> None:
    make(url)
    store = open_store(url + "#items")
    shadow = store.shadow("items_new")
    shadow.create(NEW, {})
    calls = []

    def stopping(X: np.ndarray) -> np.ndarray:
        calls.append(len(X))
        if len(calls) == 5:  # some of the batches before are written by now
            server.stop()
        return translate(X)

    try:
        with pytest.raises(OSError, match=r"^postgresql://postgres@/test_\d+\S+: \S.*") as lost:
            fill(store, shadow, stopping, batch=10)
        assert "\n" not in str(lost.value)
        with pytest.raises(
            OSError, match=r"connection to server on socket .* failed: No such file"
        ):
            store.count()
    finally:
        server.start()
    there = shadow.open().count()
    assert 0 < there < N
    assert fill(store, shadow, translate).n_written == N - there
    assert_translated(store, shadow)


def test_a_write_is_whole_or_not_at_all(url: str) -> None:
    make(url)
    store = open_store(url + "#items")
    shadow = store.shadow("items_new")
    shadow.create(NEW, {})
    rows = store.take(["1", "2"])
    shadow.write(rows, translate(rows.X), row_sums(rows.X), False, replace=False)
    more = store.take(["0", "2", "3"])
    with pytest.raises(ValueError, match=r"duplicate key .*: Key \(id\)=\(2\) already exists"):
        shadow.write(more, translate(more.X), row_sums(more.X), False, replace=False)
    assert shadow.open().count() == 2
    with pytest.raises(ValueError, match=r"NaN not allowed in vector"):
        shadow.write(more, np.full((3, NEW), np.nan), row_sums(more.X), True, replace=True)
    with pytest.raises(ValueError, match=r"expected 4 dimensions, not 5"):
        shadow.write(more, np.ones((3, 5)), row_sums(more.X), True, replace=True)
    none = Rows([], more.X[:0], None)
    shadow.write(none, np.ones((0, NEW)), row_sums(more.X[:0]), True, replace=True)
    assert shadow.open().count() == 2


def test_reading_can_be_left_early(url: str) -> None:
    make(url)
    store = open_store(url + "#items")
    batches = store.batches(10)
    next(batches)
    run(url, "DELETE FROM items WHERE id = 59")
    assert sum(len(rows.ids) for rows in batches) == N - 10  # as they were when it began
    for _ in range(30):  # more than the server has connections for
        batches = store.batches(10)
        next(batches)
        batches.close()
    assert store.count() == N - 1


def test_connections_that_the_server_closed_are_not_used(url: str, server: PostgresServer) -> None:
    make(url)
    store = open_store(url + "#items")
    server.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                   " WHERE application_name = 'relatum'")  # fmt: skip
    assert store.count() == N


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        (lambda u: "postgresql://me@127.0.0.1:1/db#items", OSError,
         r"^postgresql://me@127.0.0.1:1/db: connection failed: .*port 1 failed: Conn.* refused"),
        (lambda u: u.replace("@/test_", "@/no_test_") + "#items", OSError, r"does not exist"),
        (lambda u: u, ValueError, r"expected postgresql://USER@HOST:PORT/DATABASE#TABLE"),
        (lambda u: "postgresql:items#items", ValueError, r"cannot be read; expected postgresql://"),
        (lambda u: "postgresql://me@host/db?colour=red#items", ValueError, r"cannot be read"),
    ],
)  # fmt: skip
def test_databases_that_are_not_there(
    url: str, changed: Callable[[str], str], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as wrong:
        open_store(changed(url))
    said = _terminal.message_of(wrong.value)
    assert said is not None
    assert "\n" not in said


def test_a_database_without_the_extension(url: str, server: PostgresServer) -> None:
    server.execute("DROP DATABASE IF EXISTS plain")
    server.execute("CREATE DATABASE plain TEMPLATE template0")
    run(server.url("plain"), "CREATE TABLE items (id int PRIMARY KEY)")
    with pytest.raises(ValueError, match=r"has no extension vector; it has plpgsql"):
        open_store(server.url("plain") + "#items")


SECRET = "s3%20cr;t"


@pytest.mark.parametrize(
    "password",
    [
        lambda u: u.replace("postgres@", f"postgres:{SECRET}@"),
        lambda u: f"{u}&password={SECRET}",
        lambda u: f"{u}&pass%77ord={SECRET}&sslpassword=s3cr",
    ],
)
def test_passwords_are_not_shown(url: str, password: Callable[[str], str]) -> None:
    make(url)
    store = open_store(password(url) + "#items")
    shown = url.partition("://")[2].partition("?host=")
    assert store.url.startswith("postgresql://postgres@/" + shown[0].rpartition("/")[2])
    assert open_store(store.url).count() == N
    seen = [store.url, store.shadow("new").name, repr(store)]
    for wrong in (password(url) + "#other", password(url), password(url.replace("/test", "/no"))):
        with pytest.raises((ValueError, OSError)) as error:
            open_store(wrong if wrong.endswith("other") else wrong + "#items" * ("/no" in wrong))
        seen.append(str(error.value))
    for text in seen:
        assert "s3" not in text


@pytest.mark.parametrize("password", ["pa@ss", "pa/ss", "1/s@s", "a:b/ss", "%zz"])
def test_parts_of_a_password_are_not_shown(password: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ValueError, match="cannot be read; expected") as error:
        open_store(f"postgresql://me:{password}@host.invalid:5432/db#items")
    assert "ss" not in str(error.value).replace("password", "")


def test_a_password_and_a_host_in_a_url() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(OSError, match=r"^postgresql://me@127.0.0.1:1/db\?sslmode=disable: "):
        open_store("postgresql://me:secret@127.0.0.1:1/db?sslmode=disable#items")


def test_without_psycopg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"needs psycopg; install it with: .*\[stores\]"):
        open_store("postgresql://me@host/db#items")
