"""How a command ends: with a table or JSON, and an exit code."""

from __future__ import annotations

from typing import Any

import typer

from relatum import _terminal


def report(result: dict[str, Any], as_json: bool, output: str) -> None:
    """Print what was done; on standard error where the result goes to standard output."""
    _terminal.report(result, _terminal.table(result), as_json=as_json, to_stderr=output == "-")


def fail(failed: list[str]) -> None:
    """Name the gates that failed, and exit with 1 if there are any."""
    for text in failed:
        _terminal.say(f"relatum: gate failed: {text}")
    if failed:
        raise typer.Exit(1)
