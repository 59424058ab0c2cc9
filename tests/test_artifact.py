"""Fitted objects on disk: round trips, refusals, and damage of every byte."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import relatum
from relatum import _files, artifact

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 8))
NUMBERS = RNG.normal(size=60)
LABELS = {
    "strings": np.array(["b", "a", "c"])[np.arange(60) % 3],
    "integers": np.arange(60) % 3 + 5,
    "two": np.array(["no", "yes"])[np.arange(60) % 2],
    "objects": np.array(["b", "a", "c"], dtype=object)[np.arange(60) % 3],
    "booleans": np.arange(60) % 2 == 0,
}
SETTINGS = [
    {},
    {"center": True},
    {"whiten": 0.3},
    {"center": True, "whiten": 0.0},
    {"similarity": "angular", "precision": "float64"},
    {"similarity": ("geodesic", {"n_neighbors": 5})},
    {"similarity": ["cosine", ("geodesic", {"n_neighbors": 5}), "manhattan"]},
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.safetensors"


def saved(path: Path, **more) -> Path:
    relatum.save(relatum.RelativeProjection(10, random_state=0).fit(X), path, **more)
    return path


def through(obj, path):
    relatum.save(obj, path)
    return relatum.load(path)


def contents(path: Path) -> tuple[dict, dict]:
    with safe_open(path, "numpy") as file:
        manifest = json.loads(file.metadata()["relatum"])
    return manifest, load_file(path)


def rewrite(path: Path, manifest: dict, arrays: dict, *, seal: bool = True) -> None:
    """Write a file of one's own, with a checksum that is right where it is sealed."""
    if seal:
        manifest["checksum"] = artifact._checksum(manifest, arrays)
    save_file(arrays, path, {"relatum": json.dumps(manifest)})


# ---- round trips


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("parameters", SETTINGS, ids=str)
def test_a_projection_comes_back(parameters, dtype, path):
    data = X.astype(dtype)
    fitted = relatum.RelativeProjection(10, random_state=3, **parameters).fit(data)
    loaded = through(fitted, path)
    np.testing.assert_array_equal(loaded.transform(data), fitted.transform(data))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.space_ == fitted.space_
    np.testing.assert_array_equal(loaded.anchor_indices_, fitted.anchor_indices_)
    assert loaded.get_feature_names_out().tolist() == fitted.get_feature_names_out().tolist()
    again = clone(loaded).fit(data)
    np.testing.assert_array_equal(again.anchor_indices_, fitted.anchor_indices_)


def test_ids_of_anchors_and_names_of_features_are_kept(path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"f{i}" for i in range(8)])
    fitted = relatum.RelativeProjection(10, random_state=0).fit(
        frame, ids=[f"i{i}" for i in range(60)]
    )
    loaded = through(fitted, path)
    assert loaded.anchor_ids_.tolist() == fitted.anchor_ids_.tolist()
    assert loaded.space_.anchor_ids == fitted.space_.anchor_ids is not None
    np.testing.assert_array_equal(loaded.transform(frame), fitted.transform(frame))


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize(
    "head", [LogisticRegression(C=np.inf), RidgeClassifier(alpha=0.5)], ids=str
)
def test_classifiers_come_back(labels, head, path):
    y = LABELS[labels]
    fitted = clone(head).fit(X, y)
    loaded = through(fitted, path)
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    np.testing.assert_array_equal(loaded.decision_function(X), fitted.decision_function(X))
    assert loaded.score(X, y) == fitted.score(X, y)
    assert loaded.classes_.dtype == fitted.classes_.dtype
    assert loaded.get_params() == fitted.get_params()
    assert clone(loaded).fit(X, y).score(X, y) == fitted.score(X, y)


@pytest.mark.parametrize(
    "head", [Ridge(alpha=2), LinearRegression(), LinearRegression(positive=True)], ids=str
)
@pytest.mark.parametrize("targets", [NUMBERS, np.stack([NUMBERS, -NUMBERS], 1)], ids=["one", "two"])
def test_regressions_come_back(head, targets, path):
    fitted = clone(head).fit(X, targets)
    loaded = through(fitted, path)
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert type(loaded.intercept_) is type(fitted.intercept_)


@pytest.mark.parametrize(
    "step",
    [
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        relatum.HeadNormalizer(),
        relatum.HeadNormalizer("transductive"),
    ],
    ids=str,
)
def test_scalers_come_back(step, path):
    fitted = clone(step).fit(X)
    np.testing.assert_array_equal(through(fitted, path).transform(X), fitted.transform(X))


def test_pipelines_come_back_nested_and_with_their_gaps(path):
    y = LABELS["strings"]
    inner = make_pipeline(
        StandardScaler(), "passthrough", LogisticRegression(class_weight={"a": 2.0})
    )
    fitted = make_pipeline(relatum.RelativeProjection(12, whiten=1.0, random_state=0), inner)
    fitted.fit(X, y)
    loaded = through(fitted, path)
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert [name for name, _ in loaded.steps] == [name for name, _ in fitted.steps]
    assert loaded[1][2].class_weight == {"a": 2.0}
    stitched = relatum.stitch(None, relatum.RelativeProjection(whiten=1.0).fit(X[:12]), loaded)
    assert stitched.predict(X).shape == (60,)


def test_the_space_that_a_head_is_bound_to_survives(path):
    projection = relatum.RelativeProjection(10, center=True, whiten=0.3, random_state=0)
    projection.fit(X, ids=[f"i{i}" for i in range(60)])
    head = make_pipeline(StandardScaler(), Ridge()).fit(projection.transform(X), NUMBERS)
    relatum.bind(head, projection)
    loaded = through(head, path)
    assert loaded.relatum_space_ == projection.space_
    assert relatum.read_manifest(path)["space"]["whiten"] == 0.3
    relatum.stitch(None, projection, loaded)
    with pytest.raises(ValueError, match="center is False here and True there"):
        relatum.stitch(
            None, relatum.RelativeProjection(10, whiten=0.3, random_state=0).fit(X), loaded
        )


def test_numbers_of_other_libraries_come_back_as_numpy(path):
    torch = pytest.importorskip("torch")
    fitted = relatum.RelativeProjection(10, random_state=0).fit(torch.tensor(X))
    loaded = through(fitted, path)
    assert isinstance(loaded.anchors_, np.ndarray)
    np.testing.assert_allclose(loaded.transform(X), fitted.transform(torch.tensor(X)), rtol=1e-12)


def test_a_torch_module_comes_back(path):
    torch = pytest.importorskip("torch")
    nn = pytest.importorskip("relatum.nn")
    for similarity in ("cosine", ["cosine", ("geodesic", {"n_neighbors": 3})]):
        module = nn.RelativeProjection(
            torch.tensor(X[:10]).float(), similarity=similarity, center=True,
            anchor_ids=[str(i) for i in range(10)],
        )  # fmt: skip
        loaded = through(module, path)
        data = torch.tensor(X).float()
        assert torch.equal(loaded(data), module(data))
        assert loaded.space == module.space
        assert relatum.read_manifest(path)["space"]["n_anchors"] == 10
    live = nn.RelativeProjection(
        encoder=torch.nn.Linear(8, 4), anchor_samples=torch.tensor(X[:5]).float()
    )
    with pytest.raises(TypeError, match=r"obj encodes its anchors anew .* save RelativeProjection"):
        relatum.save(live, path)


# ---- the manifest


def test_the_manifest_says_what_there_is(path):
    saved(path, encoder="my-encoder", encoder_revision="abc", measured={"mrr": 0.92})
    manifest = relatum.read_manifest(path)
    assert manifest["format_version"] == artifact.FORMAT_VERSION
    assert manifest["kind"] == "relative-projection"
    assert manifest["relatum_version"] == relatum.__version__
    assert (manifest["encoder"], manifest["encoder_revision"]) == ("my-encoder", "abc")
    assert manifest["measured"] == {"mrr": 0.92}
    assert manifest["n_features"] == 8
    assert manifest["space"] == {
        "n_anchors": 10, "n_outputs": 10, "similarity": ["cosine"], "center": False,
        "whiten": None, "anchor_ids": None,
    }  # fmt: skip
    assert set(manifest["anchors_sha256"]) == {"anchors"}
    assert relatum.read_manifest(path, verify=True) == manifest
    assert artifact.is_artifact(path)
    save_file({"a": X}, path)
    assert not artifact.is_artifact(path)


def test_the_file_holds_no_pickle_and_safetensors_reads_it(path):
    saved(path)
    _, arrays = contents(path)
    assert set(arrays) == {"anchors", "anchor_indices"}
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(path.read_bytes())


# ---- what is refused when saving


def test_a_similarity_of_ones_own_is_refused_with_what_to_do(path):
    mine = relatum.RelativeProjection(10, similarity=lambda X, A: X @ A.T).fit(X)
    with pytest.raises(
        TypeError, match=r"is a Python function, which cannot be saved; use a named"
    ):
        relatum.save(mine, path)
    with pytest.raises(
        TypeError, match=r"Ridge\.random_state is a Python RandomState, which cannot"
    ):
        relatum.save(Ridge(random_state=np.random.RandomState(0)).fit(X, NUMBERS), path)
    assert not path.exists()


@pytest.mark.parametrize(
    "obj", [MinMaxScaler(), {"a": 1}, "text", make_pipeline(MinMaxScaler())], ids=str
)
def test_other_objects_are_refused(obj, path):
    with pytest.raises(
        TypeError, match=r"obj is .*, which cannot be saved without pickle; expected"
    ):
        relatum.save(obj, path)


def test_a_subclass_is_another_object(path):
    class Mine(StandardScaler):
        pass

    with pytest.raises(TypeError, match=r"obj is .*Mine, which cannot be saved without pickle"):
        relatum.save(Mine().fit(X), path)


def test_labels_that_are_no_strings_or_numbers_are_refused(path):
    head = LogisticRegression().fit(X, LABELS["integers"])
    head.classes_ = np.array([1, "a", None], dtype=object)
    with pytest.raises(TypeError, match=r"LogisticRegression\.classes_ holds Python objects; exp"):
        relatum.save(head, path)
    many = RidgeClassifier().fit(X, np.stack([NUMBERS > 0, NUMBERS < 1], 1).astype(int))
    with pytest.raises(TypeError, match="RidgeClassifier of several labels a row, which cannot"):
        relatum.save(many, path)


@pytest.mark.parametrize("obj", [Ridge(), relatum.RelativeProjection()], ids=str)
def test_what_is_not_fitted_is_refused(obj, path):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        relatum.save(obj, path)


def test_other_bad_arguments_of_save(path, tmp_path):
    with pytest.raises(ValueError, match=r"a\.pkl has the suffix '\.pkl'; expected \.safetensors"):
        saved(tmp_path / "a.pkl")
    for measured in ({"f": print}, {"x": float("nan")}):
        with pytest.raises(
            TypeError, match="measured or the object's state cannot be written as JS"
        ):
            saved(path, measured=measured)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        saved(tmp_path / "none" / "a.safetensors")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(broken, path, monkeypatch):
    before = saved(path).read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files.os, broken, fail)
    with pytest.raises(OSError, match="No space left"):
        saved(path, encoder="other")
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == before


# ---- what is refused when loading


def test_every_flipped_bit_is_detected(path):
    data = bytearray(saved(path).read_bytes())
    whole = relatum.load(path).transform(X)

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.integers(0, len(data) - 1), st.integers(0, 7))
    def check(place, bit):
        damaged = bytearray(data)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        if bytes([data[place]]).isspace():  # of JSON: it may stay valid, and holds nothing
            with suppress(ValueError):
                np.testing.assert_array_equal(relatum.load(path).transform(X), whole)
        else:
            with pytest.raises(ValueError, match=r"^[^\n]*a\.safetensors[^\n]*$"):
                relatum.load(path)

    check()


def test_damage_says_where(path):
    saved(path)
    manifest, arrays = contents(path)
    at = path.read_bytes().find(arrays["anchors"].tobytes())
    data = bytearray(path.read_bytes())
    data[at + 17] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"is damaged: its anchors \(anchors\) are not those that"):
        relatum.load(path)
    with pytest.raises(ValueError, match="sha256 differs"):
        relatum.read_manifest(path, verify=True)
    arrays["anchor_indices"][0] += 1
    rewrite(path, manifest, arrays, seal=False)
    with pytest.raises(
        ValueError, match=r"is damaged: its content differs .* \(checksum differs\)"
    ):
        relatum.load(path)
    arrays.pop("anchors")
    rewrite(path, manifest, arrays)
    with pytest.raises(ValueError, match="its anchors"):
        relatum.load(path)
    manifest["space"]["center"] = True
    rewrite(path, manifest, contents(path)[1], seal=False)
    with pytest.raises(ValueError, match=r"its anchors|checksum differs"):
        relatum.load(path)


def test_a_newer_version_is_refused_before_anything_else(path):
    saved(path)
    manifest, arrays = contents(path)
    manifest |= {"format_version": 2, "relatum_version": "9.1", "kind": "from-the-future"}
    rewrite(path, manifest, arrays, seal=False)
    message = r"has format version 2, written by relatum 9\.1; this relatum reads up to 1: pip inst"
    for read in (relatum.load, relatum.read_manifest):
        with pytest.raises(ValueError, match=message):
            read(path)
    manifest["format_version"] = "2"
    rewrite(path, manifest, arrays)
    with pytest.raises(ValueError, match="is damaged: its format version is '2'"):
        relatum.load(path)


def test_unknown_kinds_and_other_files_are_refused(path):
    saved(path)
    manifest, arrays = contents(path)
    rewrite(path, {**manifest, "kind": "os.system"}, arrays)
    with pytest.raises(
        ValueError, match=r"an object of the unknown kind 'os\.system'; expected one"
    ):
        relatum.load(path)
    save_file({"a": X}, path)
    with pytest.raises(ValueError, match="is a safetensors file without relatum's manifest; expec"):
        relatum.load(path)
    path.write_bytes(pickle.dumps(X))
    with pytest.raises(ValueError, match=r"is a pickle \(refused: loading one can run any code\)"):
        relatum.load(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"is empty \(0 bytes\); expected a relatum artefact"):
        relatum.load(path)
    with pytest.raises(
        FileNotFoundError, match=r"no\.safetensors: no such file; expected a relatum"
    ):
        relatum.load(path.with_name("no.safetensors"))
    (path.parent / "a.pt").touch()
    with pytest.raises(ValueError, match=r"has the suffix '\.pt'; expected a relatum artefact as"):
        relatum.load(path.parent / "a.pt")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_truncated(share, path):
    data = saved(path).read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        ValueError, match=r"a\.safetensors is truncated or damaged \(.*\); expected"
    ):
        relatum.load(path)


def test_a_forged_manifest_sets_nothing_but_the_listed_attributes(path):
    relatum.save(Ridge().fit(X, NUMBERS), path)
    manifest, arrays = contents(path)

    def forge(change):
        forged = json.loads(json.dumps(manifest))
        change(forged["state"])
        rewrite(path, forged, arrays)

    forge(lambda s: s["fitted"].update(predict="x"))
    with pytest.raises(ValueError, match="has no attribute 'predict' that may be loaded"):
        relatum.load(path)
    forge(lambda s: s["parameters"].update(nonsense=1))
    with pytest.raises(
        ValueError, match=r"does not describe a sklearn\.Ridge .* with scikit-learn"
    ):
        relatum.load(path)
    forge(lambda s: s.pop("fitted"))
    with pytest.raises(ValueError, match=r"does not describe a sklearn\.Ridge that can be built"):
        relatum.load(path)
    relatum.save(make_pipeline(Ridge()).fit(X, NUMBERS), path)
    manifest, arrays = contents(path)
    forge(lambda s: s["steps"][0]["node"].update(kind="builtins.eval"))
    with pytest.raises(ValueError, match=r"kind is 'builtins\.eval'; expected one of"):
        relatum.load(path)


def test_a_torch_module_without_torch_names_the_extra(path, monkeypatch):
    saved(path)
    manifest, arrays = contents(path)
    rewrite(path, {**manifest, "kind": "torch-relative-projection"}, arrays)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(relatum.MissingExtraError, match=r"pip install 'relatum\[torch\]'"):
        relatum.load(path)


def test_artefacts_load_in_another_process(path):
    saved(path)
    code = f"import relatum; print(relatum.load({str(path)!r}).anchors_.shape)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "(10, 8)", result.stderr
