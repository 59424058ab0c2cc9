"""Results as JSON lines that are only ever appended: one line a cell.

A line says what was measured (``rows``), by which command, on which commit, with
which versions, when, and in how many seconds.
"""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from relatum import _files

PACKAGES = ("relatum", "numpy", "scipy", "scikit-learn", "torch")
FIELDS = {
    "experiment": str,
    "preset": str,
    "stage": str,
    "key": str,
    "cell": dict,
    "rows": list,
    "seed": int,
    "seconds": (int, float),
    "command": str,
    "commit": str,
    "time": str,
    "python": str,
    "cpus": int,
    "versions": dict,
}
"""Every field of a line, and its type."""


def results_path(folder: Path, preset: str, experiment: str) -> Path:
    """Where the lines of an experiment are."""
    return folder / preset / f"{experiment}.jsonl"


def kept_path(folder: Path, preset: str, experiment: str, name: str) -> Path:
    """Where the arrays that a picture needs are."""
    return folder / preset / f"{experiment}.{name}.npz"


def make_line(
    *,
    experiment: str,
    preset: str,
    stage: str,
    key: str,
    cell: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """Return a cell's line: its rows, and all that it takes to run it again."""
    command = f"relatum reproduce {experiment}"
    command += {"offline": "", "paper": " --preset paper", "small": " --small"}[preset]
    return {
        "experiment": experiment,
        "preset": preset,
        "stage": stage,
        "key": key,
        "cell": dict(cell),
        "rows": [dict(row) for row in rows],
        "seed": int(cell.get("seed") or 0),
        "seconds": round(seconds, 2),
        "command": command,
        "commit": commit(),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cpus": os.cpu_count() or 1,
        "versions": dict(_versions()),
    }


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Append one line and see it onto the disk; a line that a crash cut short goes first."""
    check_line(line, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
    with open(path, "ab") as file:
        file.truncate(_end_of_whole_lines(path))
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[dict[str, Any]]:
    """Return all whole lines; a last one that a crash cut short is left out.

    Raises
    ------
    FileFormatError
        A line that is not JSON, or that lacks a field.
    """
    return list(_read(path)) if path.exists() else []


def _read(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_bytes()[: _end_of_whole_lines(path)].decode()
    for number, line in enumerate(text.splitlines(), start=1):
        name = f"{path}, line {number}"
        try:
            found = json.loads(line)
        except json.JSONDecodeError as error:
            raise _files.FileFormatError(
                f"{name} is not JSON ({error}); expected a result"
            ) from error
        check_line(found, name)
        yield found


def check_line(line: Any, name: str) -> None:
    """Refuse a line that lacks a field, or has one of another type."""
    if not isinstance(line, Mapping):
        raise _files.FileFormatError(f"{name} is a {type(line).__name__}; expected an object")
    for field, kind in FIELDS.items():
        if not isinstance(line.get(field), kind):  # type: ignore[arg-type]
            raise _files.FileFormatError(
                f"{name}: {field} is {line.get(field)!r}; expected {_kind_name(kind)}"
            )
    if not line["rows"] or not all(isinstance(row, Mapping) for row in line["rows"]):
        raise _files.FileFormatError(f"{name}: rows is {line['rows']!r}; expected objects")


def rows_of(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of all lines with the arguments of their cells; the last of a key counts."""
    latest = {line["key"]: line for line in lines}
    return [
        {"stage": line["stage"], **line["cell"], **row}
        for line in latest.values()
        for row in line["rows"]
    ]


def _kind_name(kind: Any) -> str:
    return " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))


def _end_of_whole_lines(path: Path) -> int:
    if not path.exists():
        return 0
    return path.read_bytes().rfind(b"\n") + 1


@functools.cache
def commit() -> str:
    """The commit of the sources, with ``+`` where they were changed since; else "unknown"."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, cwd=here, check=True
        ).stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/src")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    found = []
    for package in PACKAGES:
        try:
            found.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(found)
