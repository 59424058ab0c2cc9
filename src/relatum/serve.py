"""A small HTTP service that translates vectors: for those who cannot touch their store.

The queries of a new encoder go through it into the space of an old index, and nothing is
written anywhere. It reads one map when it starts, and no file after that.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from relatum import _array, _validation, artifact
from relatum._files import Source
from relatum._formats import read_npy_head
from relatum._gemm import unit_rows
from relatum._validation import require
from relatum.translation import Translation

__all__ = ["application", "translated"]

MAX_ROWS = 10_000
MAX_BYTES = 64 * 2**20
SMALL = 2**16
"""Bytes of a request up to which handing it to a thread would take longer than the work."""
NPY = "application/x-npy"
SHOWN = ("kind", "encoder", "encoder_revision", "target_encoder", "target_revision", "predicted",
         "measured", "relatum_version", "checksum")  # fmt: skip
"""What of the manifest is told."""


def translated(
    encode: Callable[[Any], Any], translation: Translation, *, inverse: bool = False,
    normalize: bool = False,
) -> Callable[[Any], np.ndarray]:  # fmt: skip
    """Return an encoder whose embeddings are those of another encoder's space.

    Parameters
    ----------
    encode : callable
        From items to embeddings, (n_items, n_features).
    translation : Translation
        From its space into that of the index.
    inverse : bool
        The other way through the translation.
    normalize : bool
        Return rows of norm 1, for an index that takes dot products for cosines.

    Examples
    --------
    >>> import numpy as np, relatum
    >>> from relatum.serve import translated
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> fitted = relatum.Translation("procrustes").fit(X, X[:, ::-1])
    >>> encode = translated(lambda texts: np.ones((len(texts), 4)), fitted)
    >>> encode(["a", "b"]).shape
    (2, 4)
    """
    apply = translation.inverse_transform if inverse else translation.transform

    def embed(items: Any) -> np.ndarray:
        Y = np.asarray(apply(encode(items)))
        return unit_rows(Y) if normalize else Y

    return embed


def application(
    path: Source, *, inverse: bool = False, normalize: bool = False, max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
) -> Any:  # fmt: skip
    """Return a FastAPI application that translates vectors through a saved map.

    - ``POST /translate``: ``{"vector": [...]}`` or ``{"vectors": [[...], ...]}``, answered in the
      same form; or a ``.npy`` body of type ``application/x-npy``, answered as ``.npy``.
    - ``GET /health``, ``GET /map`` (what the map was made for, and its predicted quality) and
      ``GET /metrics`` (for Prometheus).

    Parameters
    ----------
    path : str or path
        What ``relatum fit`` wrote.
    inverse, normalize : bool
        See :func:`translated`.
    max_rows, max_bytes : int
        Of one request; larger ones are refused (413).

    Raises
    ------
    MissingExtraError
        FastAPI is not installed (extra ``serve``).
    TypeError, ValueError
        A file that holds no translation.

    Examples
    --------
    >>> from relatum.serve import application
    >>> app = application("map.safetensors")  # doctest: +SKIP
    """
    fastapi = require("fastapi", "serve", "the service")
    for module in ("prometheus_client", "orjson"):
        require(module, "serve", "the service")
    _validation.check_integer(max_rows, "max_rows")
    _validation.check_integer(max_bytes, "max_bytes")
    service = _Service(path, inverse, normalize, max_rows, max_bytes)
    app = fastapi.FastAPI(title="relatum", docs_url=None, redoc_url=None, openapi_url=None)

    async def translate(request: Any) -> Any:
        return await service.translate(request)

    async def metrics(request: Any) -> Any:
        import prometheus_client

        text = prometheus_client.generate_latest(service.registry)
        return fastapi.Response(text, media_type="text/plain; version=0.0.4")

    async def about(request: Any) -> Any:
        return fastapi.responses.JSONResponse(service.about)

    async def health(request: Any) -> Any:
        return fastapi.responses.JSONResponse({"status": "ok"})

    app.add_route("/translate", translate, methods=["POST"])
    app.add_route("/health", health, methods=["GET"])
    app.add_route("/map", about, methods=["GET"])
    app.add_route("/metrics", metrics, methods=["GET"])
    return app


class _Refused(Exception):
    """A request that is answered with a status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Service:
    """One map, its limits, and what is counted."""

    def __init__(
        self, path: Source, inverse: bool, normalize: bool, max_rows: int, max_bytes: int
    ) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        found = artifact.load(path)
        if not isinstance(found, Translation):
            raise TypeError(f"{path} holds a {type(found).__name__}; expected a translation")
        self.embed = translated(lambda X: X, found, inverse=inverse, normalize=normalize)
        self.n_features = found.n_features_out_ if inverse else found.n_features_in_
        self.max_rows, self.max_bytes = max_rows, max_bytes
        manifest = artifact.read_manifest(path)
        self.about: Mapping[str, Any] = {
            **{name: manifest.get(name) for name in SHOWN},
            "inverse": inverse, "normalize": normalize, "n_features": self.n_features,
            "n_outputs": found.n_features_in_ if inverse else found.n_features_out_,
            "max_rows": max_rows, "max_bytes": max_bytes,
        }  # fmt: skip
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "relatum_requests", "Requests by status.", ["status"], registry=self.registry
        )
        self.rows = Counter("relatum_rows", "Vectors translated.", registry=self.registry)
        self.seconds = Histogram(
            "relatum_seconds",
            "Seconds from a request's body to its answer.",
            registry=self.registry,
        )

    async def translate(self, request: Any) -> Any:
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import JSONResponse, Response

        try:
            body = await self._body(request)
            started = time.perf_counter()
            as_npy = request.headers.get("content-type", "").split(";")[0].strip() == NPY
            work = self._npy if as_npy else self._json
            answer = work(body) if len(body) <= SMALL else await run_in_threadpool(work, body)
            self.seconds.observe(time.perf_counter() - started)
        except _Refused as error:
            self.requests.labels(str(error.status)).inc()
            return JSONResponse({"error": str(error)}, error.status)
        self.requests.labels("200").inc()
        return Response(answer, media_type=NPY if as_npy else "application/json")

    async def _body(self, request: Any) -> bytes:
        """Read a body, and no more of it than is allowed."""
        found = bytearray()
        async for piece in request.stream():
            found += piece
            if len(found) > self.max_bytes:
                raise _Refused(413, f"the body is larger than {self.max_bytes} bytes")
        return bytes(found)

    def _json(self, body: bytes) -> bytes:
        import orjson

        try:
            given = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise _Refused(400, "the body is no JSON") from None
        if not isinstance(given, dict) or len(given) != 1 or not {"vector", "vectors"} & set(given):
            raise _Refused(422, 'expected {"vector": [...]} or {"vectors": [[...], ...]}')
        name, values = next(iter(given.items()))
        try:
            wide = np.asarray([values] if name == "vector" else values, dtype=np.float64)
        except (TypeError, ValueError):
            raise _Refused(422, f"{name} holds no equally long lists of numbers") from None
        with np.errstate(over="ignore"):  # infinity is refused below
            X = wide.astype(np.float32)
        Y = np.ascontiguousarray(self._translate(X, name))
        answer = {name: Y[0] if name == "vector" else Y}
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)

    def _npy(self, body: bytes) -> bytes:
        try:
            file = io.BytesIO(body)
            read_npy_head(file, len(body))
            X = np.load(io.BytesIO(body), allow_pickle=False)
        except Exception:
            raise _Refused(400, "the body is no whole .npy file of numbers") from None
        out = io.BytesIO()
        np.save(out, self._translate(X, "the array"), allow_pickle=False)
        return out.getvalue()

    def _translate(self, X: np.ndarray, name: str) -> np.ndarray:
        if X.ndim != 2 or X.shape[1] != self.n_features or not len(X):
            raise _Refused(
                422,
                f"{name} has shape {X.shape}; expected (rows, {self.n_features}), 1 row or more",
            )
        if len(X) > self.max_rows:
            raise _Refused(413, f"{name} has {len(X)} rows; at most {self.max_rows} are translated")
        try:
            X = _validation.as_matrix(X, name, finite=True)
            with _array.one_thread():  # there are requests enough for the others
                Y = self.embed(X)
        except (TypeError, ValueError) as error:
            raise _Refused(422, str(error)) from error
        self.rows.inc(len(X))
        return Y
