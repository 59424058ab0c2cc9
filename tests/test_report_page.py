"""The page of the HTML reports: its data, and what it does in a browser."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_pages import EVIL, Page, unpacked

from relatum import Translation, compare
from relatum._report_page import ALL_TEXTS, NAME_LENGTH, TEXT_LENGTH, Items, cut, packed
from relatum.report import comparison_report
from relatum.translation_report import translation_report

RNG = np.random.default_rng(0)
X = RNG.normal(size=(260, 8)).astype(np.float32)
Y = (X @ RNG.normal(size=(8, 6)) + 0.4 * RNG.normal(size=(260, 6))).astype(np.float32)
REST = np.arange(60, 260)
SEGMENTS = np.where(X[REST, 0] > 0, "up", "down")
IDS = [f"item-{i}" for i in REST]
IDS[100] = "item-2"  # also the beginning of others
TEXTS = [f"<b>text</b> of number {i}" for i in REST]
TEXTS[5] = EVIL
WIDTHS = {"desk": 1200, "phone": 390}
TIMED = """(() => {
  const ask = window.requestAnimationFrame.bind(window);
  window.drawn = [];
  window.requestAnimationFrame = (frame) => ask((time) => {
    const began = performance.now();
    frame(time);
    window.drawn.push(performance.now() - began);
  });
})()"""
READ = """(panel, layer) => {
  const canvas = document.querySelectorAll(".plot")[panel].querySelectorAll("canvas")[layer];
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return context.getImageData(0, 0, copy.width, copy.height);
}"""
INK = f"""(layer) => [0, 1, 2].map((panel) => {{
  const values = ({READ})(panel, layer).data;
  return values.filter((value, i) => i % 4 === 3 && value > 0).length;
}})"""
INK_AT = f"""([x, y, panel]) => {{
  const {{ data, width }} = ({READ})(panel, 2);
  return data[4 * (Math.round(y * width) * width + Math.round(x * width)) + 3];
}}"""


# --- the data ----------------------------------------------------------------------------------


def test_text_is_cut_and_can_be_written() -> None:
    assert cut("short", 5) == "short"
    assert cut("longer", 5) == "long…"
    assert cut(12.5, 9) == "12.5"
    assert cut("a\ud800b", 9) == "a?b"


def test_numbers_are_packed_in_few_bytes() -> None:
    values = RNG.uniform(-1, 1, size=(50, 2))
    text = packed(32767 * values, "<i2")
    assert len(text) <= 50 * 2 * 2 * 4 / 3 + 4
    np.testing.assert_allclose(unpacked(text, "<i2").reshape(-1, 2) / 32767, values, atol=2e-5)


@pytest.mark.parametrize(("n", "length"), [(10, TEXT_LENGTH), (20_000, ALL_TEXTS // 20_000)])
def test_texts_of_many_items_are_shorter(n: int, length: int) -> None:
    items = Items.of(np.arange(n), n, ids=None, texts=["z" * 500] * n, labels=["w" * 500] * n)
    assert items.texts is not None
    assert items.labels is not None
    assert len(items.texts[0]) == length
    assert len(items.labels[0]) == NAME_LENGTH
    assert items.ids[-1] == f"row {n - 1}"


def test_other_scripts_take_no_more_than_their_bytes(tmp_path: Path) -> None:
    pytest.importorskip("jinja2", reason="the extra plot is not installed")
    found = compare(X, Y, range(60), measures=["cka"], n_permutations=0, n_bootstrap=0)
    path = comparison_report(
        tmp_path / "r.html", X, Y, range(60), found, texts=["東京の天気"] * 260
    )
    html = path.read_text(encoding="utf-8")
    assert html.count("東京の天気") == 200
    assert Page(html).data["texts"] == ["東京の天気"] * 200


# --- in a browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("jinja2", reason="the extra plot is not installed")
    api = pytest.importorskip("playwright.sync_api", reason="drives the browser; in `test`")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for n in names if (found := shutil.which(n))), None)
    if path is None:
        pytest.skip("no chromium on this machine")
    with api.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("jinja2", reason="the extra plot is not installed")
    folder = tmp_path_factory.mktemp("reports")
    found = compare(X, Y, range(60), center=True, n_permutations=5, n_bootstrap=5, k=5)
    fitted = Translation("ridge").fit(X[:60], Y[:60])
    options: dict[str, Any] = {"ids": IDS, "texts": TEXTS}
    anchors = X[:60], Y[:60]
    long = "a_name_that_has_no_place_to_break_and_goes_on_for_long"
    return {
        "comparison": comparison_report(
            folder / "c.html", X[REST], Y[REST], anchors, found, labels=SEGMENTS, **options,
        ),
        "translation": translation_report(
            folder / "t.html", fitted, X[REST], Y[REST], segments=SEGMENTS, names=(long, "new"),
            X_anchors=X[:60], curve=[(30, 0.4, 0.3, 0.5), (60, 0.6, 0.5, 0.7)], **options,
        ),
    }  # fmt: skip


@dataclass
class Shown:
    """A report that is open in a browser, and what it complained of."""

    view: Any
    page: Page
    complaints: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Wait for two frames, in which whatever was asked for is drawn."""
        self.view.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def item(self) -> str:
        self.settle()
        return str(self.view.locator("#item").inner_text())

    def ink(self, layer: int) -> list[int]:
        """How many pixels of a layer are drawn, by panel: 0 points, 1 found, 2 marks."""
        self.settle()
        return list(self.view.evaluate(INK, layer))

    def place(self, i: int, panel: int, space: int) -> tuple[float, float]:
        """Where an item is in a panel, from 0 to 1."""
        x, y = self.page.planes()[panel][space][i]
        return x * 0.46 + 0.5, 0.5 - y * 0.46

    def is_marked(self, i: int) -> bool:
        """Tell whether an item is marked in each of its places."""
        self.settle()
        return all(
            self.view.evaluate(INK_AT, [*self.place(i, panel, space), panel]) > 200
            for panel, planes in enumerate(self.page.planes())
            for space in range(len(planes))
        )

    def point_at(self, i: int, panel: int = 0, space: int = 0) -> None:
        box = self.view.locator(".plot").nth(panel).bounding_box()
        x, y = self.place(i, panel, space)
        self.view.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


@pytest.fixture
def show(browser: Any) -> Iterator[Any]:
    opened: list[Shown] = []

    def open_page(path: Path, width: str = "desk", scheme: str = "light", **options: Any) -> Shown:
        view = browser.new_page(
            viewport={"width": WIDTHS[width], "height": 900}, color_scheme=scheme, **options
        )
        view.set_default_timeout(120_000)  # of a machine with much else to do
        shown = Shown(view, Page(path.read_text(encoding="utf-8")))
        opened.append(shown)
        view.on("console", lambda message: shown.complaints.append(message.text))
        view.on("pageerror", lambda error: shown.complaints.append(str(error)))
        view.on("dialog", lambda dialog: shown.complaints.append(dialog.message))
        view.on("request", lambda r: r.url == path.as_uri() or shown.complaints.append(r.url))
        view.context.set_offline(True)
        view.add_init_script(TIMED)
        view.goto(path.as_uri())
        shown.settle()
        return shown

    yield open_page
    for shown in opened:
        shown.view.close()
        assert shown.complaints == []  # no error, no dialog, no request


KINDS = ("comparison", "translation")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_fits_and_is_drawn(
    show: Any, reports: dict[str, Path], kind: str, width: str, scheme: str
) -> None:
    shown = show(reports[kind], width, scheme)
    assert shown.view.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert min(shown.ink(0)) > 200
    assert shown.ink(1) == shown.ink(2) == [0, 0, 0]
    ground = shown.view.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_pointing_at_an_item_marks_it_in_all_pictures(
    show: Any, reports: dict[str, Path], kind: str
) -> None:
    shown = show(reports[kind])
    for panel, planes in enumerate(shown.page.planes()):
        i = int(np.argmax(np.linalg.norm(planes[0], axis=1)))  # with no other near
        assert not shown.is_marked(i) or panel
        shown.point_at(i, panel)
        assert IDS[i] in shown.item()
        assert TEXTS[i] in shown.item()
        assert SEGMENTS[i] in shown.item()
        assert shown.is_marked(i)
    if kind == "translation":
        assert "finds itself at place" in shown.item()
        assert "covered by the anchors: 0." in shown.item()
    shown.view.mouse.move(5, 5)
    assert shown.is_marked(i)  # it can be read at leisure


@pytest.mark.slow
def test_the_nearest_item_is_found_wherever_one_points(show: Any, reports: dict[str, Path]) -> None:
    shown = show(reports["translation"])
    planes = shown.page.planes()[2]
    box = shown.view.locator(".plot").nth(2).bounding_box()
    for x, y in RNG.uniform(0.25, 0.75, size=(15, 2)):
        shown.view.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        target = np.array([(x - 0.5) / 0.46, (0.5 - y) / 0.46])
        distances = np.min([np.linalg.norm(at - target, axis=1) for at in planes], axis=0)
        if distances.min() * 0.46 * box["width"] < 17:
            assert IDS[int(np.argmin(distances))] in shown.item()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_search_finds_an_id_and_a_text(show: Any, reports: dict[str, Path], kind: str) -> None:
    shown = show(reports[kind])
    box, count = shown.view.get_by_label("Find an item by id or text"), shown.view.locator("#count")
    box.fill("ITEM-77")
    assert shown.item().startswith("item-77")
    assert shown.is_marked(IDS.index("item-77"))
    assert count.inner_text() == "1 of 1"
    box.fill("number 20")  # 200 to 209
    assert count.inner_text() == "1 of 10"
    assert min(shown.ink(1)) > 50
    stepped = []
    for key in ("Enter", "ArrowDown", "Shift+Enter", "ArrowUp", "ArrowUp"):
        box.press(key)
        stepped.append(shown.item().split()[0])
    assert stepped == ["item-201", "item-202", "item-201", "item-200", "item-209"]
    assert count.inner_text() == "10 of 10"
    shown.view.get_by_label("Next hit").click()
    assert shown.item().startswith("item-200")
    box.fill("item-2")
    assert (shown.item().split()[0], count.inner_text()) == ("item-2", "1 of 61")
    box.press("Enter")
    assert shown.item().startswith("item-200")
    box.fill("no such item")
    assert count.inner_text() == "nothing found"
    assert shown.item().startswith("Point at an item")
    box.fill("item-99")
    box.press("Escape")
    assert box.input_value() == count.inner_text() == ""
    assert shown.ink(1) == shown.ink(2) == [0, 0, 0]


@pytest.mark.slow
def test_arrow_keys_step_through_the_items(show: Any, reports: dict[str, Path]) -> None:
    shown = show(reports["comparison"])
    shown.view.locator(".plot canvas:last-child").nth(1).focus()
    stepped = []
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowUp"):
        shown.view.keyboard.press(key)
        stepped.append(shown.item().split()[0])
    assert stepped == [IDS[0], IDS[1], IDS[0], IDS[-1], IDS[-2]]
    shown.view.keyboard.press("Escape")
    assert shown.ink(2) == [0, 0, 0]


@pytest.mark.slow
def test_a_class_is_hidden_by_the_legend(show: Any, reports: dict[str, Path]) -> None:
    shown = show(reports["comparison"])
    before = shown.ink(0)
    button = shown.view.get_by_role("button", name="down")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert all(a < b for a, b in zip(shown.ink(0), before, strict=True))
    down = IDS[SEGMENTS.tolist().index("down")]
    shown.view.locator("#search").fill(down)
    assert shown.view.locator("#count").inner_text() == "nothing found"
    button.click()
    assert shown.ink(0) == before


@pytest.mark.slow
def test_colours_can_be_chosen(show: Any, reports: dict[str, Path]) -> None:
    shown = show(reports["translation"])
    legend = shown.view.locator("#legend")
    assert "up" in legend.inner_text()
    shown.view.get_by_label("Colour by").select_option(label="neighbours kept")
    assert "of 10 neighbours kept: none to all" in legend.inner_text()
    assert "up" not in legend.inner_text()
    assert min(shown.ink(0)) > 200


@pytest.mark.slow
def test_an_item_of_a_table_is_shown_in_the_pictures(show: Any, reports: dict[str, Path]) -> None:
    shown = show(reports["translation"])
    button = shown.view.locator("td .pick").first
    name = button.inner_text()
    button.click()
    assert shown.item().startswith(name)
    assert shown.is_marked(IDS.index(name))
    assert shown.view.locator(".plot").first.is_visible()
    assert shown.view.evaluate("document.querySelector('.panels').getBoundingClientRect().top") >= 0


@pytest.mark.slow
def test_text_of_a_user_is_only_shown(show: Any, reports: dict[str, Path]) -> None:
    for kind in KINDS:
        shown = show(reports[kind])
        shown.view.locator("#search").fill(IDS[5])
        assert EVIL in shown.item()


@pytest.mark.slow
def test_a_tap_marks_an_item(show: Any, reports: dict[str, Path]) -> None:
    shown = show(reports["translation"], "phone", has_touch=True, device_scale_factor=2)
    (plane,), i = shown.page.planes()[0], 3
    i = int(np.argmax(np.linalg.norm(plane, axis=1)))
    box = shown.view.locator(".plot").first.bounding_box()
    x, y = shown.place(i, 0, 0)
    shown.view.touchscreen.tap(box["x"] + x * box["width"], box["y"] + y * box["height"])
    assert shown.item().startswith(IDS[i])
    assert shown.is_marked(i)


@pytest.mark.slow
def test_twenty_thousand_points_stay_smooth(show: Any, tmp_path: Path) -> None:
    n = 20_000
    many = RNG.normal(size=(n, 6)).astype(np.float32)
    other = many[:, ::-1] + RNG.normal(size=(n, 6)).astype(np.float32)
    anchors = many[:50], other[:50]
    found = compare(X, Y, range(60), measures=["cka"], n_permutations=0, n_bootstrap=0, center=True)
    path = comparison_report(
        tmp_path / "large.html", many, other, anchors, found, labels=np.arange(n) % 9,
        ids=[f"item-{i}" for i in range(n)], texts=["words of an item, " * 20] * n,
    )  # fmt: skip
    size = path.stat().st_size / 1e6
    shown = show(path)
    box = shown.view.locator(".plot").nth(2).bounding_box()
    shown.view.evaluate("drawn.length = 0")
    for step in range(40):
        x, y = 0.3 + 0.01 * step, 0.35 + 0.3 * (7 * step % 40) / 40
        shown.view.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        shown.view.wait_for_timeout(25)
    median = statistics.median(shown.view.evaluate("drawn"))
    print(f"\n{n} points: {size:.1f} MB, {median:.2f} ms a frame of hovering")
    assert size < 5
    assert median < 50
    assert max(shown.ink(2)) > 20
