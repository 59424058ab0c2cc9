"""``relatum serve``: the service on a socket."""

from __future__ import annotations

import socket

from relatum import _terminal
from relatum._validation import require

AT_ONCE = 64
"""Requests that are worked on at once; more are refused (503)."""


def serve(
    path: str, *, host: str, port: int, inverse: bool, normalize: bool, max_rows: int,
    max_bytes: int,
) -> None:  # fmt: skip
    """Serve a map until it is interrupted."""
    from relatum.serve import application

    uvicorn = require("uvicorn", "serve", "relatum serve")
    app = application(
        path, inverse=inverse, normalize=normalize, max_rows=max_rows, max_bytes=max_bytes
    )
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        raise OSError(f"cannot listen at {host}, port {port} ({error.strerror})") from error
    with listening:
        at, number = listening.getsockname()[:2]
        _terminal.say(f"relatum: serving {path} at http://{at}:{number} until it is interrupted")
        config = uvicorn.Config(app, log_level="warning", limit_concurrency=AT_ONCE)
        uvicorn.Server(config).run(sockets=[listening])
