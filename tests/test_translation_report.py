"""The one-file HTML report of a translation."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_pages import EVIL, Page, unpacked

from relatum import MissingExtraError, Translation
from relatum._report_page import NAME_LENGTH, TEXT_LENGTH
from relatum.common_space import CommonSpace
from relatum.quality import predict_quality
from relatum.thresholds import recalibrate_threshold
from relatum.translation_report import translation_report
from relatum.translation_scores import translation_scores
from relatum.weak_spots import weak_spots

RNG = np.random.default_rng(0)
X = RNG.normal(size=(220, 8)).astype(np.float32)
Y = (X @ RNG.normal(size=(8, 6)) + 0.6 * RNG.normal(size=(220, 6))).astype(np.float32)
A, B, x, y = X[:100], Y[:100], X[100:], Y[100:]
FITTED = Translation("ridge").fit(A, B)
IDS = [f"item-{i:03d}" for i in range(120)]
TEXTS = [f"text of item {i}" for i in range(120)]
SEGMENTS = np.where(x[:, 0] > 0.5, "warm", "cold")
CURVE = [(30, 0.4, 0.3, 0.5), (100, 0.7, 0.65, 0.75)]


@pytest.fixture(scope="module", autouse=True)
def _jinja2() -> None:
    pytest.importorskip("jinja2", reason="the extra plot is not installed")


def write(folder: Path, translation: Any = FITTED, **options: Any) -> Page:
    written = translation_report(folder / "report.html", translation, x, y, **options)
    return Page(written.read_text(encoding="utf-8"))


def row_that_starts(page: Page, first: str) -> list[str]:
    return next(row for row in page.rows if row[0].startswith(first))


def test_three_pictures_of_which_the_last_two_share_their_axes(tmp_path: Path) -> None:
    page = write(tmp_path, ids=IDS, texts=TEXTS, names=("old", "new"))
    assert page.tags.count("figure") == 3
    (source,), (target,), (came, met) = page.planes()
    np.testing.assert_array_equal(target, met)
    assert source.shape == came.shape == (120, 2)
    assert np.linalg.norm(came - met, axis=1).mean() < np.linalg.norm(source - met, axis=1).mean()
    assert page.data["ids"] == IDS
    assert page.data["texts"] == TEXTS
    assert page.data["names"] == ["old", "new"]
    for words in ("old translated into new", "8 numbers", "6 numbers", "all 120 items",
                  "After: old in the space of new"):  # fmt: skip
        assert words in page.text


def test_measured_stands_beside_predicted(tmp_path: Path) -> None:
    predicted = predict_quality(FITTED, A, B, y)
    scores = translation_scores(FITTED, x, y).translated
    for given in (predicted, predicted.to_dict()):
        page = write(tmp_path, predicted=given)
        for name, value, expected in (
            ("Finds itself first", scores.recall_1, predicted.recall_1),
            ("Finds itself among the first 10", scores.recall_k, predicted.recall_k),
            ("Share of its 10 nearest", scores.overlap_k, predicted.overlap_k),
        ):
            row = row_that_starts(page, name)
            assert row[1].startswith(f"{value:.3f}")
            assert row[2] == str(expected)
        assert f"{100 * scores.recall_1:.1f} % find themselves first" in page.text
        assert "The 100 anchors alone predicted" in page.text
        assert "predicted (90 %)" in page.text
    inside = predicted.recall_1.low <= scores.recall_1 <= predicted.recall_1.high
    assert ("inside the interval" in page.text) == inside


def test_a_prediction_for_another_index_says_so(tmp_path: Path) -> None:
    predicted = predict_quality(FITTED, A, B, y).to_dict()
    harder = write(tmp_path, predicted=predicted | {"n_index": 20})
    assert "Among 120 items, which is harder," in harder.text
    easier = write(tmp_path, predicted=predicted | {"n_index": 9000})
    assert "Among 120 items, which is easier," in easier.text
    third = {"value": 0.2, "low": 0.1, "high": 0.3}
    other = write(tmp_path, predicted=predicted | {"k": 3, "head": third, "recall_1": third})
    assert "above the interval" in other.text
    assert row_that_starts(other, "Finds itself among the first 10")[2] == "–"
    found = {row[0].split()[-1]: row for row in other.rows}
    assert found["R@3"][1:3] == ["–", str(predict_quality(FITTED, A, B, y).recall_k)]
    assert found["head"][2] == "0.200 (0.100 to 0.300)"


def test_a_prediction_of_something_else_has_a_row_of_its_own(tmp_path: Path) -> None:
    predicted = predict_quality(FITTED, A, B, x, translated="index").to_dict()
    page = write(tmp_path, predicted=predicted | {"among": 70, "overlap_k": predicted["recall_k"]})
    assert "for a translated index of 120 rows" in page.text
    assert row_that_starts(page, "Share of its 10 nearest")[2] == "–"
    row = row_that_starts(page, "Share of its neighbours kept among 70 items")
    assert row[1] == "–"
    assert row[2].startswith(f"{predicted['recall_k']['value']:.3f}")


def test_what_is_not_given_is_left_out(tmp_path: Path) -> None:
    page = write(tmp_path, n_changed=0)
    for words in (
        "predicted",
        "Thresholds",
        "segment",
        "coverage",
        "grows",
        "changed",
        "unchanged",
    ):
        assert words not in page.text
    assert page.tags.count("svg") == 0
    assert page.data["texts"] is page.data["labels"] is None
    assert page.data["ids"][0] == "row 0"
    assert [c["title"] for c in page.data["colourings"]] == ["place in source", "neighbours kept"]


def test_weak_segments_and_items_are_those_of_the_computation(tmp_path: Path) -> None:
    page = write(tmp_path, ids=IDS, texts=TEXTS, segments=SEGMENTS, X_anchors=A)
    weak = weak_spots(FITTED, x, y, segments=SEGMENTS, X_anchors=A)
    for s in weak.segments:
        assert row_that_starts(page, s.name) == [
            s.name, str(s.n_items), f"{s.recall_1:.3f}", f"{s.low:.3f} to {s.high:.3f}",
            f"{s.overlap_k:.3f}", f"{s.coverage:.3f}",
        ]  # fmt: skip
    items = [row for row in page.rows if row[0].startswith("item-")]
    assert items == [
        [f"{IDS[i]} {TEXTS[i]}", SEGMENTS[i], str(weak.ranks[i]),
         f"{round(10 * weak.overlap[i])} of 10", f"{weak.coverage[i]:.2f}"]
        for i in weak.weakest(20)
    ]  # fmt: skip
    later = int(np.sum(weak.ranks > 1))
    assert f"{later} of 120 items do not find themselves first" in page.text


def test_items_can_be_coloured_by_how_weak_they_are(tmp_path: Path) -> None:
    page = write(tmp_path, segments=SEGMENTS, X_anchors=A)
    weak = weak_spots(FITTED, x, y, X_anchors=A)
    segment, kept, covered = page.data["colourings"]
    assert [c["title"] for c in (segment, kept, covered)] == [
        "segment", "neighbours kept", "coverage",
    ]  # fmt: skip
    assert set(segment["classes"]) == {"warm", "cold"}
    np.testing.assert_allclose(unpacked(kept["values"], "u1") / 255, weak.overlap, atol=0.002)
    np.testing.assert_allclose(unpacked(covered["values"], "u1") / 255, weak.coverage, atol=0.003)
    rank, overlap, coverage = (unpacked(c["values"], "<f4") for c in page.data["numbers"])
    np.testing.assert_array_equal(rank, weak.ranks)
    np.testing.assert_allclose(overlap, 10 * weak.overlap, rtol=1e-6)
    np.testing.assert_allclose(coverage, weak.coverage, rtol=1e-6)


def test_neighbours_that_changed_stand_side_by_side(tmp_path: Path) -> None:
    page = write(tmp_path, ids=IDS, texts=TEXTS, n_changed=7)
    weak = weak_spots(FITTED, x, y)
    articles = re.findall(r"<article.*?</article>", page.html, flags=re.DOTALL)
    assert len(articles) == 7
    for article, i in zip(articles, weak.most_changed(7), strict=True):
        assert f">{IDS[i]}</button>" in article
        lists = re.findall(r"<ol>.*?</ol>", article, flags=re.DOTALL)
        pairs = ((weak.native, weak.translated), (weak.translated, weak.native))
        for words, (own, other) in zip(lists, pairs, strict=True):
            lines = re.findall(r"<li.*?</li>", words)
            assert [re.search(r"item-\d+", line)[0] for line in lines] == [
                IDS[j] for j in own[i, :5]
            ]
            assert [("✓ in both" in line) for line in lines] == [
                j in other[i].tolist() for j in own[i, :5]
            ]
    assert "2 more" in page.text


def test_curve_is_drawn_and_written(tmp_path: Path) -> None:
    page = write(tmp_path, curve=CURVE, curve_measure="Share of <b>heads</b> kept")
    assert page.tags.count("svg") == 1
    assert page.tags.count("circle") == 2
    assert "Share of <b>heads</b> kept, against the number of anchors" in page.text
    assert row_that_starts(page, "30") == ["30", "0.400", "0.300 to 0.500"]
    assert row_that_starts(page, "100") == ["100", "0.700", "0.650 to 0.750"]


def test_thresholds_are_listed(tmp_path: Path) -> None:
    one = recalibrate_threshold(FITTED, A, B, y, 0.7)
    page = write(tmp_path, thresholds=[one])
    row = row_that_starts(page, "0.700")
    assert row[1] == f"{one.value:.3f}"
    assert row[2] == f"{one.low:.3f} to {one.high:.3f} (90 %)"
    assert row[3] == f"{100 * one.precision:.0f} %"


def test_unchanged_rows_are_scored_where_the_widths_agree(tmp_path: Path) -> None:
    same = Translation("procrustes").fit(A[:, :6], B)
    written = translation_report(tmp_path / "report.html", same, x[:, :6], y)
    page = Page(written.read_text(encoding="utf-8"))
    unchanged = translation_scores(same, x[:, :6], y).unchanged
    assert row_that_starts(page, "Finds itself first")[3] == f"{unchanged.recall_1:.3f}"


def test_scores_that_are_given_are_not_computed_again(tmp_path: Path) -> None:
    scores = translation_scores(FITTED, x[:50], y[:50], k=4, correction="csls")
    page = write(tmp_path, scores=scores)
    assert row_that_starts(page, "Finds itself among the first 4")[1].startswith(
        f"{scores.translated.recall_k:.3f}"
    )
    assert "Of 50 held-out items" in page.text
    assert "Corrected for hubs by csls" in page.text


def test_a_common_space_has_its_own_picture(tmp_path: Path) -> None:
    space = CommonSpace("ridge").fit(A, B)
    page = write(tmp_path, space)
    _, (target,), (_, met) = page.planes()
    assert not np.allclose(target, met, atol=0.01)
    assert "After: one common space" in page.text
    assert "Method common-space, fitted on 100 anchors" in page.text


def test_points_are_capped_and_the_weakest_are_listed_all_the_same(tmp_path: Path) -> None:
    page = write(tmp_path, ids=IDS, max_points=40)
    assert len(page.data["ids"]) == 40
    assert "Drawn: a random sample of 40 of 120 items" in page.text
    weakest = [IDS[i] for i in weak_spots(FITTED, x, y).weakest(20)]
    assert [row[0] for row in page.rows if row[0].startswith("item-")] == weakest
    linked = set(re.findall(r'data-item="(\d+)">(item-\d+)<', page.html))
    assert {page.data["ids"][int(place)] for place, _ in linked} == {i for _, i in linked}
    assert {i for _, i in linked} <= set(page.data["ids"])


def test_segments_beyond_the_first_are_counted(tmp_path: Path) -> None:
    page = write(tmp_path, segments=[f"part {i % 50:02d}" for i in range(120)])
    assert "The 40 weakest of 50 segments" in page.text
    assert len([row for row in page.rows if row[0].startswith("part")]) == 40


def test_a_perfect_map_has_no_weak_items(tmp_path: Path) -> None:
    perfect = Translation("procrustes").fit(A, A[:, ::-1])
    written = translation_report(tmp_path / "report.html", perfect, x, x[:, ::-1].copy())
    assert "Each of the 120 items finds itself first." in written.read_text(encoding="utf-8")


def test_user_text_is_escaped_everywhere_and_cut(tmp_path: Path) -> None:
    many = [EVIL] * len(x)
    page = write(
        tmp_path, ids=many, texts=many, segments=many, names=(EVIL, EVIL), title=EVIL,
        curve=CURVE, curve_measure=EVIL,
    )  # fmt: skip
    assert page.tags.count("script") == 2
    assert "img" not in page.tags
    assert page.data["ids"][0] == page.data["texts"][0] == page.data["labels"][0] == EVIL
    assert page.text.count("{{ 7 * 7 }}") > 50
    long = ["y" * 999] * len(x)
    page = write(tmp_path, ids=long, texts=long, segments=long)
    assert max(map(len, re.findall("y+", page.html))) < TEXT_LENGTH
    assert {len(i) for i in page.data["ids"]} == {NAME_LENGTH}


def test_the_file_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    html = write(tmp_path, curve=CURVE).html
    assert "default-src 'none'" in html
    assert not re.search(r"https?:|\bsrc=|\bhref=|url\(|@import|fetch\(|XMLHttpRequest", html)


def test_bad_input_is_named_and_the_older_file_is_whole(tmp_path: Path) -> None:
    before = write(tmp_path).html
    for options, match in (
        ({"ids": ["a"]}, "ids has 1 entries; expected 120"),
        ({"texts": ["a"]}, "texts has 1 entries; expected 120"),
        ({"segments": ["a"]}, "segments has 1 entries; expected 120"),
        ({"k": 119}, "k is 119; expected at most 118"),
        ({"n_changed": -1}, "n_changed is -1; expected at least 0"),
        ({"curve": [(1, 2)]}, r"curve has shape \(1, 2\)"),
        ({"names": ("one",)}, "names has 1 entries for 2 space"),
    ):
        with pytest.raises(ValueError, match=match):
            write(tmp_path, **options)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_without_jinja2_the_install_line_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"a report needs jinja2.*relatum\[plot\]"):
        write(tmp_path)


def test_torch_tensors(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="the extra torch is not installed")
    translation_report(
        tmp_path / "report.html", FITTED, torch.asarray(x), torch.asarray(y),
        X_anchors=torch.asarray(A),
    )  # fmt: skip
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.data["ids"]) == 120
