"""Curves along trainings as a picture."""

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="pictures")
pytest.importorskip("pydantic", reason="relatum.paper needs pydantic")

from relatum.paper.pictures_graphs import curves


def some_rows(n):
    rng = np.random.default_rng(0)
    return [
        {
            "conv": "gcnii", "n_layers": 32, "optimizer": "adam", "pearson": 0.97, "learned": True,
            "accuracies": rng.random(10).tolist(), "similarities": [None, *rng.random(9).tolist()],
        }
        for _ in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (4, 2), (30, 8)])
def test_curves_are_drawn(tmp_path, n, columns):
    path = tmp_path / "curves.png"
    curves(some_rows(30), {}, path, n=n, columns=columns, where={"learned": True})
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert path.stat().st_size < 200_000


def test_other_seeds_draw_other_trainings(tmp_path):
    for seed in (0, 1):
        curves(some_rows(30), {}, tmp_path / f"{seed}.png", n=4, columns=2, seed=seed)
    assert (tmp_path / "0.png").read_bytes() != (tmp_path / "1.png").read_bytes()


def test_rows_without_curves_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no row has accuracies"):
        curves([{"accuracy": 0.5}], {}, tmp_path / "x.png")
