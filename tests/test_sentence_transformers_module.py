"""A translation as the last module of a sentence-transformers model: encode, save, load."""

from __future__ import annotations

import copy
import importlib
import json
import sys

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", minversion="5.4")

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import BoW
from sklearn.exceptions import NotFittedError

import relatum
from relatum.sentence_transformers_module import TranslationModule, to_dense

WORDS = [f"w{i}" for i in range(12)]
RNG = np.random.default_rng(0)
TEXTS = [" ".join(RNG.choice(WORDS, size=5)) for _ in range(80)]
AFFINE, KERNEL = "ridge", "procrustes_kernel"


def encoder(*more: torch.nn.Module) -> SentenceTransformer:
    """A bag of words: it needs no weights, so no hub."""
    return SentenceTransformer(modules=[BoW(WORDS), *more], device="cpu")


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return encoder().encode(TEXTS)


@pytest.fixture(scope="module")
def translations(X) -> dict[str, relatum.Translation]:
    Y = X @ np.random.default_rng(1).normal(size=(12, 7)) + 2
    return {name: relatum.Translation(name).fit(X[:60], Y[:60]) for name in (AFFINE, KERNEL)}


@pytest.mark.parametrize("method", [AFFINE, KERNEL])
def test_encode_gives_rows_in_the_target_space(method, X, translations):
    model = encoder(TranslationModule(translations[method]))
    expected = translations[method].transform(X)
    np.testing.assert_allclose(model.encode(TEXTS), expected, rtol=1e-4, atol=1e-4)
    assert model.get_embedding_dimension() == 7
    assert list(model.parameters()) == []
    assert list(model.state_dict()) == []
    assert f"'method': '{method}', 'in_features': 12, 'out_features': 7" in repr(model)


@pytest.mark.parametrize("method", [AFFINE, KERNEL])
def test_a_saved_model_loads_and_gives_the_same(method, X, translations, tmp_path):
    model = encoder(TranslationModule(translations[method]))
    model.save(str(tmp_path))
    last = json.loads((tmp_path / "modules.json").read_text())[-1]
    assert last["type"] == "relatum.sentence_transformers_module.TranslationModule"
    file = tmp_path / last["path"] / "translation.safetensors"
    assert relatum.read_manifest(file, verify=True)["kind"] == "translation"
    np.testing.assert_array_equal(
        relatum.load(file).transform(X), translations[method].transform(X)
    )
    loaded = SentenceTransformer(str(tmp_path), device="cpu", trust_remote_code=True)
    np.testing.assert_array_equal(loaded.encode(TEXTS), model.encode(TEXTS))
    again = tmp_path / "again"
    loaded.save(str(again))
    assert (again / last["path"] / file.name).read_bytes() == file.read_bytes()


def test_a_folder_without_the_artefact_is_refused(translations, tmp_path):
    encoder(TranslationModule(translations[AFFINE])).save(str(tmp_path))
    next(tmp_path.glob("*/translation.safetensors")).unlink()
    with pytest.raises(FileNotFoundError, match=r"1_TranslationModule has no translation\.safe"):
        SentenceTransformer(str(tmp_path), device="cpu", trust_remote_code=True)


def test_an_artefact_of_another_kind_is_refused(X, translations, tmp_path):
    encoder(TranslationModule(translations[AFFINE])).save(str(tmp_path))
    file = next(tmp_path.glob("*/translation.safetensors"))
    relatum.save(relatum.RelativeProjection(5).fit(X), file)
    with pytest.raises(TypeError, match=r"translation is RelativeProjection; expected a fitted"):
        SentenceTransformer(str(tmp_path), device="cpu", trust_remote_code=True)


@pytest.mark.parametrize("method", [AFFINE, KERNEL])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_output_has_the_dtype_of_the_input(method, dtype, X, translations):
    module = TranslationModule(translations[method])
    rows = torch.tensor(X, dtype=dtype)
    Y = module({"sentence_embedding": rows, "other": 1})
    assert Y["other"] == 1
    assert Y["sentence_embedding"].dtype == dtype
    expected = translations[method].transform(X)
    tolerance = 0.05 if dtype == torch.bfloat16 else 0.01
    np.testing.assert_allclose(Y["sentence_embedding"].double(), expected, tolerance, tolerance)


def test_it_moves_and_is_copied_with_the_model(X, translations):
    module = TranslationModule(translations[KERNEL])
    rows = {"sentence_embedding": torch.tensor(X)}
    expected = module(dict(rows))["sentence_embedding"]
    twin = copy.deepcopy(module)
    assert torch.equal(twin(dict(rows))["sentence_embedding"], expected)
    away = module.to("meta")
    assert {buffer.device.type for buffer in away.buffers()} == {"meta"}
    half = twin.half()(dict(rows))["sentence_embedding"]
    assert half.dtype == torch.float32  # the input's
    torch.testing.assert_close(half, expected, rtol=0.02, atol=0.02)


def test_the_gradient_reaches_the_encoder(X, translations):
    rows = torch.tensor(X, requires_grad=True)
    out = TranslationModule(translations[AFFINE])({"sentence_embedding": rows})
    out["sentence_embedding"].sum().backward()
    expected = translations[AFFINE].as_affine()[0].sum(axis=1)
    np.testing.assert_allclose(rows.grad[0], expected, rtol=1e-4)


def test_another_width_is_refused(translations):
    narrow = BoW(WORDS[:9])
    said = "the encoder gives 9 features; this translation was fitted on 12"
    model = SentenceTransformer(modules=[narrow], device="cpu")
    model.append(TranslationModule(translations[AFFINE]))  # which calls no hook
    with pytest.raises(ValueError, match=said):
        model.encode(TEXTS[:2])
    if hasattr(BoW, "on_model_ready"):  # older ones say it at the first encode
        with pytest.raises(ValueError, match=said):
            SentenceTransformer(
                modules=[narrow, TranslationModule(translations[AFFINE])], device="cpu"
            )


def test_queries_alone_are_translated_on_a_route(X, translations, tmp_path):
    old, queries = BoW(WORDS[:7]), [BoW(WORDS), TranslationModule(translations[AFFINE])]
    model = SentenceTransformer(modules=[Router.for_query_document(queries, [old])], device="cpu")
    model.save(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path), device="cpu", trust_remote_code=True)
    expected = translations[AFFINE].transform(X)
    for either in (model, loaded):
        np.testing.assert_allclose(either.encode_query(TEXTS), expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(either.encode_document(["w3 w4"]), [[0, 0, 0, 1, 1, 0, 0]])


def test_a_module_that_does_not_know_its_width_is_taken(X, translations, monkeypatch):
    monkeypatch.setattr(BoW, "get_embedding_dimension", lambda self: None)
    model = encoder(TranslationModule(translations[AFFINE]))
    monkeypatch.undo()
    assert model.encode(TEXTS).shape == (80, 7)


def test_what_is_no_fitted_translation_is_refused(X):
    with pytest.raises(TypeError, match=r"translation is ndarray; expected a fitted relatum\.Tr"):
        TranslationModule(X)
    with pytest.raises(NotFittedError):
        TranslationModule(relatum.Translation())


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "relatum.sentence_transformers_module")
    monkeypatch.setitem(sys.modules, "sentence_transformers.base.modules", None)
    said = r"needs sentence-transformers.* pip install 'relatum\[sentence-transformers\]'"
    with pytest.raises(relatum.MissingExtraError, match=said):
        importlib.import_module("relatum.sentence_transformers_module")


def test_dense_loads_without_trust(translations, tmp_path):
    model = encoder(to_dense(translations[AFFINE]))
    expected = encoder(TranslationModule(translations[AFFINE])).encode(TEXTS)
    np.testing.assert_allclose(model.encode(TEXTS), expected, rtol=1e-5, atol=1e-5)
    model.save(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path), device="cpu")
    np.testing.assert_allclose(loaded.encode(TEXTS), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="is no affine map"):
        to_dense(translations[KERNEL])
