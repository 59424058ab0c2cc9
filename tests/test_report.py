"""The one-file HTML report."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_pages import EVIL, Page, unpacked

from relatum import MissingExtraError, compare
from relatum._report_page import TEXT_LENGTH
from relatum.comparison import Comparison
from relatum.report import MEASURE_WORDS, Table, comparison_report

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 8)).astype(np.float32)
Y = np.concatenate([X @ np.linalg.qr(RNG.normal(size=(8, 8)))[0], X[:, :3] ** 2], axis=1)
ANCHORS = np.arange(30)
LABELS = np.where(X[:, 0] > 0, "up", "down")


@pytest.fixture(scope="module", autouse=True)
def _jinja2() -> None:
    pytest.importorskip("jinja2", reason="the extra plot is not installed")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    measures = ["mean_reciprocal_rank", "latent_similarity", "procrustes_distance"]
    return compare(
        X, Y, ANCHORS, center=True, whiten=0.3, measures=measures, n_permutations=20, n_bootstrap=20
    )


def write(path: Path, comparison: Comparison, **options: Any) -> Page:
    written = comparison_report(path / "report.html", X, Y, ANCHORS, comparison, **options)
    return Page(written.read_text(encoding="utf-8"))


def test_three_pictures_of_the_same_items(tmp_path: Path, comparison: Comparison) -> None:
    page = write(tmp_path, comparison, labels=LABELS, names=("USE", "GloVe"))
    assert page.tags.count("figure") == 3
    data = page.data
    assert [[np.shape(at) for at in panel] for panel in page.planes()] == [
        [(120, 2)], [(120, 2)], [(120, 2), (120, 2)],
    ]  # fmt: skip
    assert [[plane["space"] for plane in panel] for panel in data["panels"]] == [[0], [1], [0, 1]]
    (colouring,) = data["colourings"]
    assert set(colouring["classes"]) == {"up", "down"}
    shown = [colouring["classes"][v] for v in unpacked(colouring["values"], "u1")]
    assert shown == LABELS[30:].tolist() == data["labels"]
    assert data["ids"][0] == "row 30"
    for words in (
        "USE, before",
        "GloVe, before",
        "8 numbers",
        "11 numbers",
        "same 30 anchors",
        "all 120 items (the 30 anchors are left out)",
    ):
        assert words in page.text


def test_places_are_those_of_the_picture_to_two_bytes(
    tmp_path: Path, comparison: Comparison
) -> None:
    from relatum import _picture

    page = write(tmp_path, comparison)
    seen = _picture.view([X, Y], ANCHORS, ["X", "Y"], center=True, whiten=0.3)
    for panel, expected in zip(
        page.planes(), [*([p] for p in seen.before), seen.after], strict=True
    ):
        np.testing.assert_allclose(panel, expected, atol=1 / 32767)


def test_every_measure_with_its_value_chance_and_interval(
    tmp_path: Path, comparison: Comparison
) -> None:
    page = write(tmp_path, comparison, names=("USE", "GloVe"))
    for name, result in comparison.results.items():
        assert MEASURE_WORDS[name].format(x="USE", y="GloVe") in page.text
        interval = " to ".join(f"{v:.3f}" for v in result.interval or ())
        assert f"{result.value:.3f} {interval} {result.null_mean:.3f}" in page.text
    assert "lower is closer" in page.text
    assert "centred, whitened with λ = 0.3" in page.text
    assert comparison["mean_reciprocal_rank"].value > 0.5
    assert "much alike" in page.text or "nearly a perfect match" in page.text


def test_unrelated_spaces_are_said_to_be_no_more_than_chance(tmp_path: Path) -> None:
    Z = np.random.default_rng(9).normal(size=(150, 8))
    with pytest.warns(UserWarning, match="do not look parallel"):
        found = compare(
            X,
            Z,
            ANCHORS,
            measures=["latent_similarity"],
            n_permutations=30,
            n_bootstrap=0,
            random_state=1,
        )
    path = comparison_report(tmp_path / "report.html", X, Z, ANCHORS, found)
    page = Page(path.read_text(encoding="utf-8"))
    assert "no more than chance" in page.text
    assert "Warning: anchors" in page.text


def test_without_resampling_nothing_is_claimed(tmp_path: Path) -> None:
    found = compare(X, Y, ANCHORS, measures=["cka"], n_permutations=0, n_bootstrap=0)
    page = write(tmp_path, found)
    assert "not held against chance" in page.text
    assert "Two spaces of the same items" in page.text


def test_measures_have_words_for_each_measure() -> None:
    from relatum.comparison import MEASURES

    assert set(MEASURE_WORDS) == set(MEASURES)


def test_user_text_is_escaped_everywhere(tmp_path: Path, comparison: Comparison) -> None:
    many = [EVIL] * len(X)
    page = write(
        tmp_path, comparison, labels=many, texts=many, ids=many, names=(EVIL, EVIL), title=EVIL,
        tables=[Table(EVIL, [EVIL], [[EVIL]], EVIL)],
    )  # fmt: skip
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert page.data["texts"][0] == page.data["ids"][0] == page.data["labels"][0] == EVIL
    assert page.data["names"] == [EVIL, EVIL]
    assert page.text.count("{{ 7 * 7 }}") >= 5


def test_the_file_asks_for_nothing_from_outside(tmp_path: Path, comparison: Comparison) -> None:
    write(tmp_path, comparison)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|\bsrc=|\bhref=|url\(|@import|fetch\(|XMLHttpRequest", html)


def test_points_are_capped_and_texts_cut(tmp_path: Path, comparison: Comparison) -> None:
    page = write(tmp_path, comparison, max_points=40, texts=["x" * 999] * len(X))
    assert len(page.data["ids"]) == 40
    assert {len(t) for t in page.data["texts"]} == {TEXT_LENGTH}
    assert "Drawn: a random sample of 40 of 120 items" in page.text


def test_without_labels_rows_are_coloured_on_a_scale(
    tmp_path: Path, comparison: Comparison
) -> None:
    page = write(tmp_path, comparison)
    (colouring,) = page.data["colourings"]
    assert colouring["classes"] == []
    assert page.data["labels"] is None
    values = unpacked(colouring["values"], "u1")
    assert (values.min(), values.max()) == (0, 255)


def test_tables_are_shown(tmp_path: Path, comparison: Comparison) -> None:
    table = Table("Heads", ["head", "on Y"], [["X head", ".93"]], "means of 5")
    text = write(tmp_path, comparison, tables=[table]).text
    assert "Heads means of 5 head on Y X head .93" in text


def test_after_a_failure_the_older_file_is_whole(tmp_path: Path, comparison: Comparison) -> None:
    write(tmp_path, comparison)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(ValueError, match="texts has 1 entries; expected 150"):
        write(tmp_path, comparison, texts=["only one"])
    with pytest.raises(ValueError, match="labels has 2 entries; expected 150"):
        write(tmp_path, comparison, labels=["a", "b"])
    assert (tmp_path / "report.html").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_without_jinja2_the_install_line_is_named(
    tmp_path: Path, comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"a report needs jinja2.*relatum\[plot\]"):
        write(tmp_path, comparison)
    assert not list(tmp_path.iterdir())


def test_torch_tensors_and_a_pair_of_anchor_arrays(tmp_path: Path, comparison: Comparison) -> None:
    torch = pytest.importorskip("torch", reason="the extra torch is not installed")
    A = torch.asarray(X[ANCHORS]), torch.asarray(Y[ANCHORS])
    comparison_report(
        tmp_path / "report.html", torch.asarray(X), torch.asarray(Y), A, comparison,
        similarity=["cosine", "dot"],
    )  # fmt: skip
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.data["ids"]) == 150
    assert "Drawn: all 150 items. " in page.text
