"""The service: what it answers is what the map gives, and what it refuses."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import relatum
from relatum.serve import application, translated

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 6)).astype(np.float32)
Y = X @ RNG.normal(size=(6, 4)).astype(np.float32) + 1


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("map") / "map.safetensors"
    fitted = relatum.Translation("ridge").fit(X, Y)
    relatum.save(fitted, path, encoder="new", target_encoder="old", predicted={"R@1": 0.9})
    return path


@pytest.fixture
def client(saved: Path) -> Any:
    from fastapi.testclient import TestClient

    return TestClient(application(saved, max_rows=50, max_bytes=20_000))


def as_npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def test_one_and_many_vectors_are_translated(client: Any, saved: Path) -> None:
    expected = relatum.load(saved).transform(X)
    one = client.post("/translate", json={"vector": X[0].tolist()})
    assert one.status_code == 200
    np.testing.assert_allclose(one.json()["vector"], expected[0], atol=1e-5)
    many = client.post("/translate", json={"vectors": X[:30].tolist()})
    np.testing.assert_allclose(many.json()["vectors"], expected[:30], atol=1e-5)
    body = client.post(
        "/translate", content=as_npy(X[:30]), headers={"content-type": "application/x-npy"}
    )
    assert body.headers["content-type"] == "application/x-npy"
    np.testing.assert_array_equal(np.load(io.BytesIO(body.content)), expected[:30])


def test_the_other_way_and_unit_rows(saved: Path) -> None:
    from fastapi.testclient import TestClient

    client = TestClient(application(saved, inverse=True, normalize=True))
    found = client.post("/translate", json={"vectors": Y[:5].tolist()}).json()["vectors"]
    expected = relatum.load(saved).inverse_transform(Y[:5])
    np.testing.assert_allclose(
        found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5
    )
    assert client.get("/map").json()["n_features"] == 4


def test_it_says_what_it_is(client: Any) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    about = client.get("/map").json()
    assert (about["encoder"], about["target_encoder"]) == ("new", "old")
    assert (about["n_features"], about["n_outputs"], about["predicted"]) == (6, 4, {"R@1": 0.9})
    assert "map.safetensors" not in json.dumps(about)


def test_it_counts(client: Any) -> None:
    client.post("/translate", json={"vectors": X[:7].tolist()})
    client.post("/translate", json={"vector": [1]})
    text = client.get("/metrics").text
    assert "relatum_rows_total 7.0" in text
    assert 'relatum_requests_total{status="200"} 1.0' in text
    assert 'relatum_requests_total{status="422"} 1.0' in text
    assert "relatum_seconds_count 1.0" in text


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("{", 400, "no JSON"),
        ("[" * 9000, 400, "no JSON"),
        ("[1]", 422, 'expected {"vector"'),
        ('{"vectors": [[1, 2]], "path": "/etc/passwd"}', 422, 'expected {"vector"'),
        ('{"vectors": "/etc/passwd"}', 422, "no equally long lists"),
        ('{"vectors": [[1, 2], [3]]}', 422, "no equally long lists"),
        ('{"vectors": [[1, 2]]}', 422, r"shape (1, 2); expected (rows, 6)"),
        ('{"vectors": []}', 422, "expected (rows, 6)"),
        ('{"vector": [[1, 2, 3, 4, 5, 6]]}', 422, "shape (1, 1, 6)"),
        ('{"vector": [1, 2, 3, 4, 5, NaN]}', 400, "no JSON"),
        ('{"vector": [1, 2, 3, 4, 5, 1e300]}', 422, "NaN or infinity"),
        ('{"vector": [1, 2, 3, 4, 5, null]}', 422, "NaN or infinity"),
        (json.dumps({"vectors": [[0] * 6] * 51}), 413, "51 rows; at most 50"),
        (" " * 20_001, 413, "larger than 20000 bytes"),
    ],
)
def test_what_it_refuses(body: str, status: int, message: str, client: Any) -> None:
    answer = client.post("/translate", content=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [b"", b"PK", as_npy(X)[:50], as_npy(X)[:-1], as_npy(np.array([{"a": 1}], dtype=object))],
    ids=["empty", "zip", "head", "short", "pickle"],
)
def test_a_body_that_is_no_array_is_refused(body: bytes, client: Any) -> None:
    answer = client.post("/translate", content=body, headers={"content-type": "application/x-npy"})
    assert answer.status_code == 400
    assert "no whole .npy file" in answer.json()["error"]


def test_there_is_nothing_else(client: Any) -> None:
    for path in ("/", "/docs", "/openapi.json", "/../etc/passwd"):
        assert client.get(path).status_code == 404
    assert client.get("/translate").status_code == 405


def test_only_a_translation_is_served(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    relatum.save(relatum.RelativeProjection(10, random_state=0).fit(X), path)
    with pytest.raises(TypeError, match="holds a RelativeProjection; expected a translation"):
        application(path)


def test_a_translated_encoder(saved: Path) -> None:
    fitted = relatum.load(saved)
    encode = translated(lambda items: X[items], fitted)
    np.testing.assert_array_equal(encode([3, 1]), fitted.transform(X[[3, 1]]))
    unit = translated(lambda items: Y[items], fitted, inverse=True, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(unit([3, 1]), axis=1), 1, atol=1e-6)


@contextlib.contextmanager
def served(saved: Path) -> Iterator[tuple[int, int]]:
    """Run the command; give its process and port."""
    pytest.importorskip("uvicorn")
    call = "import sys, relatum.cli; sys.exit(relatum.cli.main())"
    command = [sys.executable, "-c", call, "serve", str(saved), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "http://127.0.0.1:" in line)
        yield process.pid, int(line.split("127.0.0.1:")[1].split()[0].strip(".,/)"))
    finally:
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        process.wait(timeout=20)
        assert time.monotonic() - began < 20
        if process.stderr is not None:
            process.stderr.close()


def test_the_command_serves_many_at_once_and_stops(saved: Path) -> None:
    expected = relatum.load(saved).transform(X)
    with served(saved) as (_, port):

        def ask(i: int) -> bool:
            body = json.dumps({"vector": X[i].tolist()}).encode()
            url = f"http://127.0.0.1:{port}/translate"
            with urllib.request.urlopen(url, body, timeout=20) as answer:
                return bool(np.allclose(json.load(answer)["vector"], expected[i], atol=1e-5))

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(ask, range(80)))


def malformed(rng: np.random.Generator) -> tuple[str, str, bytes, str]:
    """Return method, path, body and type of a request that is wrong in some way."""
    good = json.dumps({"vectors": X[: rng.integers(1, 9)].tolist()}).encode()
    bodies = [
        rng.bytes(int(rng.integers(0, 400))),
        good[: rng.integers(len(good))],
        bytes(np.where(rng.random(len(good)) < 0.02, rng.integers(256, size=len(good)),
                       np.frombuffer(good, np.uint8)).astype(np.uint8)),
        b"[" * int(rng.integers(1, 5000)),
        json.dumps({"vectors": rng.choice(["a", "1e999", "\x00"], 6).tolist()}).encode(),
        json.dumps({"vector": [10.0 ** int(rng.integers(-400, 308))] * 6}).encode(),
        json.dumps({"vector": [int(rng.integers(10)) * 10 ** int(rng.integers(40))] * 6}).encode(),
        as_npy(X)[: rng.integers(900)] + rng.bytes(int(rng.integers(50))),
        as_npy(rng.normal(size=rng.integers(0, 4, size=int(rng.integers(4))))),
        b"",
    ]  # fmt: skip
    path = rng.choice(["/translate", "/translate", "/translate", "/metrics", "/../x", "/%00"])
    method = rng.choice(["POST", "POST", "POST", "PUT", "GET", "DELETE"])
    type_ = rng.choice(["application/json", "application/x-npy", "text/plain", "x" * 300])
    return str(method), str(path), bodies[rng.integers(len(bodies))], str(type_)


@pytest.mark.slow
def test_ten_thousand_malformed_requests_do_no_harm(saved: Path) -> None:
    psutil = pytest.importorskip("psutil")
    rng = np.random.default_rng(0)
    seen: Counter[int] = Counter()
    with served(saved) as (pid, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for number in range(10_000):
            method, path, body, type_ = malformed(rng)
            connection.request(method, path, body, {"content-type": type_})
            answer = connection.getresponse()
            answer.read()
            seen[answer.status] += 1
            if number == 2_000:
                before = psutil.Process(pid).memory_info().rss
        grown = psutil.Process(pid).memory_info().rss - before
        connection.close()
        good = json.dumps({"vector": X[0].tolist()}).encode()
        url = f"http://127.0.0.1:{port}/translate"
        with urllib.request.urlopen(url, good, timeout=20) as answer:
            assert answer.status == 200
    assert max(seen) < 500
    assert {400, 404, 405, 422} <= set(seen)
    assert grown < 8 * 2**20
