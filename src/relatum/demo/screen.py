"""What the demo prints: plain sentences, tables, and the three lines to take home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

THREE_LINES = """\
R_a = relatum.relative_projection(X_a, anchors_a, center=True, whiten=0.3)
R_b = relatum.relative_projection(X_b, anchors_b, center=True, whiten=0.3)
print(RidgeClassifier().fit(R_a, y_a).score(R_b, y_b))"""
"""The demo's main job on one's own data; ``tests/test_demo.py`` runs it."""

SHOWN = ("absolute", "the paper's projection", "centred + whitened (λ = 0.3)")
"""Methods whose whole table is printed; the summary has all of them."""


def cell(found: Mapping[str, Any], i: int, j: int) -> str:
    """Write head i on encoder j: accuracy, weighted F1, retention."""
    accuracy, f1 = found["accuracy"][i][j], found["weighted_f1"][i][j]
    if f1 is None:
        return "n/a"
    kept = "native" if i == j else f"{found['retention'][i][j]:.1%}"
    return f"{decimal(accuracy)} {decimal(f1)} {kept:>6}"


def head_rows(documents: Mapping[str, Any], method: str) -> list[list[str]]:
    """Rows of one method's table: the head's encoder, then a cell for each encoder."""
    names = documents["encoders"]
    found = documents["methods"][method]
    return [
        [f"{name} head", *(cell(found, i, j) for j in range(len(names)))]
        for i, name in enumerate(names)
    ]


SUMMARY_COLUMNS = ("weighted F1", "native", "stitched", "worst pair", "retention")


def summary_rows(documents: Mapping[str, Any]) -> list[list[str]]:
    """One row a method: means over all pairs of encoders."""
    return [
        [
            name, decimal(m['native']), decimal(m["stitched"]), decimal(m["worst_stitched"]),
            "n/a" if m["mean_retention"] is None else f"{m['mean_retention']:.1%}",
        ]
        for name, m in documents["methods"].items()
    ]  # fmt: skip


WORD_COLUMNS = ("", "Jaccard →", "Jaccard ←", "MRR →", "MRR ←")


def word_rows(words: Mapping[str, Any]) -> list[list[str]]:
    """One row a method: Jaccard and MRR, both ways."""
    rows = []
    for name, found in words["methods"].items():
        values = ["n/a"] * 4 if found is None else [
            decimal(v) for v in (*found["jaccard"], *found["mrr"])
        ]  # fmt: skip
        rows.append([name, *values])
    return rows


def decimal(value: float | None) -> str:
    """Write a score from 0 to 1 in three digits: ``.936``."""
    return "n/a" if value is None else f"{value:.3f}".removeprefix("0")


def word_title(words: Mapping[str, Any]) -> str:
    """Name both word spaces, with their widths."""
    (x, y), (d, e) = (words["source"], words["target"]), words["widths"]
    return f"{x} ({d} wide) → {y} ({e} wide), {words['n_held_out']:,} held-out words"


def headline(documents: Mapping[str, Any]) -> str:
    """Say in one sentence what the tables show."""
    plain, batch, whitened = (
        f"{documents['methods'][m]['mean_retention']:.1%}"
        for m in (SHOWN[1], "the same, batch-standardised", SHOWN[2])
    )
    return (
        f"On an encoder that it never saw, a head keeps {whitened} of its own F1 through the "
        f"centred, whitened projection; through the paper's {plain}, or {batch} where its input "
        "is standardised over the whole test batch."
    )


def show_table(
    console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_documents(console: Console, documents: Mapping[str, Any]) -> None:
    """Print the tables of heads and encoders."""
    for method in SHOWN:
        columns = ["", *(f"on {name}" for name in documents["encoders"])]
        show_table(console, method, columns, head_rows(documents, method))
    console.print(
        "Each cell: accuracy, weighted F1, and how much of its native F1 the head keeps. n/a: the "
        "encoders differ in width, so the head cannot run at all.\n"
    )
    show_table(console, "all methods", SUMMARY_COLUMNS, summary_rows(documents))
    console.print(
        '"Batch-standardised" standardises each column over the whole test batch, as the heads '
        "in the paper's code do; it cannot classify one document alone. The others can.\n"
    )
    console.print(headline(documents), style="bold", highlight=False)


def show_words(console: Console, words: Sequence[Mapping[str, Any]]) -> None:
    """Print one table for each pair of word spaces."""
    for found in words:
        show_table(console, word_title(found), WORD_COLUMNS, word_rows(found))


def show_three_lines(console: Console) -> None:
    console.print(
        "\n[bold]The same on your own data[/]: X_a and X_b are what two encoders give, y_a and "
        "y_b the labels, anchors_a and anchors_b the same few hundred items in both encoders.\n"
    )
    for line in ["import relatum", "from sklearn.linear_model import RidgeClassifier"]:
        console.print(line, style="dim", highlight=False, markup=False)
    console.print(THREE_LINES, highlight=False, markup=False, soft_wrap=True)
