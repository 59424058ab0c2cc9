"""A hub of several encoders: exact on isometries, any to any, one added later."""

from __future__ import annotations

import numpy as np
import pytest

import relatum
from relatum.hub import Hub, consensus

RNG = np.random.default_rng(0)
N = 300
Z = RNG.normal(size=(N, 10))
ROWS = np.arange(N)


def turned(d, noise=0.0):
    Q = np.linalg.qr(RNG.normal(size=(max(10, d), max(10, d))))[0][:10, :d]
    return Z @ Q + RNG.normal(size=d) + noise * RNG.normal(size=(N, d))


A, B, C, D = turned(10), turned(12), turned(16), turned(11)


PARTS = {"a": ROWS[:60], "b": ROWS[40:140], "c": ROWS[110:200]}
SPACES = {"a": A, "b": B, "c": C}


def fitted(method="scaled_procrustes", **settings):
    anchors = {name: SPACES[name][rows] for name, rows in PARTS.items()}
    return Hub(method=method, **settings).fit(anchors, PARTS)


@pytest.mark.parametrize("source", "abc")
@pytest.mark.parametrize("target", "abc")
def test_any_to_any_is_exact_between_isometries(source, target):
    hub = fitted()  # a and c share no item
    np.testing.assert_allclose(
        hub.translate(SPACES[source], source, target), SPACES[target], atol=1e-4
    )


def test_an_encoder_is_added_and_the_others_stay():
    hub = fitted()
    before = {name: t.as_affine()[0].copy() for name, t in hub.translations_.items()}
    hub.add("d", D[90:200], ROWS[90:200])
    np.testing.assert_allclose(hub.translate(D, "d", "a"), A, atol=1e-4)
    np.testing.assert_allclose(hub.translate(C, "c", "d"), D, atol=1e-4)
    for name, matrix in before.items():
        np.testing.assert_array_equal(hub.translations_[name].as_affine()[0], matrix)


def test_items_that_the_hub_does_not_know_are_left_out():
    hub = fitted()
    hub.add("d", D[150:260], ROWS[150:260])
    assert hub.translations_["d"].n_anchors_ == 50


def test_more_encoders_help_against_noise():
    noisy = {name: turned(10, noise=1.0) for name in "pqrstuv"}
    rows = dict.fromkeys(noisy, ROWS[:150])
    everyone = consensus({n: X[:150] for n, X in noisy.items()}, rows, 150, 10)
    two = {name: noisy[name][:150] for name in "pq"}
    few = consensus(two, {n: rows[n] for n in "pq"}, 150, 10)

    def error(H):
        """What is left of the true items after the best linear map of the consensus."""
        truth = Z[:150] - Z[:150].mean(axis=0)
        return np.linalg.norm(truth - H @ np.linalg.lstsq(H, truth, rcond=None)[0])

    assert error(everyone) < 0.75 * error(few)


def test_the_order_of_encoders_does_not_matter():
    anchors = {name: SPACES[name][rows] for name, rows in PARTS.items()}
    one = Hub(method="scaled_procrustes").fit(anchors, PARTS)
    other = Hub(method="scaled_procrustes").fit(dict(reversed(anchors.items())), PARTS)
    np.testing.assert_allclose(
        one.translate(A[200:], "a", "c"), other.translate(A[200:], "a", "c"), atol=1e-3
    )


def test_ids_may_be_strings():
    names = np.array([f"item {i}" for i in ROWS])
    hub = Hub(method="scaled_procrustes").fit(
        {name: SPACES[name][rows] for name, rows in PARTS.items()},
        {name: names[rows] for name, rows in PARTS.items()},
    )
    np.testing.assert_allclose(hub.translate(A, "a", "b"), B, atol=1e-4)
    assert hub.ids_[:2] == ["item 0", "item 1"]


def test_a_file_keeps_it(tmp_path):
    hub = fitted("auto")
    relatum.save(hub, tmp_path / "hub.safetensors")
    again = relatum.load(tmp_path / "hub.safetensors")
    np.testing.assert_array_equal(again.translate(A, "a", "c"), hub.translate(A, "a", "c"))
    again.add("d", D[90:200], ROWS[90:200])
    assert again.translate(D, "d", "a").shape == A.shape


def test_a_file_keeps_which_map_is_whose(tmp_path):
    """Names that JSON brings back in another order, and encoders of different widths."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(80, 6))
    spaces = {name: Z @ rng.normal(size=(6, width)) for name, width in
              (("old", 6), ("new", 9), ("a", 7))}  # fmt: skip
    ids = list(range(80))
    hub = Hub().fit({n: spaces[n][:60] for n in ("old", "new")}, dict.fromkeys(spaces, ids[:60]))
    hub.add("a", spaces["a"][:50], ids[:50])
    relatum.save(hub, tmp_path / "hub.safetensors")
    back = relatum.load(tmp_path / "hub.safetensors")
    assert list(back.translations_) == ["old", "new", "a"]
    for source in spaces:
        for target in spaces:
            np.testing.assert_allclose(
                back.translate(spaces[source], source, target),
                hub.translate(spaces[source], source, target),
            )


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="anchors has 1 encoders; expected at least 2"):
        Hub().fit({"a": A}, {"a": ROWS})
    with pytest.raises(ValueError, match="ids has none for 'b'"):
        Hub().fit({"a": A, "b": B}, {"a": ROWS})
    with pytest.raises(ValueError, match="b has 300 rows and 299 ids"):
        Hub().fit({"a": A, "b": B}, {"a": ROWS, "b": ROWS[1:]})
    with pytest.raises(ValueError, match="the ids of b repeat"):
        Hub().fit({"a": A, "b": B}, {"a": ROWS, "b": ROWS // 2})
    with pytest.raises(ValueError, match="b shares 2 items with the other encoders"):
        Hub().fit({"a": A[:60], "b": B[58:100]}, {"a": ROWS[:60], "b": ROWS[58:100]})
    with pytest.raises(ValueError, match="b has 5 rows that are all the same"):
        Hub().fit({"a": A[:5], "b": np.ones((5, 3))}, {"a": ROWS[:5], "b": ROWS[:5]})
    with pytest.raises(ValueError, match="this Hub is not fitted"):
        Hub().translate(A, "a", "b")
    hub = fitted()
    with pytest.raises(ValueError, match="target is 'z'; expected one of a, b, c"):
        hub.translate(A, "a", "z")
    with pytest.raises(ValueError, match="name is 'a', which the hub has already"):
        hub.add("a", A, ROWS)
    with pytest.raises(ValueError, match="d has 1 items that the hub knows"):
        hub.add("d", D[199:210], ROWS[199:210])
    np.testing.assert_array_equal(hub.translate(A, "a", "a"), A)
