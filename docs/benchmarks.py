"""Write docs/benchmarks.md from benchmarks/results.jsonl: `python docs/benchmarks.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.jsonl"
RIVALS = ROOT / "benchmarks" / "rivals.jsonl"
PAGE = ROOT / "docs" / "benchmarks.md"

HEAD = """\
<!-- Written by `make pages` from benchmarks/results.jsonl; change that, or docs/benchmarks.py. -->
# Benchmarks

Every figure is a ratio against a rival, or against a bare product, in the same run: the median of its paired rounds, with the least and the largest. Times and memory are of the machine that is named and would differ on another; the ratios travel better. The command of each table runs it again, with `--record` into `benchmarks/results.jsonl`, of which this page shows the newest line for each case. `make bench` installs what they need.
"""

BILLION = """\
## A billion vectors

What it takes to translate 1,000,000,000 vectors of 768 numbers, from the newest line for *{case}* above ({seconds:.1f} s on {cpus} cores, disk and all):

| | single precision | half precision |
| --- | --- | --- |
| bytes to read | 3.1 TB | 1.5 TB |
| bytes to write | 3.1 TB | 1.5 TB |
| core-hours of computing, as measured in single precision | {hours:.1f} | {hours:.1f} |
| hours on this machine's {cpus} cores | {wall:.1f} | {wall:.1f} |
| hours on 64 such cores, if the disks keep up | {wide:.2f} | {wide:.2f} |
| bytes a second that the disks must then read, and write as well | {rate:.1f} GB | {half:.1f} GB |
| price of computing, at 0.05 a core-hour | {price:.2f} | {price:.2f} |

With many cores it is the disks that decide: at 0.5 GB/s, 3.1 TB take 1.7 hours to read and as much to write. So split the corpus into folders of Parquet or into `.npy` files, run one `relatum translate` on each machine or `--engine ray` over all ([large files](concepts/large-files.md)), and write half precision where a cosine's change of 0.00025 does not matter. Memory stays at `--memory` for each process, whatever the size. An interruption costs two parts at most, each an eighth of that memory.

Anchors and the map cost nothing beside it: they are fitted once, from a few hundred or thousand pairs.
"""


def records() -> Iterator[dict[str, Any]]:
    for line in reversed(RESULTS.read_text(encoding="utf-8").splitlines()):
        record = json.loads(line)
        if record["scale"] == 1:
            yield record


def page() -> str:
    """Return the page: a table for each run, of the cases that no later run has."""
    seen: set[tuple[str, str]] = set()
    tables = []
    for record in records():
        rows = [row for row in record["rows"] if (row["case"], row["rival"]) not in seen]
        seen |= {(row["case"], row["rival"]) for row in rows}
        if rows:
            tables.append(_table(record, rows))
    return "\n".join([HEAD, *tables, *_rivals(), _billion()])


def _rivals() -> Iterator[str]:
    """Yield the newest comparison of translations with other packages."""
    if not RIVALS.exists():
        return
    record = json.loads(RIVALS.read_text(encoding="utf-8").splitlines()[-1])
    columns = record["columns"]
    yield f"## Translations of other packages: `{record['command']}`\n"
    yield (
        f"{record['time'][:10]}, commit {record['commit'][:9]}. The same anchors and the same "
        "held-out items for all, each package in an environment of its own; ten ordered pairs of "
        "four encoders. Headlines (2,000 held out, 2 draws): R@1, R@10 and overlap@10 with the "
        "target's own ranking by cosine, the first two also with the inverted softmax. Retention (one "
        "draw): accuracy of heads for 150 intents on translated rows, over that on their own encoder's. "
        "A package's settings that are centred by us are not its defaults.\n"
    )
    for n in dict.fromkeys(row[0] for row in record["rows"]):
        rows = [dict(zip(columns, row, strict=True)) for row in record["rows"] if row[0] == n]
        shown = [c for c in columns[2:] if any(row[c] is not None for row in rows)]
        merged: dict[str, dict[str, Any]] = {}
        for row in rows:
            known = merged.setdefault(row["who"], {})
            known |= {c: row[c] for c in shown if row[c] is not None}
        yield f"| {n:,} anchors | {' | '.join(c.replace('_', ' ') for c in shown)} |"
        yield "| --- |" + " --- |" * len(shown)
        for who, values in merged.items():
            yield f"| {who} | {' | '.join(_figure(values.get(c)) for c in shown)} |"
        yield ""


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _table(record: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        f"## `{record['command']}`",
        "",
        f"{record['time'][:10]}, commit {record['commit'][:9]}, {record['cpus']} cores, Python "
        f"{record['python']}, {versions}.",
        "",
        "| case | over | ratio | least to largest | goal | ours | theirs |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines.append(
            f"| {row['case']} | {row['rival']} | {row['ratio']:.2f} | {row['low']:.2f} to "
            f"{row['high']:.2f} | {_goal(row)} | {_amount(row['ours'], row['unit'])} | "
            f"{_amount(row['theirs'], row['unit'])} |"
        )
    return "\n".join(lines) + "\n"


def _goal(row: dict[str, Any]) -> str:
    if row["goal"] is None:
        return ""
    return f"{row['goal']:g}" + (", missed" if row["ratio"] > row["goal"] else "")


def _amount(value: float, unit: str) -> str:
    if unit == "s" and value < 0.1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} {unit}".strip()


def _billion() -> str:
    case = "translate 1,000,000 × 768, .npy float32"
    for record in records():
        for row in record["rows"]:
            if row["case"] == case:
                wall = row["ours"] * 1000 / 3600
                wide = wall * record["cpus"] / 64
                return BILLION.format(
                    case=case, seconds=row["ours"], cpus=record["cpus"], wall=wall,
                    hours=wall * record["cpus"], wide=wide, rate=3072 / (wide * 3600),
                    half=1536 / (wide * 3600), price=0.05 * wall * record["cpus"],
                )  # fmt: skip
    raise ValueError(f"{RESULTS} has no case {case!r}")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
