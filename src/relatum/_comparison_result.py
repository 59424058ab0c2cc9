"""What ``compare`` returns: one result a measure, readable as a table and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """One measure of how alike two spaces are, and what to hold it against."""

    name: str
    value: float
    higher_is_closer: bool
    range: tuple[float, float]
    on: str
    """``relative`` or ``absolute``: the representations that it was computed on."""
    interval: tuple[float, float] | None
    """95 % interval of the value over other rows of the same kind; None without resampling."""
    null_mean: float | None
    """Mean of the value with Y's rows permuted; None without permutations."""
    null_bound: float | None
    """The value that only 5 % of permutations come closer than."""
    p_value: float | None
    """``(1 + permutations at least as close) / (1 + permutations)``."""
    calibrated: float | None
    """``(value - null_mean) / (best - null_mean)``: 0 is chance, 1 a perfect match."""
    n_rows: int
    n_permutations: int
    n_resamples: int


@dataclass(frozen=True)
class Comparison:
    """How alike two spaces are, by every measure.

    ``results`` maps a measure's name to its :class:`Result`, ``settings`` says on
    which rows and anchors they were computed, and ``warnings`` what makes them
    doubtful. ``str()`` is a table, :meth:`to_dict` is ready for JSON. ``all_rows`` has the
    values of :func:`relatum.comparison_files.compare_all_rows`, where it was called.
    """

    results: dict[str, Result]
    settings: dict[str, Any]
    warnings: list[str]
    all_rows: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Result:
        return self.results[name]

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, strings and numbers; infinity becomes None."""
        results = {name: _plain(asdict(r)) for name, r in self.results.items()}
        found = {"results": results, "settings": _plain(self.settings), "warnings": self.warnings}
        return found | ({"all_rows": _plain(self.all_rows)} if self.all_rows else {})

    def __str__(self) -> str:
        lines = [_describe(self.settings), ""]
        header = ("measure", "closer is", "value", "95 % interval", "chance", "p", "calibrated")
        rows = [header, *(_cells(r) for r in self.results.values())]
        widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
        for row in rows:
            cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
            cells += [c.rjust(w) for c, w in zip(row[2:], widths[2:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        if self.all_rows:
            values = ", ".join(f"{name} {value:.4f}" for name, value in self.all_rows.items())
            lines += ["", f"over all rows: {values}"]
        lines += [f"Warning: {text}" for text in self.warnings]
        return "\n".join(lines)


def _cells(r: Result) -> tuple[str, ...]:
    interval = "-" if r.interval is None else f"{r.interval[0]:.3f} to {r.interval[1]:.3f}"
    return (
        r.name,
        "higher" if r.higher_is_closer else "lower",
        f"{r.value:.3f}",
        interval,
        _number(r.null_mean),
        _number(r.p_value),
        _number(r.calibrated),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _describe(s: dict[str, Any]) -> str:
    whiten = "" if s["whiten"] is None else f", whitened λ={s['whiten']:g}"
    held_out = "held out of the rows" if s["anchors_held_out"] else "not held out of the rows"
    return (
        f"{s['n_rows']} of {s['n_rows_given']} rows; {s['n_anchors']} anchors ({s['anchors']}, "
        f"{held_out}); similarity {s['similarity']}{', centred' if s['center'] else ''}{whiten}; "
        f"k = {s['k']}; {s['n_rows_pairs']} rows for cka_rbf and rsa_distance"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
