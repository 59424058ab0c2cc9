"""Where files lie: on this machine, or behind a URL of a file system that fsspec knows."""

from __future__ import annotations

import os
import posixpath
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from relatum import _validation

Place = str | os.PathLike[str]

_URL = re.compile(r"[a-z][a-z0-9+.-]+(::[a-z][a-z0-9+.-]+)*://", re.IGNORECASE)
PIECE = 8 * 2**20


def is_url(path: Place) -> bool:
    return _URL.match(os.fspath(path)) is not None


def filesystem(url: Place) -> tuple[Any, str]:
    """Return the file system of a URL, and what the URL is called there."""
    fsspec = _validation.require("fsspec", "url", f"{url}: a URL")
    try:
        fs, name = fsspec.core.url_to_fs(os.fspath(url))
    except ImportError as error:
        raise _validation.MissingExtraError(f"{url}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{url}: {error}; expected a URL that fsspec knows") from error
    return fs, str(name)


def exists(path: Place) -> bool:
    if not is_url(path):
        return os.path.exists(path)
    fs, name = filesystem(path)
    return bool(fs.exists(name))


def is_folder(path: Place) -> bool:
    if not is_url(path):
        return os.path.isdir(path)
    fs, name = filesystem(path)
    return bool(fs.isdir(name))


def size(path: Place) -> int:
    if not is_url(path):
        return os.path.getsize(path)
    fs, name = filesystem(path)
    return int(fs.size(name))


def open_file(path: Place) -> IO[bytes]:
    """Open a file to be read from any byte on."""
    if not is_url(path):
        return open(path, "rb")
    fs, name = filesystem(path)
    file: IO[bytes] = fs.open(name, "rb")
    return file


def below(folder: Place, suffix: str) -> list[str]:
    """Return the files of a folder and its folders by name, without the hidden ones."""
    if is_url(folder):
        fs, name = filesystem(folder)
        found = [fs.unstrip_protocol(path) for path in fs.find(name)]
    else:
        found = [str(path) for path in Path(folder).rglob(f"*{suffix}")]
    names = (path for path in found if path.endswith(suffix))
    return sorted(path for path in names if posixpath.basename(path)[0] not in "._")


@contextmanager
def fetched(path: Place) -> Iterator[Place]:
    """Yield a file on this machine: the very one, or a copy of what a URL holds."""
    if not is_url(path):
        yield path
        return
    fs, name = filesystem(path)
    with tempfile.TemporaryDirectory() as folder:
        local = os.path.join(folder, posixpath.basename(name))
        fs.get_file(name, local)
        yield local


def send(local: Path, url: str) -> None:
    """Put a file behind a URL; folders that are missing are made."""
    fs, name = filesystem(url)
    fs.makedirs(posixpath.dirname(name), exist_ok=True)
    fs.put_file(str(local), name)


def remove(url: str) -> None:
    fs, name = filesystem(url)
    fs.rm_file(name)


def fingerprint(path: Place) -> list[Any]:
    """Return what changes when a file does: size, time of change, and some of its bytes."""
    if is_url(path):
        fs, name = filesystem(path)
        return [posixpath.basename(name), int(fs.size(name)), str(fs.ukey(name))]
    about = os.stat(path)
    checksum = 0
    with open(path, "rb") as file:
        for place in np.linspace(0, max(0, about.st_size - 4096), 64).astype(int):
            file.seek(place)
            checksum = zlib.crc32(file.read(4096), checksum)
    return [Path(path).name, about.st_size, about.st_mtime_ns, checksum]
