"""The one-file HTML report."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relatum import MissingExtraError, compare
from relatum.comparison import Comparison
from relatum.report import MEASURE_WORDS, TEXT_LENGTH, Table, comparison_report

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 8)).astype(np.float32)
Y = np.concatenate([X @ np.linalg.qr(RNG.normal(size=(8, 8)))[0], X[:, :3] ** 2], axis=1)
ANCHORS = np.arange(30)
LABELS = np.where(X[:, 0] > 0, "up", "down")
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}"


class Page(HTMLParser):
    """Collects tags, the JSON data and the cells of all tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self._data = ""
        self._inside: list[str] = []
        self.feed(text)
        self.data: dict[str, Any] = json.loads(self._data)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside.append("data" if ("id", "data") in attrs else tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        inside = self._inside[-1] if self._inside else ""
        if inside == "data":
            self._data += data
        elif inside not in ("script", "style"):
            self.words.append(data)


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
    assert page.tags.count("canvas") == 3
    data = page.data
    assert [np.shape(p) for p in data["before"] + data["after"]] == [(120, 2)] * 4
    assert set(data["classes"]) == {"up", "down"}
    shown = [data["classes"][v] for v in data["values"]]
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
    assert page.data["classes"] == []
    assert page.data["labels"] is None
    assert (min(page.data["values"]), max(page.data["values"])) == (0, 1)


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


STEPS = """<script>
const canvas = document.querySelectorAll("canvas")[2], box = canvas.getBoundingClientRect();
canvas.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
const first = document.getElementById("item").textContent;
const data = JSON.parse(document.getElementById("data").textContent);
const [x, y] = data.after[1][7];
canvas.dispatchEvent(new PointerEvent("pointermove", {
  clientX: box.left + (x * 0.46 + 0.5) * box.width,
  clientY: box.top + (0.5 - y * 0.46) * box.width}));
document.body.dataset.steps = JSON.stringify([first, document.getElementById("item").textContent,
  document.documentElement.scrollWidth <= innerWidth, canvas.width > 0]);
</script>"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 500])
def test_chromium_shows_it_without_errors(
    tmp_path: Path, comparison: Comparison, width: int
) -> None:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((found for n in names if (found := shutil.which(n))), None)
    if browser is None:
        pytest.skip("no chromium on this machine")
    texts = [f"<b>text {i}</b>" for i in range(len(X))]
    write(tmp_path, comparison, labels=LABELS, texts=texts)
    page = tmp_path / "report.html"
    page.write_text(page.read_text(encoding="utf-8") + STEPS, encoding="utf-8")
    ran = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            f"--window-size={width},900", "--virtual-time-budget=3000", "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in ran.stderr
    found = re.search(r'data-steps="([^"]*)"', ran.stdout)
    assert found is not None
    first, pointed, fits, drawn = json.loads(unescape(found[1]))
    assert first == f"row 30  ·  {LABELS[30]}<b>text 30</b>"
    assert pointed == f"row 37  ·  {LABELS[37]}<b>text 37</b>"
    assert fits
    assert drawn
