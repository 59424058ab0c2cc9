"""The check of ratios against an earlier commit: what it fails on, and what it lets pass."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", ROOT / "benchmarks" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["check.py", "--turns", "3"])
    done = subprocess.CompletedProcess[bytes]([], 0)
    monkeypatch.setattr(module, "_git", lambda *a, **k: done)
    monkeypatch.setattr(module.subprocess, "run", lambda *a, **k: done)
    return module


def measured(*now: float) -> Callable[[Path, int], dict[str, float]]:
    """Give 1.0 before and, turn by turn, these ratios now."""
    left = list(now)

    def measure(source: Path, rounds: int) -> dict[str, float]:
        return {"a": 1.0 if source != ROOT / "src" else left.pop(0), "b": 2.0}

    return measure


@pytest.mark.parametrize(
    ("now", "code"),
    [
        ([1.14, 1.14, 9.0], 0),  # the median counts
        ([0.5] * 3, 0),
        ([1.2] * 3 + [1.0] * 3, 0),  # slower once, and not again
        ([1.2] * 9, 1),
        ([1.2] * 3 + [1.16] * 3 + [1.15, 1.15, 1.15], 0),
    ],
)
def test_a_case_fails_that_is_slower_each_time(
    now: list[float], code: int, check: ModuleType, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(check, "_measure", measured(*now))
    assert check.main() == code
    out = capsys.readouterr().out
    assert ("by more than 15 %: a" in out) == bool(code)


def test_without_the_commit_nothing_is_checked_and_it_says_so(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = subprocess.CompletedProcess[bytes]([], 128)
    monkeypatch.setattr(check, "_git", lambda *a, **k: missing)
    assert check.main() == 0
    assert "is not in this clone: nothing to compare with" in capsys.readouterr().out


@pytest.mark.slow
def test_the_worker_measures_every_case() -> None:
    run = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "check_worker.py", "1"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ratios = json.loads(run.stdout)
    assert len(ratios) == 6
    assert all(0 < ratio < 100 for ratio in ratios.values())
