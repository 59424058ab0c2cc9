"""What a command says to people: warnings, errors, progress, and one JSON object."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

DELAY = 2.0
"""Seconds that pass in silence before a progress bar shows."""
EVERY = 1.0
"""Seconds between two lines of progress for machines."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def run(command: Callable[[], Any]) -> int:
    """Run a command and return its exit code; what input causes is said in one line."""
    with one_line_warnings():
        try:
            code = command()
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except SystemExit as stop:
            if isinstance(stop.__context__, BrokenPipeError):  # typer ends with 1 here
                return BROKEN_PIPE
            return stop.code if isinstance(stop.code, int) else 2
        except BrokenPipeError:  # whoever read our output has gone, as `| head` does
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for the flush at exit
            return BROKEN_PIPE
        except BaseException as error:
            message = message_of(error)
            if message is None:
                raise
            say(f"relatum: {message}")
            return 130 if message == INTERRUPTED else 2


INTERRUPTED = "interrupted"
BROKEN_PIPE = 141
"""What a shell reports of a program that SIGPIPE ended; 1 would say that a gate failed."""


def message_of(error: BaseException) -> str | None:
    """Return what to say of an error that input causes; None for a fault of the program."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return INTERRUPTED
    if hasattr(error, "format_message"):  # wrong use, found by typer
        return f"error: {' '.join(error.format_message().split())} (relatum --help)"
    if isinstance(error, MemoryError):
        return f"error: not enough memory: {one_line(error)}"
    if isinstance(error, (ValueError, TypeError, OSError, ImportError)):
        return f"error: {one_line(error)}"
    return None


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print each warning in one line on standard error, whatever Python's filters are."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        say(f"relatum: warning: {' '.join(str(message).split())}")

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


def report(result: Mapping[str, Any], text: str, *, as_json: bool, to_stderr: bool = False) -> None:
    """Print one JSON object on standard output, or text for people."""
    if as_json:
        print(json.dumps(_plain(result), allow_nan=False, ensure_ascii=False))
    else:
        print(text, file=sys.stderr if to_stderr else sys.stdout)


def table(rows: Mapping[str, Any]) -> str:
    """Write names and values in two columns, without what is None."""
    shown = _flat(rows)
    width = max((len(name) for name in shown), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in shown.items())


def _flat(rows: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in rows.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, (list, tuple)):
            found[prefix + name] = ", ".join(map(str, value))
        elif value is not None:
            found[prefix + name] = f"{value:.6g}" if isinstance(value, float) else str(value)
    return found


def _plain(value: Any) -> Any:
    """Return what JSON can hold: NumPy scalars as numbers, infinity and NaN as null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return None
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


class Progress:
    """A progress bar on standard error that shows when the work takes over two seconds.

    With a ``total`` it is a bar, without one a spinner; with ``rate`` it also says rows a
    second, the time that is left and the memory. ``as_json`` prints these as lines of JSON,
    one a second; without it nothing is shown where standard error is not a terminal.
    """

    def __init__(
        self, label: str, total: int | None = None, *, rate: bool = False, as_json: bool = False
    ) -> None:
        self.label, self.total, self.done = label, total, 0
        self.rate, self.as_json = rate, as_json
        self._begun = self._said = time.monotonic()
        self._first: int | None = None
        self._bar: Any = None
        self._task: Any = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(DELAY, self._show)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            if self._bar is not None:
                self._bar.stop()
            self.done = -1  # a timer that has just gone off finds the work done

    def advance_to(self, done: int) -> None:
        """Say how much is done so far."""
        with self._lock:
            self.done = done
            if self._first is None:  # what an earlier run did takes no time
                self._first, self._begun = done, time.monotonic()
            if self._bar is not None:
                self._bar.update(self._task, completed=done, about=self._about())
            elif self.as_json and self.rate and time.monotonic() - self._said >= EVERY:
                self._said = time.monotonic()
                say(json.dumps(self._event()))

    def _event(self) -> dict[str, Any]:
        """Return how far the work is, for machines."""
        total, seconds = self.total or 0, time.monotonic() - self._begun
        speed = (self.done - (self._first or 0)) / max(seconds, 1e-9)
        left = (total - self.done) / speed if speed else None
        return {
            "event": "progress",
            "doing": self.label,
            "rows": self.done,
            "of": total,
            "rows_per_second": round(speed),
            "seconds_left": None if left is None else round(left, 1),
            "memory": _memory(),
        }

    def _about(self) -> str:
        event = self._event()
        memory = "" if event["memory"] is None else f", {readable(event['memory'])} of memory"
        return f"{event['rows_per_second']:,} rows/s{memory}"

    def step(self, label: str) -> None:
        """Say what is being done."""
        with self._lock:
            self.label = label
            if self._bar is not None:
                self._bar.update(self._task, description=label)

    def _show(self) -> None:
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True)
        if self.as_json or not console.is_terminal:
            return
        columns: list[Any] = [progress.SpinnerColumn(), progress.TextColumn("{task.description}")]
        if self.total is not None:
            columns += [progress.BarColumn(), progress.MofNCompleteColumn()]
        if self.rate:
            columns += [
                progress.TextColumn("{task.fields[about]}"),
                progress.TimeRemainingColumn(),
            ]
        with self._lock:
            if self.done < 0:
                return
            self._bar = progress.Progress(
                *columns, progress.TimeElapsedColumn(), console=console, transient=True
            )
            self._task = self._bar.add_task(
                self.label, total=self.total, completed=self.done, about=self._about()
            )
            self._bar.start()


def readable(n_bytes: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def _memory() -> int | None:
    """Return the bytes of memory that the process has, where the system says it."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
