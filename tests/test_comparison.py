"""comparison.py: the table's laws, values against the single measures, nulls and intervals."""

from __future__ import annotations

import json
import math
import tracemalloc

import numpy as np
import pytest

import relatum
from relatum import RelatumWarning, _resampling, _whole_space
from relatum.comparison import MEASURES, Comparison, compare
from relatum.similarity import TRANSFORMATIONS

each_measure = pytest.mark.parametrize("name", MEASURES)


def related(seed, n=120, d=12, e=9, noise=0.5):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 4))
    return [shared @ rng.normal(size=(4, w)) + noise * rng.normal(size=(n, w)) for w in (d, e)]


def measure(name, A, B, k=5):
    entry = MEASURES[name]
    return entry.function(A, B, **({"k": k} if entry.takes_k else {}))


# --- the table


def transformed(name, Y, rng):
    n, d = Y.shape
    if name == "orthogonal":
        return Y @ np.linalg.qr(rng.normal(size=(d, d)))[0]
    if name == "signed_permutation":
        return Y[:, rng.permutation(d)] * rng.choice([-1, 1], size=d)
    if name == "translation":
        return Y + rng.normal(size=d)
    return Y * (3.0 if name == "scaling" else rng.uniform(0.2, 5, size=(n, 1)))


@each_measure
@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
def test_declared_invariances_hold_and_no_others(name, transformation, rng):
    X, Y = related(1, d=8, e=8)
    if MEASURES[name].on == "relative":
        X = Y + 0.5 * (X - Y)  # close enough for changes of Y to be seen
    changed = measure(name, X, transformed(transformation, Y, rng))
    holds = changed == pytest.approx(measure(name, X, Y), abs=1e-6)
    assert holds == (transformation in MEASURES[name].invariant_to)


@each_measure
def test_range_and_orientation(name):
    entry, (X, Y) = MEASURES[name], related(2, d=8, e=8)
    low, high = entry.range
    same, other = measure(name, X, X), measure(name, X, Y)
    chance = measure(name, X, np.random.default_rng(0).permutation(X))
    assert all(low - 1e-9 <= v <= high + 1e-9 for v in (same, other, chance))
    assert same == pytest.approx(entry.best, abs=1e-6)
    assert (same > chance) == entry.higher_is_closer


def test_reversed_measures_ask_the_other_way():
    X, Y = related(3, d=6, e=6)
    for name in ("retrieval_jaccard", "mean_reciprocal_rank"):
        assert measure(f"{name}_from_y", X, Y) == measure(name, Y, X)


# --- values


@pytest.mark.parametrize("settings", [{}, {"center": True, "whiten": 0.3},
                                      {"similarity": "euclidean"}])  # fmt: skip
def test_values_are_those_of_the_single_measures(settings):
    X, Y = related(4)
    anchors = np.arange(20)
    found = compare(X, Y, anchors, k=5, n_permutations=0, n_bootstrap=0, **settings)
    R, S = (relatum.relative_projection(A[20:], A[:20], **settings) for A in (X, Y))
    for name, entry in MEASURES.items():
        pair = (R, S) if entry.on == "relative" else (X[20:], Y[20:])
        assert found[name].value == pytest.approx(measure(name, *pair), abs=1e-6), name
        assert found[name].on == entry.on
        assert found[name].interval is None
        assert found[name].p_value is None


@each_measure
def test_nulls_are_the_measure_of_permuted_rows(name, monkeypatch):
    """The fast nulls against the measure itself, on the very same permutations."""
    seen = []
    original = _resampling.Repeats.permutations

    def recorded(self):
        seen.extend(original(self))
        return iter(seen)

    monkeypatch.setattr(_resampling.Repeats, "permutations", recorded)
    X, Y = related(5, n=60)
    found = compare(X, Y, np.arange(20), k=5, measures=[name], n_permutations=7, n_bootstrap=0)
    R, S = (relatum.relative_projection(A[20:], A[:20]) for A in (X, Y))
    A, B = (R, S) if MEASURES[name].on == "relative" else (X[20:], Y[20:])
    order = np.arange(40)
    if name in ("cka_rbf", "rsa_distance"):
        assert found[name].n_rows == 40  # its rows come in another order
        expected = None
    else:
        from_y = name.endswith("_from_y")  # permutes the index, which is X there
        expected = [
            measure(name, A[p], B[order]) if from_y else measure(name, A, B[p]) for p in seen
        ]
    if expected is not None:
        assert found[name].null_mean == pytest.approx(np.mean(expected), abs=1e-5)
    assert len(seen) == found[name].n_permutations == 7


def test_nulls_of_pairs_are_the_measure_of_permuted_rows():
    X, Y = related(6, n=40)
    repeats = _resampling.Repeats(40, 5, 0, np.random.default_rng(3))
    draws = _resampling.pairs_of_rows(X, Y, repeats)
    again = list(_resampling.Repeats(40, 5, 0, np.random.default_rng(3)).permutations())
    for name, found in draws.items():
        expected = [measure(name, X, Y[p]) for p in again]
        np.testing.assert_allclose(found.null, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["cka", "cka_unbiased", "procrustes_distance", "svcca", "pwcca"])
def test_halves_are_the_measure_of_half_of_the_rows(name):
    X, Y = related(7, n=200, noise=0.05)
    repeats = _resampling.Repeats(200, 0, 30, np.random.default_rng(3))
    found = _whole_space.whole_space(X, Y, repeats)[name].spread
    halves = list(_resampling.Repeats(200, 0, 30, np.random.default_rng(3)).halves())
    expected = np.array([measure(name, X[h], Y[h]) for h in halves])
    tolerance = 1e-5 if "cca" not in name else 0.3 * expected.std()  # axes of all rows are kept
    np.testing.assert_allclose(found, expected - expected.mean(), atol=tolerance)


# --- what the numbers promise


@pytest.mark.slow
def test_spread_of_halves_is_the_spread_over_samples():
    """Half-sampling against fresh samples from the same population."""
    rng = np.random.default_rng(0)
    loading = rng.normal(size=(3, 10))

    def sample(n):
        shared = rng.normal(size=(n, 3))
        return [shared @ loading[:, :5] + rng.normal(size=(n, 5)),
                shared @ loading[:, 5:] + rng.normal(size=(n, 5))]  # fmt: skip

    names = ["cka", "procrustes_distance", "rsa_distance", "cka_rbf"]
    fresh = {m: np.std([measure(m, *sample(200)) for _ in range(60)]) for m in names}
    X, Y = sample(200)
    repeats = _resampling.Repeats(200, 0, 200, rng)
    draws = {**_whole_space.whole_space(X, Y, repeats), **_resampling.pairs_of_rows(X, Y, repeats)}
    for name in names:
        assert 0.6 < draws[name].spread.std() / fresh[name] < 1.6, name


def test_bootstrap_of_row_means_is_the_standard_error(rng):
    values = rng.normal(size=500)
    repeats = _resampling.Repeats(500, 0, 400, rng)
    draws = repeats.of_row_means({"m": values}, lambda _: {})["m"]
    assert draws.value == pytest.approx(values.mean())
    assert draws.spread.std() == pytest.approx(values.std() / 500**0.5, rel=0.15)


def test_p_values_of_unrelated_spaces_are_uniform():
    """Over 24 pairs of unrelated spaces: mean near 1/2, and few below 0.1."""
    names = ["cka", "neighborhood_jaccard", "latent_similarity", "rsa_distance"]
    p = {name: [] for name in names}
    for seed in range(24):
        X, Y = np.random.default_rng(seed).normal(size=(2, 40, 5))
        found = compare(X, Y, (X[:6] + 1, X[:6]), k=3, measures=names, n_permutations=19,
                        n_bootstrap=0, random_state=seed)  # fmt: skip
        for name in names:
            p[name].append(found[name].p_value)
    for name in names:
        assert 0.3 < np.mean(p[name]) < 0.7, name
        assert np.mean(np.array(p[name]) <= 0.1) <= 0.25, name


def test_a_rotated_space_is_a_match_and_a_shuffled_one_is_chance():
    X, _ = related(8, n=300)
    Q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))
    same = compare(X, X @ Q, np.arange(40))
    shuffled = np.random.default_rng(2).permutation(X @ Q)
    with pytest.warns(RelatumWarning, match="do not look parallel"):
        chance = compare(X, shuffled, np.arange(40))
    for name in MEASURES:
        assert same[name].calibrated == pytest.approx(1, abs=2e-3), name
        assert same[name].p_value <= 1 / 41 + 1e-9
        assert abs(chance[name].calibrated) < 0.05, name
        assert chance[name].p_value > 0.01
        low, high = same[name].interval
        assert low - 1e-6 <= same[name].value <= high + 1e-6
    assert not same.warnings
    assert any("do not look parallel" in text for text in chance.warnings)


def test_null_bound_lies_on_the_closer_side():
    X, Y = related(9)
    found = compare(X, Y, np.arange(20))
    for result in found.results.values():
        assert (result.null_bound > result.null_mean) == result.higher_is_closer


# --- rows and anchors


def test_anchors_given_as_arrays_are_held_out_where_they_are_rows():
    X = np.random.default_rng(0).normal(size=(80, 6))
    found = compare(X, X[:, ::-1], (X[5:25], X[5:25, ::-1]), measures=["cka"])
    assert found.settings["n_rows"] == 60
    assert found.settings["anchors_held_out"] is True
    outside = np.random.default_rng(1).normal(size=(20, 6))
    found = compare(X, X, (outside, outside), measures=["cka"])
    assert found.settings["n_rows"] == 80


def test_anchor_rows_are_held_out():
    X, Y = related(10)
    found = compare(X, Y, [0, 5, 7, 9], measures=["cka"])
    rest = np.delete(np.arange(120), [0, 5, 7, 9])
    assert found["cka"].value == pytest.approx(relatum.cka(X[rest], Y[rest]), abs=1e-6)
    assert found.settings["anchors_held_out"] is True
    assert (found.settings["n_rows"], found.settings["n_anchors"]) == (116, 4)
    assert found.settings["anchors"] == "rows given"


def test_anchors_stay_where_too_few_rows_remain():
    X, Y = related(11, n=30)
    with pytest.warns(RelatumWarning, match="only 5 rows are not anchors.*flatters"):
        found = compare(X, Y, np.arange(25), measures=["cka"])
    assert found.settings["anchors_held_out"] is False
    assert found.settings["n_rows"] == 30
    assert "flatters" in found.warnings[0]
    assert "Warning: only 5 rows" in str(found)


def test_anchors_are_drawn_where_none_are_given():
    X, Y = related(12)
    found = compare(X, Y, n_anchors=30, measures=["cka"])
    assert found.settings["anchors"] == "rows drawn uniformly"
    assert (found.settings["n_anchors"], found.settings["n_rows"]) == (30, 90)
    assert compare(X, Y, measures=["cka"]).settings["n_anchors"] == 60  # half of the rows


def test_a_pair_of_anchor_arrays():
    X, Y = related(13)
    found = compare(X[20:], Y[20:], (X[:20], Y[:20]), n_permutations=0, n_bootstrap=0)
    same = compare(X, Y, range(20), n_permutations=0, n_bootstrap=0)
    assert found.settings["anchors"] == "arrays given"
    for name in set(MEASURES) - {"cka_rbf", "rsa_distance"}:
        assert found[name].value == pytest.approx(same[name].value, abs=1e-9)


def test_rows_are_sampled_and_the_result_says_so(monkeypatch):
    monkeypatch.setattr(relatum.comparison, "MAX_PAIR_ROWS", 20)
    X, Y = related(14)
    found = compare(X, Y, np.arange(20), n_samples=50)
    assert found["cka"].n_rows == found.settings["n_rows"] == 50
    assert found["rsa_distance"].n_rows == found.settings["n_rows_pairs"] == 20
    assert found.settings["n_rows_given"] == 120
    assert compare(X, Y, np.arange(20), n_samples=None, measures=["cka"])["cka"].n_rows == 100
    assert "50 of 120 rows; 20 anchors (rows given, held out" in str(found)


def test_memory_is_bounded_by_the_sample():
    X = np.random.default_rng(0).normal(size=(50_000, 16)).astype(np.float32)
    compare(X[:500], X[:500], np.arange(20))  # imports and caches
    tracemalloc.start()
    compare(X, X, np.arange(20), n_samples=500, n_permutations=5, n_bootstrap=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20


def test_many_axes_take_fewer_repeats():
    repeats = _resampling.Repeats(10, 100, 500, np.random.default_rng(0))
    assert repeats.limited(256) == repeats
    limited = repeats.limited(512)
    assert (limited.n_permutations, limited.n_bootstrap) == (40, 62)
    assert _resampling.Repeats(10, 5, 0, repeats.rng).limited(9999).n_permutations == 5


# --- the result


def test_result_is_json_and_a_table():
    X, Y = related(15)
    found = compare(X, Y, np.arange(20), center=True, whiten=0.5)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["results"]["cka"]["value"] == found["cka"].value
    assert data["results"]["pairwise_score"]["range"] == [0, None]
    assert data["settings"]["whiten"] == 0.5
    table = str(found).splitlines()
    assert "centred, whitened λ=0.5" in table[0]
    assert table[2].split() == ["measure", "closer", "is", "value", "95", "%", "interval",
                                "chance", "p", "calibrated"]  # fmt: skip
    assert [line.split()[0] for line in table[3:]] == list(MEASURES)
    assert f"{found['cka'].value:.3f}" in table[3 + list(MEASURES).index("cka")]
    bare = str(compare(X, Y, np.arange(20), n_permutations=0, n_bootstrap=0, measures="cka"))
    assert bare.splitlines()[-1].split()[-4:] == ["-", "-", "-", "-"]


def test_the_same_seed_gives_the_same_result():
    X, Y = related(16)
    a, b = (compare(X, Y, n_permutations=10, n_bootstrap=10, random_state=3) for _ in range(2))
    assert a.to_dict() == b.to_dict()
    alone = compare(X, Y, n_permutations=10, n_bootstrap=10, random_state=3, measures=["svcca"])
    assert alone["svcca"] == a["svcca"]
    other = compare(X, Y, n_permutations=10, n_bootstrap=10, random_state=4)
    assert other["cka"].value != a["cka"].value


def test_progress_is_reported():
    X, Y = related(17)
    said = []
    compare(X, Y, np.arange(20), progress=said.append, n_permutations=2, n_bootstrap=2)
    assert said[0] == "100 of 120 rows, 20 anchors"
    assert len(said) == 7


def test_every_back_end(backend):
    X, Y = related(18, n=60)
    plain = compare(X, Y, np.arange(20), n_permutations=3, n_bootstrap=3)
    found = compare(backend.array(X), backend.array(Y), np.arange(20), n_permutations=3,
                    n_bootstrap=3)  # fmt: skip
    for name in MEASURES:
        assert found[name].value == pytest.approx(plain[name].value, abs=1e-6)
    assert isinstance(found, Comparison)
    assert math.isfinite(found["cka"].null_mean)


def test_spaces_wider_than_their_rows():
    X, Y = related(19, n=50, d=80, e=70)
    with pytest.warns(RelatumWarning, match="no interval for svcca, pwcca: half of the rows"):
        found = compare(X, Y, np.arange(10), n_permutations=5, n_bootstrap=5)
    assert found["svcca"].interval is None
    assert found["svcca"].n_resamples == 0
    assert found["procrustes_distance"].interval is not None
    assert found["cka_unbiased"].value == pytest.approx(
        relatum.cka(X[10:], Y[10:], unbiased=True), abs=1e-6
    )


# --- refusals


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"k": 120}, ValueError, "k is 120; expected at most 119"),
        ({"k": 0}, ValueError, "k is 0; expected at least 1"),
        ({"measures": ["ckka"]}, ValueError, "measures is 'ckka' .did you mean 'cka'"),
        ({"measures": []}, ValueError, "measures is empty"),
        ({"n_samples": 5}, ValueError, "n_samples is 5; expected at least 11"),
        ({"n_permutations": -1}, ValueError, "n_permutations is -1; expected at least 0"),
        ({"n_bootstrap": 1.5}, TypeError, "n_bootstrap is 1.5; expected an integer"),
        ({"n_anchors": 1}, ValueError, "n_anchors is 1; expected at least 2"),
        ({"random_state": "x"}, TypeError, "random_state is 'x'"),
        ({"anchors": [0, 500]}, ValueError, "anchors has row numbers from 0 to 500"),
        ({"anchors": [0, 0]}, ValueError, "anchors repeats row numbers"),
        ({"anchors": np.ones((3, 12))}, ValueError, "anchors is one 2-D array; expected row num"),
        ({"anchors": [0.5, 1.5]}, TypeError, "anchors has dtype float64"),
        ({"whiten": -1}, ValueError, "whiten is -1"),
        ({"similarity": "cosinus"}, ValueError, "did you mean 'cosine'"),
    ],
)
def test_bad_options(options, error, match):
    X, Y = related(20)
    with pytest.raises(error, match=match):
        compare(X, Y, **options)


def test_bad_input():
    X, Y = related(21)
    with pytest.raises(ValueError, match="X has 120 rows, Y has 119"):
        compare(X, Y[1:])
    with pytest.raises(ValueError, match="Y contains NaN or infinity in 1 row: 4"):
        compare(X, np.where(np.arange(120)[:, None] == 4, np.nan, Y))
    with pytest.raises(ValueError, match="X and Y have 7 rows; expected at least 8"):
        compare(X[:7], Y[:7], k=2)
    with pytest.raises(ValueError, match="anchors has 3 arrays; expected a pair"):
        compare(X, Y, (X[:9], Y[:9], Y[:9]))
    with pytest.raises(ValueError, match="anchors of Y has 12 features, Y has 9"):
        compare(X, Y, (X[:9], X[:9]))
    with pytest.raises(ValueError, match="anchors of X has 9 rows, anchors of Y has 8"):
        compare(X, Y, (X[:9], Y[:8]))
    with pytest.raises(ValueError, match="rows that are all the same; CKA, CCA and Procrustes"):
        compare(X, np.ones_like(Y), (X[:9], Y[:9]), measures=["cka"])
