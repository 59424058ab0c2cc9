"""The rows, the plane and the colours of a picture."""

from __future__ import annotations

import numpy as np
import pytest

from relatum import _picture

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)) * np.arange(6, 0, -1)
Q = np.linalg.qr(RNG.normal(size=(6, 6)))[0]


def test_plane_is_the_first_two_components_up_to_place_scale_and_sign() -> None:
    (at,) = _picture.plane(X)
    centred = X - X.mean(axis=0)
    expected = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    scale = np.ptp(at, axis=0) / np.ptp(expected, axis=0)
    assert scale[0] == pytest.approx(scale[1])
    assert np.abs(at).max() == pytest.approx(1)
    for i in range(2):
        assert abs(np.corrcoef(at[:, i], expected[:, i])[0, 1]) == pytest.approx(1)


def test_plane_of_several_spaces_is_one_plane() -> None:
    one, two = _picture.plane(X[:50], X[:50])
    np.testing.assert_allclose(one, two)


def test_plane_by_the_axes_of_other_rows() -> None:
    own, other = _picture.plane(X[:50], X[50:] / 3, axes_of=X[:50])
    (alone,) = _picture.plane(X[:50])
    for i in range(2):
        assert abs(np.corrcoef(own[:, i], alone[:, i])[0, 1]) == pytest.approx(1)
    axes = np.linalg.lstsq(X[:50] - X[:50].mean(axis=0), own - own.mean(axis=0))[0]
    np.testing.assert_allclose(
        other - other.mean(axis=0), (X[50:] - X[50:].mean(axis=0)) @ axes / 3, atol=1e-9
    )


@pytest.mark.parametrize("rows", [np.ones((5, 3)), np.arange(5.0)[:, None], np.ones((1, 4))])
def test_plane_of_degenerate_rows_is_finite(rows: np.ndarray) -> None:
    (at,) = _picture.plane(rows)
    assert at.shape == (len(rows), 2)
    assert np.isfinite(at).all()
    assert not at[:, 1].any()


def test_sample_rows_keeps_few_and_draws_from_many() -> None:
    few = np.array([3, 5, 9])
    assert _picture.sample_rows(few, 3, 0) is few
    many = _picture.sample_rows(np.arange(100), 10, 0)
    assert len(set(many)) == 10
    assert (np.diff(many) > 0).all()


def test_classes_are_ordered_by_size_over_all_rows_not_the_drawn() -> None:
    labels = np.array(["b", "a", "a", "c", "a", "b"])
    found = _picture.colouring(labels, np.zeros(2), "X", np.array([0, 3]))
    assert found.names == ["a", "b", "c"]
    assert found.values.tolist() == [1, 2]
    assert len(set(found.colours)) == 3


def test_small_classes_become_other_without_a_colour_of_their_own() -> None:
    labels = np.repeat(np.arange(20), np.arange(20, 0, -1))
    found = _picture.colouring(labels, np.zeros(0), "X", np.arange(len(labels)))
    assert len(found.names) == len(_picture.PALETTE)
    assert found.names[-1] == "other"
    assert found.colours[-1] == _picture.OTHER
    assert (found.values[labels >= 10] == len(found.names) - 1).all()


def test_real_numbers_become_a_scale_and_no_labels_the_place_in_the_first_space() -> None:
    numbers = RNG.normal(size=50)
    found = _picture.colouring(numbers, np.zeros(50), "X", np.arange(50))
    assert found.names == found.colours == []
    np.testing.assert_array_equal(np.argsort(found.values), np.argsort(numbers))
    assert (found.values.min(), found.values.max()) == (0, 1)
    without = _picture.colouring(None, numbers, "USE", np.arange(50))
    np.testing.assert_array_equal(without.values, found.values)
    assert "USE" in without.meaning


def test_view_of_a_rotated_space_puts_both_on_each_other() -> None:
    seen = _picture.view([X, X @ Q], np.arange(20), ["X", "Y"])
    np.testing.assert_allclose(seen.after[0], seen.after[1], atol=1e-9)
    assert seen.rows.tolist() == list(range(20, 120))
    assert seen.n_anchors == 20


@pytest.mark.parametrize("anchors", [range(10), list(range(10)), (X[:10], X[:10] @ Q)])
def test_view_takes_row_numbers_and_arrays(anchors: object) -> None:
    seen = _picture.view([X, X @ Q], anchors, ["X", "Y"])
    assert seen.n_anchors == 10
    assert len(seen.rows) == (120 if isinstance(anchors, tuple) else 110)


def test_view_without_anchors_draws_them_and_keeps_rows_of_a_small_space() -> None:
    assert _picture.view([X, X], None, ["X", "Y"]).n_anchors == 60
    small = _picture.view([X[:40], X[:40]], range(10), ["X", "Y"])
    assert len(small.rows) == 40


@pytest.mark.parametrize(
    ("spaces", "names", "anchors", "match"),
    [
        ([], [], None, "at least one space"),
        ([X, X], ["X"], None, r"names has 1 entries for 2 space\(s\)"),
        ([X, X[:50]], ["one", "two"], None, "one has 120 rows, two has 50"),
        ([X, X], ["X", "Y"], (X[:9],), "anchors has 1 arrays for 2 spaces"),
        ([X, X], ["X", "Y"], [500, 1], "row numbers from 1 to 500"),
    ],
)
def test_view_refuses(spaces: list, names: list, anchors: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        _picture.view(spaces, anchors, names)


def test_labels_need_one_entry_a_row() -> None:
    with pytest.raises(ValueError, match="labels has 3 entries; expected 120: one for each row"):
        _picture.view([X, X], range(9), ["X", "Y"], labels=["a", "b", "c"])
    assert _picture.check_column([[1, 2], [3, 4]], "labels", 2).tolist() == ["[1, 2]", "[3, 4]"]
