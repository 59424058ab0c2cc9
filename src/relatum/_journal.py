"""What an unfinished output has on the disk: a folder beside it, its lock, and its journal.

The journal is a text file: one line for the job, then one for each part that is on the
disk. Every line ends with its own checksum, so that a line that was cut short or changed
is known, and its part is done again.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from relatum import _files, _validation

JOURNAL = "journal"
LOCK = "lock"


class Unfinished:
    """The folder in which an output grows until it is whole.

    Parameters
    ----------
    target : path
        What the output will be called; the folder lies beside it.
    job : mapping
        Everything that the output depends on. Parts of another job are refused.
    restart : bool
        Throw away what an earlier run left.

    Attributes
    ----------
    folder : Path
    plan : dict
        How the job is cut into parts: that of the run that began it.
    job : dict
    done : dict of int to dict
        Records of the parts that are on the disk.

    Raises
    ------
    ValueError
        What is there was begun by another job.
    OSError
        Another process is at it, or the folder cannot be written.
    """

    def __init__(
        self, target: Path, job: Mapping[str, Any], plan: Mapping[str, int], *, restart: bool
    ) -> None:
        self.target = target
        self.folder = folder_of(target)
        self.done: dict[int, dict[str, Any]] = {}
        self.job: dict[str, Any] = json.loads(json.dumps(job))
        self.plan = dict(plan)
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = _Lock(self.folder / LOCK, target)
        except PermissionError as error:
            raise _files.cannot_write(target, target.parent, error) from error
        try:
            if restart:
                self._clear()
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        path = self.folder / JOURNAL
        lines = _read(path)
        if lines:
            self._check_job(lines[0]["job"])
            self.plan = lines[0]["plan"]
            self.done = {line["part"]: line for line in lines[1:]}
        else:  # nothing was begun, or its first line is not whole
            self._clear()
        # only whole lines are kept: what follows a broken one would be joined to it
        with _files.replacing(path) as temporary:
            kept = lines or [{"job": self.job, "plan": self.plan}]
            temporary.write_text("".join(map(_line, kept)), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def _check_job(self, before: dict[str, Any]) -> None:
        now = self.job
        if before == now:
            return
        changed = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
        raise ValueError(
            f"{self.target} was begun by an earlier run with another {' and '.join(changed)}; "
            "run that command again to finish it, or begin anew (--restart)"
        )

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name != LOCK:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def record(self, part: int, **about: Any) -> None:
        """Write that a part is whole and on the disk."""
        entry = {"part": part, **about}
        self._file.write(_line(entry))
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done[part] = entry

    def remove(self) -> None:
        """Delete the folder, after the output got its name."""
        self.close()
        shutil.rmtree(self.folder)

    def close(self) -> None:
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()


def folder_of(target: Path) -> Path:
    """Return where ``target`` grows."""
    return target.parent / f".{target.name}.unfinished"


def _line(entry: Mapping[str, Any]) -> str:
    text = json.dumps(entry, sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def _read(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a journal up to the first line that is not whole."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    found: list[dict[str, Any]] = []
    for line in raw.split(b"\n")[:-1]:  # what follows the last end of line was cut short
        try:
            text = line.decode()
            entry = json.loads(text[9:])
            whole = _line(entry) == text + "\n"
        except ValueError:
            whole = False
        if not whole:
            _validation.warn(
                f"{path}: line {len(found) + 1} is damaged; the parts from there on are done again"
            )
            break
        found.append(entry)
    return found


class _Lock:
    """A lock on a file that ends with the process, however that ends."""

    def __init__(self, path: Path, target: Path) -> None:
        self.handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self.handle)
        except OSError as error:
            os.close(self.handle)
            raise OSError(f"{target}: another process is writing it") from error

    def release(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
        self.handle = -1


def _lock(handle: int) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
