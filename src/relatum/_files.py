"""Files on disk: what a file really holds, and writing that leaves nothing half done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from relatum import _places, _validation

Source = _places.Place

FORMATS = {
    ".npy": "a NumPy array",
    ".npz": "a NumPy archive",
    ".parquet": "a Parquet file",
    ".safetensors": "a safetensors file",
}

_SIGNATURES = (
    (b"\x93NUMPY", "a NumPy array"),
    (b"PK\x03\x04", "a NumPy archive"),
    (b"PK\x05\x06", "a NumPy archive"),
    (b"PAR1", "a Parquet file"),
    (b"\x80", "a pickle (refused: loading one can run any code)"),
    (b"\x1f\x8b", "a gzip archive (unpack it first)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"version https://git-lfs", "a Git LFS pointer (run: git lfs pull)"),
)


class FileFormatError(ValueError):
    """A file does not hold what was expected; the message names the file."""


def what_is(head: bytes) -> str:
    """Say what the first bytes of a file are the beginning of."""
    if head[5:9] == b"\0\0\0{":  # 8 bytes of header length (its low bytes are any), then JSON
        return "a safetensors file"
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    return "something else"


def check_source(path: Source, suffixes: Iterable[str], expected: str) -> str:
    """Return the suffix of ``path`` after making sure that the content agrees with it."""
    suffixes = list(suffixes)
    if not _places.exists(path):
        raise FileNotFoundError(f"{path}: no such file; expected {expected}")
    if _places.is_folder(path):
        raise FileFormatError(f"{path} is a folder; expected {expected}")
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        raise FileFormatError(
            f"{path} has the suffix {suffix!r}; expected {expected} as {', '.join(suffixes)}"
        )
    if _places.size(path) == 0:
        raise FileFormatError(f"{path} is empty (0 bytes); expected {expected}")
    with _places.open_file(path) as file:
        check_content(file.read(32), suffix, str(path))
    return suffix


def check_content(head: bytes, suffix: str, name: str) -> None:
    """Refuse a file whose first bytes belong to another format than its suffix."""
    if suffix in FORMATS and (found := what_is(head)) != FORMATS[suffix]:
        raise FileFormatError(f"{name} is {found}; expected {FORMATS[suffix]} ({suffix})")


def check_name(column: str, names: Iterable[str], path: Source) -> None:
    """Refuse a column that the file does not have, with the nearest that it has."""
    try:
        _validation.check_choice(column, "column", names)
    except ValueError as error:
        raise FileFormatError(f"{path}: {error}") from None


@contextmanager
def reading(name: Source, expected: str) -> Iterator[None]:
    """Turn whatever a parser raises on damaged bytes into one line that names the file."""
    try:
        yield
    except (FileFormatError, MemoryError, PermissionError, Warning):
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if "object" in reason.lower() and "pars" not in reason.lower():  # NumPy's two refusals
            raise FileFormatError(
                f"{name} holds Python objects (pickled), which are refused: "
                f"loading them can run any code; expected {expected}"
            ) from error
        raise FileFormatError(
            f"{name} is truncated or damaged ({reason}); expected {expected}"
        ) from error


def check_target(path: Source) -> Path:
    """Return where ``path`` leads, or refuse a name that no file can be written to."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise FileFormatError(f"{path} is not a regular file; expected a file to write")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: no such folder {target.parent}")
    return target


def cannot_write(path: Source, folder: Path, error: OSError) -> OSError:
    """Return the error to raise where a folder cannot be written."""
    return OSError(f"{path}: cannot write in {folder} ({error.strerror})")


@contextmanager
def replacing(path: Source) -> Iterator[Path]:
    """Yield a temporary path in the same folder that becomes ``path`` when all went well.

    The content is on the disk (fsync) before the name changes, and the name
    change is too. After an error the temporary file is gone and an older
    ``path`` is as it was.
    """
    target = check_target(path)
    try:
        handle, name = tempfile.mkstemp(".tmp", f".{target.name}.", target.parent)
    except OSError as error:
        raise cannot_write(path, target.parent, error) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        sync(temporary)
        temporary.chmod(mode_of(target))
        os.replace(temporary, target)
        sync(target.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def mode_of(target: Path) -> int:
    """Permissions of the file that is replaced, or those that a new file gets."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def sync(path: Path) -> None:
    """Put a file or a folder on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
