"""Pictures of experiments show the means and points of the rows, and are small PNG files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydantic", reason="needs the extra paper")
pytest.importorskip("matplotlib", reason="needs the extra plot")

from relatum.paper import picture_frame as frame
from relatum.paper import pictures, pictures_words
from relatum.paper.experiment import load_experiment

RNG = np.random.default_rng(0)


def make_rows() -> list[dict]:
    return [
        {"decoder": d, "encoder": e, "projection": p, "csls": c, "n": n, "seed": s,
         "f1": float(RNG.uniform()), "score": 1.0 + s}
        for d in "ab" for e in "xyz" for p in ("whitened", "absolute", "cosine")
        for c in (False, True) for n in (10, 100) for s in range(3)
    ]  # fmt: skip


ROWS = make_rows()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list:
    """Figures instead of files."""
    figures: list = []
    monkeypatch.setattr(frame, "save", lambda figure, path: figures.append(figure))
    return figures


def mean(**where: object) -> float:
    return float(np.mean([r["f1"] for r in ROWS if all(r[k] == v for k, v in where.items())]))


def texts(figure) -> list[str]:
    return [t.get_text() for legend in figure.legends for t in legend.get_texts()]


def size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    return struct.unpack(">II", head[16:24])


def test_files_are_png_of_1200_pixels_and_small(tmp_path: Path) -> None:
    rows = [{"x": float(x), "y": float(y), "c": float(c)} for x, y, c in RNG.normal(size=(2000, 3))]
    path = tmp_path / "new" / "scatter.png"
    pictures.scatter(rows, {}, path, x="x", y="y", colour="c")
    assert size(path)[0] == 1200
    assert path.stat().st_size < frame.MAX_BYTES


def test_scatter_draws_a_point_a_row(drawn: list) -> None:
    rows = [{"x": i, "y": 2.0 * i, "kind": "ab"[i % 2], "part": i // 5} for i in range(10)]
    pictures.scatter(
        rows, {}, Path("p"), x="x", y="y", colour="kind", panels="part", correlation=True
    )
    (figure,) = drawn
    points = [a.collections[0].get_offsets() for a in figure.axes]
    np.testing.assert_array_equal(np.concatenate(points), [[i, 2 * i] for i in range(10)])
    assert [a.texts[0].get_text() for a in figure.axes] == ["r = 1.00", "r = 1.00"]
    assert texts(figure) == ["a", "b"]


def test_scatter_of_a_number_has_a_colour_bar(drawn: list) -> None:
    rows = [{"x": i, "y": i, "lr": i / 7} for i in range(20)]
    pictures.scatter(rows, {}, Path("p"), x="x", y="y", colour="lr", colour_name="rate")
    points, bar = drawn[0].axes
    np.testing.assert_allclose(points.collections[0].get_array(), np.arange(20) / 7)
    assert bar.get_ylabel() == "rate"
    assert not drawn[0].legends


def test_lines_are_means_over_all_else(drawn: list) -> None:
    pictures.lines(
        ROWS, {}, Path("p"), x="n", y="f1", line="projection", dashed="csls", panels="decoder",
        log_x=True, level=0.9, level_name="paper", names={"csls: yes": "with CSLS"},
    )  # fmt: skip
    (figure,) = drawn
    assert [a.get_title() for a in figure.axes] == ["a", "b"]
    first = figure.axes[0].lines[0]  # the projections in their own order
    assert first.get_color() == frame.COLOURS["absolute"]
    np.testing.assert_allclose(
        first.get_ydata(),
        [mean(decoder="a", projection="absolute", csls=False, n=n) for n in (10, 100)],
    )
    assert len(figure.axes[1].lines) == 3 * 2 + 1
    assert texts(figure) == [
        "absolute", "relative (the paper's)", "relative, whitened", "csls: no", "with CSLS",
        "paper",
    ]  # fmt: skip


def test_a_row_may_hold_a_curve(drawn: list) -> None:
    rows = [{"epoch": [1, 2, 3], "loss": [3.0, 2.0, s], "seed": s} for s in (0, 2)]
    pictures.lines(rows, {}, Path("p"), x="epoch", y="loss", log_y=True)
    (line,) = drawn[0].axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), [3, 2, 1])
    assert drawn[0].axes[0].get_yscale() == "log"


def test_bars_are_means_with_their_deviation(drawn: list) -> None:
    pictures.bars(ROWS, {}, Path("p"), metric="f1", groups="encoder", bar="projection",
                  where={"csls": False, "n": [10, 100]})  # fmt: skip
    axes = drawn[0].axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    expected = [
        mean(projection=p, encoder=e, csls=False)
        for p in ("absolute", "cosine", "whitened")
        for e in "xyz"
    ]
    np.testing.assert_allclose(heights, expected)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["x", "y", "z"]
    assert "the paper" not in texts(drawn[0])


def test_the_paper_s_values_lie_over_their_bars(drawn: list) -> None:
    ways = ("the other to Word2Vec", "Word2Vec to the other")
    rows = [
        {"stage": "all-words", "projection": p, "csls": False, "other": "glove-100",
         "direction": d, "mrr": 0.5}
        for p in ("cosine", "whitened") for d in ways
    ]  # fmt: skip
    pictures.bars(rows, {}, Path("p"), metric="mrr", groups="direction", bar="projection",
                  where={"other": ["glove-100"]}, paper="table-1")  # fmt: skip
    diamonds = [line for line in drawn[0].axes[0].lines if line.get_marker() == "D"]
    assert [float(d.get_ydata()[0]) for d in diamonds] == [0.94, 0.98]  # Table 1, relative
    centres = [bar.get_x() + bar.get_width() / 2 for bar in drawn[0].axes[0].patches[:2]]
    np.testing.assert_allclose([float(d.get_xdata()[0]) for d in diamonds], centres)
    assert texts(drawn[0])[-1] == "the paper"


def test_paper_values_need_every_field_and_agree_with_where() -> None:
    wanted = {"direction": "the other to Word2Vec", "projection": "cosine"}
    assert frame.paper_value("table-1", "mrr", wanted, None) == (0.94, 0.0)
    assert frame.paper_value("table-1", "mrr", wanted, {"other": ["glove-50"]}) is None
    assert frame.paper_value("table-1", "mrr", {**wanted, "seed": 0}, None) is None
    assert frame.paper_value("table-1", "f1", wanted, None) is None
    assert frame.paper_value(None, "mrr", wanted, None) is None


def test_a_heat_map_shows_each_mean(drawn: list) -> None:
    pictures.heat_map(ROWS, {}, Path("p"), metric="f1", panels="projection",
                      where={"csls": True})  # fmt: skip
    panels = drawn[0].axes[:3]
    for axes, p in zip(panels, ("absolute", "cosine", "whitened"), strict=True):
        expected = [
            [mean(decoder=d, encoder=e, projection=p, csls=True) for e in "xyz"] for d in "ab"
        ]
        np.testing.assert_allclose(axes.images[0].get_array(), expected)
        assert axes.texts[0].get_text() == f"{expected[0][0]:.2f}"


def test_a_heat_map_leaves_holes_where_nothing_ran(drawn: list) -> None:
    rows = [
        {"decoder": "a", "encoder": "x", "f1": 0.5},
        {"decoder": "b", "encoder": "y", "f1": 1.0},
    ]
    pictures.heat_map(rows, {}, Path("p"), metric="f1")
    table = np.asarray(drawn[0].axes[0].images[0].get_array())
    np.testing.assert_array_equal(np.isnan(table), [[False, True], [True, False]])
    assert [t.get_text() for t in drawn[0].axes[0].texts] == ["0.50", "", "", "1.00"]


def test_planes_share_frames_where_asked(drawn: list) -> None:
    kept = {
        name: {"points": RNG.normal(size=(30, 2)) * s, "labels": np.arange(30) % 3}
        for name, s in (("one", 1), ("two", 5), ("three", 9))
    }
    pictures.planes([], kept, Path("p"), panels=[["one", "two"], ["three"]],
                    same_frame=[["one", "two"]], titles={"one": "One"},
                    row_names=["up", "down"], classes=["p", "q", "r"])  # fmt: skip
    one, two, three, empty = drawn[0].axes
    assert one.get_xlim() == two.get_xlim() != three.get_xlim()
    assert (one.get_title(), two.get_title()) == ("One", "two")
    assert (one.get_ylabel(), three.get_ylabel()) == ("up", "down")
    assert not empty.axison
    np.testing.assert_allclose(one.collections[0].get_offsets(), kept["one"]["points"])
    assert texts(drawn[0]) == ["p", "q", "r"]


def test_planes_of_real_labels_have_a_scale(drawn: list) -> None:
    kept = {"one": {"points": RNG.normal(size=(30, 2)), "labels": np.linspace(0, 1, 30)}}
    pictures.planes([], kept, Path("p"), panels=[["one"]], equal=False)
    np.testing.assert_allclose(drawn[0].axes[0].collections[0].get_array(), kept["one"]["labels"])
    assert not drawn[0].legends


def test_the_trade_off_is_drawn_from_both_kinds_of_means(drawn: list) -> None:
    at = {"other": "glove-100", "stage": "pivots"}
    rows = [at | {"projection": "cosine", "score": 2.0, "mrr": 0.8}]
    rows += [
        at | {"projection": "quantised", "threshold": t, "unit_means": u, "score": t + u,
              "mrr": 1 / t, "clusters": 10.0}
        for t in (1.0, 1.5, 2.0) for u in (False, True)
    ]  # fmt: skip
    pictures_words.trade_off(rows, {}, Path("p"), other=["glove-100"], stage="pivots",
                             paper="figure-7")  # fmt: skip
    left, right = drawn[0].axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [1, 1.5, 2])
    np.testing.assert_allclose(left.lines[1].get_ydata(), [2, 2.5, 3])
    values = {v.where["threshold"]: v.value for v in load_experiment("figure-7").paper_values
              if "threshold" in v.where}  # fmt: skip
    np.testing.assert_allclose(left.lines[3].get_ydata(), [2 * v / 1.24 for v in values.values()])
    np.testing.assert_allclose(right.lines[0].get_ydata(), [1, 1 / 1.5, 0.5])
    assert [t.get_text() for t in right.texts] == ["10 clusters", "10 clusters"]


def test_nothing_to_draw_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no row has n, f1 where {'csls': 'maybe'}"):
        pictures.lines(ROWS, {}, tmp_path / "p.png", x="n", y="f1", where={"csls": "maybe"})
    assert not (tmp_path / "p.png").exists()


def test_more_values_than_colours_go_round(drawn: list) -> None:
    rows = [{"x": 1, "y": 1.0, "kind": f"k{i}"} for i in range(30)]
    pictures.lines(rows, {}, Path("p"), x="x", y="y", line="kind")
    assert len(drawn[0].axes[0].lines) == 30


def test_names_below_an_axis_are_broken_or_slanted(drawn: list) -> None:
    for names, shown, turned in (
        (["one two", "three"], ["one two", "three"], 0),
        (["a first name", "another name", "w", "x", "y", "z"],
         ["a\nfirst\nname", "another\nname", "w", "x", "y", "z"], 0),
        ([f"unbreakable{i}" for i in range(8)], [f"unbreakable{i}" for i in range(8)], 30),
    ):  # fmt: skip
        axes = frame.new_figure().subplots()
        frame.name_ticks(axes, names, None, "field")
        assert [t.get_text() for t in axes.get_xticklabels()] == shown
        assert axes.get_xticklabels()[0].get_rotation() == turned


def test_axes_are_named_on_the_outer_panels_alone(drawn: list) -> None:
    rows = [{"x": i, "y": i, "part": i % 5} for i in range(20)]
    pictures.scatter(rows, {}, Path("p"), x="x", y="y", panels="part")
    assert [a.get_ylabel() for a in drawn[0].axes[:5]] == ["y", "", "", "y", ""]
    assert [a.get_xlabel() for a in drawn[0].axes[:5]] == ["", "", "x", "x", "x"]


def test_a_logarithmic_axis_has_plain_numbers(drawn: list) -> None:
    rows = [{"g": "a", "b": "p", "mse": 0.5}, {"g": "b", "b": "p", "mse": 30.0}]
    pictures.bars(rows, {}, Path("p"), metric="mse", groups="g", bar="b", log_y=True)
    axes = drawn[0].axes[0]
    shown = [axes.yaxis.get_major_formatter()(v, 0) for v in axes.get_yticks()]
    assert {"0.5", "1", "2", "5", "10", "20"} <= set(shown)
