"""The command that finds anchors: pairs of rows of two files, from a few that are known or none."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np

from relatum import _files, _terminal, vectors
from relatum._cli_inputs import Columns
from relatum._cli_pairs import Pairs, translation_inputs
from relatum.growing import Grown, grow_anchors
from relatum.unpaired import Matched, match_unpaired

PAIRS = (".csv", ".tsv", ".npy")
"""What pairs are written to."""
NONE = np.zeros(0, dtype=np.int64)


def grow(
    paths: tuple[str, str],
    anchors: str | None,
    output: str,
    wrong: float,
    seed: int,
    columns: Columns,
) -> tuple[dict[str, Any], Grown | Matched]:
    """Find pairs among the items that are no anchors; write these after the anchors."""
    suffix = Path(output).suffix.lower()
    if suffix not in PAIRS:
        raise ValueError(f"--output is {output}; expected one of {', '.join(PAIRS)}")
    _files.check_target(output)
    if anchors is None:
        columns.check(*paths)
        sides = columns.open(paths[0]), columns.open(paths[1])
        given = Pairs(sides, (NONE, NONE), None, (sides[0].ids(), sides[1].ids()))
    else:
        given = translation_inputs(paths, anchors, columns)
    ids, known = given.ids, given.rows
    with_ids = all(some is not None for some in ids)
    if suffix == ".npy" and with_ids:
        raise ValueError(f"--output is {output}; both files have ids, which go into .csv or .tsv")
    started = time.perf_counter()
    others = [
        np.setdiff1d(np.arange(side.n_rows), rows)
        for side, rows in zip(given.sides, known, strict=True)
    ]
    x, y = (vectors.take(side, rows) for side, rows in zip(given.sides, others, strict=True))
    settings: dict[str, Any] = {"wrong": wrong, "random_state": seed}
    found: Grown | Matched
    with _terminal.Progress("growing") as bar:
        settings["progress"] = lambda text: bar.step(f"growing, {text}")
        if anchors is None:
            found = match_unpaired(x, y, **settings)
        else:
            found = grow_anchors(x, y, *given.anchors(), **settings)
    if found.found:
        new = [rows[found.pairs[:, i]] for i, rows in enumerate(others)]
        chosen = [np.concatenate(both) for both in zip(known, new, strict=True)]
        if with_ids:
            chosen = [np.asarray(i)[rows] for i, rows in zip(ids, chosen, strict=True)]
        _write(output, chosen)
    return {
        "source": paths[0], "target": paths[1], "n_anchors": len(known[0]),
        "n_found": len(found.pairs), "agreement": found.agreement, "found": found.found,
        "seconds": round(time.perf_counter() - started, 3),
        "output": output if found.found else None,
    }, found  # fmt: skip


def _write(path: str, sides: list[np.ndarray]) -> None:
    with _files.replacing(path) as temporary:
        if path.lower().endswith(".npy"):
            with open(temporary, "wb") as file:
                np.save(file, np.stack(sides, axis=1))
            return
        delimiter = "\t" if path.lower().endswith(".tsv") else ","
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows(
                zip(*(s.tolist() for s in sides), strict=True)
            )
