"""The feature cache: keyed by all that made it, and never believed when damaged."""

from __future__ import annotations

import numpy as np
import pytest

from relatum.paper.cache import FeatureCache, content_hash

KEY = {"encoder": "e", "revision": 1, "size": 0.5}


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "features")


def arrays(value=1.0):
    return {"X": np.full((3, 2), value, dtype=np.float32), "y": np.arange(3)}


def test_what_is_kept_is_not_computed_again(cache):
    first = cache.get(KEY, arrays)
    again = cache.get(dict(KEY), lambda: pytest.fail("computed again"))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert first[name].dtype == again[name].dtype
    assert cache.n_computed == 1


@pytest.mark.parametrize("change", [{"encoder": "f"}, {"revision": 2}, {"size": 1.5}, {"x": None}])
def test_every_part_of_the_key_counts(cache, change):
    cache.get(KEY, arrays)
    assert cache.get(KEY | change, lambda: arrays(2.0))["X"][0, 0] == 2.0


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_file_is_computed_again(cache, damage):
    cache.get(KEY, arrays)
    (path,) = cache.folder.iterdir()
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1  # one bit of the data
    path.write_bytes(bytes(whole) if damage is None else damage)
    assert cache.get(KEY, lambda: arrays(2.0))["X"][0, 0] == 2.0
    assert cache.n_computed == 2


def test_a_file_of_another_key_is_not_taken(cache):
    cache.get(KEY, arrays)
    (path,) = cache.folder.iterdir()
    cache.get(KEY | {"revision": 2}, lambda: arrays(2.0))
    (other,) = set(cache.folder.iterdir()) - {path}
    path.replace(other)
    assert cache.get(KEY | {"revision": 2}, lambda: arrays(3.0))["X"][0, 0] == 3.0


def test_a_failure_leaves_nothing(cache):
    def fail():
        raise RuntimeError("no encoder")

    with pytest.raises(RuntimeError, match="no encoder"):
        cache.get(KEY, fail)
    assert not cache.folder.exists()


def test_an_interrupted_write_leaves_nothing(cache, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.numpy.save_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.get(KEY, arrays)
    assert list(cache.folder.iterdir()) == []


def test_a_transposed_array_comes_back_as_it_was(cache):
    X = np.arange(6.0).reshape(2, 3).T
    cache.get(KEY, lambda: {"X": X})
    np.testing.assert_array_equal(cache.get(KEY, dict)["X"], X)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["a", "b"], ["b", "a"]),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(2, np.float32), np.zeros(2, np.int32)),
        ([1], ["1"]),
        ([1], [True]),
        ({"a": 1}, {"b": 1}),
        ([["a"], ["b"]], [["a", "b"]]),
        ("a", b"a"),
    ],
)
def test_the_hash_tells_data_apart(a, b):
    assert content_hash(a) != content_hash(b)


def test_the_hash_of_equal_data_is_equal():
    X = np.arange(12.0).reshape(3, 4)
    assert content_hash(["a", X, None]) == content_hash(["a", X.T.copy().T, None])


def test_what_has_no_hash_is_refused():
    with pytest.raises(TypeError, match="data holds a object"):
        content_hash(object())
