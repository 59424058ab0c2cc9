"""The command that finds more anchors: pairs of rows of two files, from a few that are known."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _files, _terminal
from relatum._cli_inputs import Columns
from relatum._cli_pairs import translation_inputs
from relatum.growing import Grown, grow_anchors

PAIRS = (".csv", ".tsv", ".npy")
"""What pairs are written to."""


def grow(
    paths: tuple[str, str],
    anchors: str,
    output: str,
    share: float | None,
    seed: int,
    columns: Columns,
) -> tuple[dict[str, Any], Grown]:
    """Find pairs among the items that are no anchors; write these after the anchors."""
    suffix = Path(output).suffix.lower()
    if suffix not in PAIRS:
        raise ValueError(f"--output is {output}; expected one of {', '.join(PAIRS)}")
    _files.check_target(output)
    given = translation_inputs(paths, anchors, columns)
    with_ids = all(ids is not None for ids in given.ids)
    if suffix == ".npy" and with_ids:
        raise ValueError(f"--output is {output}; both files have ids, which go into .csv or .tsv")
    started = time.perf_counter()
    unpaired = [
        np.setdiff1d(np.arange(len(side)), rows)
        for side, rows in zip((given.source, given.index), given.rows, strict=True)
    ]
    with _terminal.Progress("growing") as bar:
        grown = grow_anchors(
            given.source[unpaired[0]], given.index[unpaired[1]], given.X, given.Y,
            share=share, random_state=seed, progress=lambda text: bar.step(f"growing, {text}"),
        )  # fmt: skip
    if grown.found:
        found = [rows[grown.pairs[:, i]] for i, rows in enumerate(unpaired)]
        sides = [np.concatenate(both) for both in zip(given.rows, found, strict=True)]
        if with_ids:
            sides = [np.asarray(ids)[rows] for ids, rows in zip(given.ids, sides, strict=True)]
        _write(output, sides)
    return {
        "source": paths[0], "target": paths[1], "n_anchors": len(given.X),
        "n_found": len(grown.pairs), "agreement": grown.agreement, "found": grown.found,
        "seeds_found": max(r.seeds for r in grown.rounds),
        "seconds": round(time.perf_counter() - started, 3),
        "output": output if grown.found else None,
    }, grown  # fmt: skip


def _write(path: str, sides: list[np.ndarray]) -> None:
    with _files.replacing(path) as temporary:
        if path.lower().endswith(".npy"):
            with open(temporary, "wb") as file:
                np.save(file, np.stack(sides, axis=1))
            return
        delimiter = "\t" if path.lower().endswith(".tsv") else ","
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter).writerows(
                zip(*(s.tolist() for s in sides), strict=True)
            )
