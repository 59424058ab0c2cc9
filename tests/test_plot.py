"""Pictures with matplotlib."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from relatum import MissingExtraError, plot

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 8))
SPACES = {"one": X, "two": X[:, ::-1], "three": X @ np.linalg.qr(RNG.normal(size=(8, 8)))[0]}
LABELS = np.array(["red", "green"])[(X[:, 0] > 0).astype(int)]


@pytest.fixture
def _matplotlib() -> None:
    pytest.importorskip("matplotlib", reason="the extra plot is not installed")


@pytest.mark.usefixtures("_matplotlib")
def test_plot_spaces_draws_every_row_of_each_space() -> None:
    figure = plot.plot_spaces(SPACES, LABELS)
    assert [axes.get_title() for axes in figure.axes] == list(SPACES)
    for axes in figure.axes:
        assert axes.collections[0].get_offsets().shape == (200, 2)
    assert {t.get_text() for t in figure.legends[0].get_texts()} == {"red", "green"}


@pytest.mark.usefixtures("_matplotlib")
def test_plot_spaces_draws_a_sample_and_no_legend_without_labels() -> None:
    figure = plot.plot_spaces(SPACES, max_points=30)
    assert figure.axes[0].collections[0].get_offsets().shape == (30, 2)
    assert not figure.legends


@pytest.mark.usefixtures("_matplotlib")
def test_before_after_puts_rotated_spaces_on_each_other() -> None:
    figure = plot.plot_before_after(SPACES, range(40), LABELS, highlight=2)
    last = figure.axes[-1]
    clouds = [c.get_offsets() for c in last.collections[:3]]
    np.testing.assert_allclose(clouds[0], clouds[1], atol=1e-9)
    np.testing.assert_allclose(clouds[0], clouds[2], atol=1e-9)
    before = [axes.collections[0].get_offsets() for axes in figure.axes[:3]]
    assert before[0].shape == (160, 2)  # anchors are not drawn
    assert [t.get_text() for t in last.texts] == ["1", "2"]
    assert "40 anchors" in last.get_xlabel()
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    assert set(names) == {"red", "green", *SPACES}


@pytest.mark.usefixtures("_matplotlib")
def test_highlighted_items_are_steady_and_apart() -> None:
    from relatum import _picture

    seen = _picture.view(list(SPACES.values()), range(40), list(SPACES), labels=LABELS)
    picked = plot._spread_out(seen, 3)
    assert len(set(picked)) == 3
    at = seen.after[0][picked]
    closest = min(np.linalg.norm(at[i] - at[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert closest > 0.3


@pytest.mark.usefixtures("_matplotlib")
def test_a_class_may_be_absent_from_the_drawn_rows() -> None:
    labels = np.array(["rare"] + ["common"] * 199)
    figure = plot.plot_before_after(SPACES, range(40), labels)  # row 0 is an anchor
    assert "rare" in [t.get_text() for t in figure.legends[0].get_texts()]


@pytest.mark.usefixtures("_matplotlib")
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_save_figure_writes_whole_files(tmp_path: Path, suffix: str) -> None:
    path = plot.save_figure(plot.plot_spaces(SPACES), tmp_path / f"picture.{suffix}", dpi=40)
    assert path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.usefixtures("_matplotlib")
def test_no_pyplot_is_imported() -> None:
    code = (
        "import sys, numpy as np; from relatum.plot import plot_spaces; "
        "plot_spaces({'X': np.eye(9)}); raise SystemExit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_matplotlib_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"a picture needs matplotlib.*relatum\[plot\]"):
        plot.plot_spaces(SPACES)


@pytest.mark.usefixtures("_matplotlib")
def test_bad_spaces_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one space"):
        plot.plot_spaces({})
    with pytest.raises(ValueError, match="one has 200 rows, two has 10"):
        plot.plot_before_after({"one": X, "two": X[:10]}, range(5))
    with pytest.raises(ValueError, match="two contains NaN"):
        plot.plot_spaces({"one": X, "two": np.full((200, 2), np.nan)})
