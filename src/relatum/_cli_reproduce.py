"""What ``relatum reproduce`` makes of its options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relatum import _validation


def reproduce(
    experiment: str | None,
    *,
    list_all: bool,
    preset: str,
    small: bool,
    stages: Sequence[str],
    data_dir: str | None,
    results: str,
    work_dir: str,
    logger: str | None,
    as_json: bool,
) -> Any:
    """List the experiments or run one; return what to print as JSON."""
    from rich.console import Console

    from relatum.paper import screen

    _validation.check_choice(preset, "--preset", ("offline", "paper"))
    if small and preset == "paper":
        raise ValueError("--small goes with --preset offline")
    if logger is not None:
        _validation.check_choice(logger, "--logger", ("wandb", "tensorboard"))
    if data_dir is not None and not Path(data_dir).is_dir():
        raise FileNotFoundError(f"--data-dir is {data_dir}; expected a folder")
    console = Console(stderr=as_json, width=None if sys.stdout.isatty() else 160, highlight=False)
    if list_all:
        rows = screen.listed(Path(results))
        if not as_json:
            screen.print_list(rows, console)
        return {"experiments": rows}
    if experiment is None:
        raise ValueError("which experiment? relatum reproduce --list lists them")
    return screen.run_on_screen(
        experiment,
        preset="small" if small else preset,  # type: ignore[arg-type]
        stages=stages,
        data_dir=None if data_dir is None else Path(data_dir),
        results_dir=Path(results),
        work_dir=Path(work_dir),
        logger=logger,  # type: ignore[arg-type]
        console=console,
    )
