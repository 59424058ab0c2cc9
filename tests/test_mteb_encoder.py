"""MTEB runs a translated encoder, and finds what the target's own encoder gives."""

from __future__ import annotations

import sys
import zlib

import numpy as np
import pytest

pytest.importorskip("mteb", minversion="2.10")

import mteb
from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskClassification, AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.cache import ResultCache
from mteb.models import EncoderProtocol, ModelMeta
from mteb.models.model_meta import ScoringFunction
from mteb.similarity_functions import cos_sim, pairwise_cos_sim
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import BoW
from sklearn.exceptions import NotFittedError

import relatum
from relatum.mteb_encoder import TranslatedEncoder

WIDTH = 48
WORDS = [f"w{i}" for i in range(120)]
ABOUT = {
    "description": "A few texts of invented words.",
    "dataset": {"path": "none", "revision": "none"},
    "eval_splits": ["test"],
    "eval_langs": ["eng-Latn"],
    "category": "t2t",
}


def texts(n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=12)) for _ in range(n)]


def with_other_words(text: str, seed: int) -> str:
    """Replace some words: a query of the document ``text``."""
    rng = np.random.default_rng(seed)
    words = text.split()
    words[:8] = rng.choice(WORDS, size=8)
    return " ".join(words)


class Turned:
    """A hashed bag of words under a rotation of its own: two differ as encoders do."""

    def __init__(self, model_name: str, revision: str | None = None, *, seed: int = 0, **_):
        self.rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(WIDTH, WIDTH)))[0]
        self.mteb_model_meta = ModelMeta.create_empty(
            overwrites={
                "name": model_name,
                "revision": revision,
                "similarity_fn_name": ScoringFunction.COSINE,
            }
        )
        self.asked = []

    def rows(self, texts: list[str]) -> np.ndarray:
        words = [[zlib.crc32(word.encode()) % WIDTH for word in text.split()] for text in texts]
        counts = np.array([np.bincount(found, minlength=WIDTH) for found in words], np.float32)
        return (counts @ self.rotation + self.rotation[0]).astype(np.float32)

    def encode(self, inputs, *, task_metadata, hf_split, hf_subset, prompt_type=None, **kwargs):
        self.asked.append(prompt_type)
        return self.rows([text for batch in inputs for text in batch["text"]])

    def similarity(self, embeddings1, embeddings2):
        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1, embeddings2):
        return pairwise_cos_sim(embeddings1, embeddings2)


class LocalRetrieval(AbsTaskRetrieval):
    metadata = TaskMetadata(
        name="LocalRetrieval", type="Retrieval", main_score="ndcg_at_10", **ABOUT
    )

    def load_data(self, num_proc=None, **kwargs):
        documents = texts(100, seed=5)
        queries = [with_other_words(text, i) for i, text in enumerate(documents[:40])]
        self.dataset = {
            "default": {
                "test": {
                    "corpus": Dataset.from_list(
                        [{"id": f"d{i}", "title": "", "text": t} for i, t in enumerate(documents)]
                    ),
                    "queries": Dataset.from_list(
                        [{"id": f"q{i}", "text": t} for i, t in enumerate(queries)]
                    ),
                    "relevant_docs": {f"q{i}": {f"d{i}": 1} for i in range(len(queries))},
                    "top_ranked": None,
                }
            }
        }
        self.data_loaded = True


class LocalClassification(AbsTaskClassification):
    metadata = TaskMetadata(
        name="LocalClassification", type="Classification", main_score="accuracy", **ABOUT
    )

    def load_data(self, num_proc=None, **kwargs):
        def part(seed: int) -> Dataset:
            rng = np.random.default_rng(seed)
            labels = rng.integers(2, size=40)
            rows = [rng.choice(WORDS[60 * label : 60 * label + 60], size=12) for label in labels]
            return Dataset.from_dict({"text": [" ".join(r) for r in rows], "label": labels})

        self.dataset = DatasetDict({"train": part(0), "test": part(1)})
        self.data_loaded = True


@pytest.fixture
def new() -> Turned:
    return Turned("local/new", "1", seed=1)


@pytest.fixture
def old() -> Turned:
    return Turned("local/old", "1", seed=2)


@pytest.fixture
def translation(new, old) -> relatum.Translation:
    anchors = texts(200, seed=3)
    return relatum.Translation("procrustes").fit(new.rows(anchors), old.rows(anchors))


def score(model, task: type, cache: ResultCache | None = None) -> float:
    found = mteb.evaluate(model, task(), cache=cache, co2_tracker=False, show_progress_bar=False)
    return found.task_results[0].get_score()


class Untranslated(Turned):
    """Queries of one encoder in the index of another, as they are."""

    def __init__(self, new: Turned, old: Turned):
        super().__init__("local/mixed")
        self.new, self.old = new, old

    def encode(self, inputs, *, prompt_type=None, **kwargs):
        side = self.old if prompt_type == "document" else self.new
        return side.encode(inputs, prompt_type=prompt_type, **kwargs)


def test_translated_queries_search_the_index_of_the_old_encoder(new, old, translation):
    native = score(old, LocalRetrieval)
    assert 0.5 < native < 0.9
    assert score(Untranslated(new, old), LocalRetrieval) < native / 3
    new.asked.clear(), old.asked.clear()
    model = TranslatedEncoder(new, translation, documents=old)
    assert isinstance(model, EncoderProtocol)
    assert abs(score(model, LocalRetrieval) - native) < 0.02
    assert (new.asked, old.asked) == (["query"], ["document"])


def test_without_documents_all_is_translated(new, old, translation):
    model = TranslatedEncoder(new, translation)
    assert abs(score(model, LocalRetrieval) - score(old, LocalRetrieval)) < 0.02
    assert len(new.asked) == 2
    ask = {"task_metadata": LocalRetrieval.metadata, "hf_split": "test", "hf_subset": "default"}
    rows = model.encode([{"text": texts(9, seed=7)}], **ask)
    np.testing.assert_allclose(rows, old.rows(texts(9, seed=7)), atol=1e-3)


def test_classification(new, old, translation):
    native = score(old, LocalClassification)
    assert native > 0.8
    assert abs(score(TranslatedEncoder(new, translation), LocalClassification) - native) < 0.05
    model = TranslatedEncoder(new, translation, documents=old)  # there are no documents
    old.asked.clear()
    assert abs(score(model, LocalClassification) - native) < 0.05
    assert old.asked == []


def test_results_of_each_translation_are_kept_apart(new, old, translation, tmp_path):
    anchors = texts(100, seed=4)
    other = relatum.Translation("ridge").fit(new.rows(anchors), old.rows(anchors))
    same = TranslatedEncoder(new, translation).mteb_model_meta
    metas = [
        new.mteb_model_meta,
        same,
        TranslatedEncoder(new, other).mteb_model_meta,
        TranslatedEncoder(new, translation, documents=old).mteb_model_meta,
    ]
    again = TranslatedEncoder(new, translation).mteb_model_meta
    assert again.experiment_name == same.experiment_name
    assert len({meta.experiment_name for meta in metas}) == 4
    assert {meta.name for meta in metas} == {"local/new"}
    assert metas[0].experiment_kwargs is None  # the encoder's own stays as it was
    assert metas[3].experiment_kwargs["documents"] == "local/old"
    assert metas[3].embed_dim == WIDTH
    cache = ResultCache(tmp_path)
    for found in (translation, other, translation):
        score(TranslatedEncoder(new, found), LocalClassification, cache)
    assert len(list(tmp_path.rglob("LocalClassification.json"))) == 2


def test_rows_are_compared_as_the_target_compares_them(new, old, translation):
    old.similarity = old.similarity_pairwise = lambda a, b: "target"
    new.similarity = new.similarity_pairwise = lambda a, b: "encoder"
    for documents, expected in ((None, "encoder"), (old, "target")):
        model = TranslatedEncoder(new, translation, documents=documents)
        assert model.similarity(None, None) == model.similarity_pairwise(None, None) == expected


def test_sentence_transformers_are_wrapped():
    new = SentenceTransformer(modules=[BoW(WORDS)], device="cpu")
    old = SentenceTransformer(modules=[BoW(WORDS[::-1])], device="cpu")
    anchors = texts(200, seed=3)
    translation = relatum.Translation("procrustes").fit(new.encode(anchors), old.encode(anchors))
    model = TranslatedEncoder(new, translation, documents=old)
    assert abs(score(model, LocalRetrieval) - score(model.documents, LocalRetrieval)) < 0.02


def test_another_width_is_refused(new, old, translation):
    ask = {"task_metadata": LocalRetrieval.metadata, "hf_split": "test", "hf_subset": "default"}
    X = np.random.default_rng(0).normal(size=(30, 9))
    narrow = relatum.Translation("procrustes").fit(X, X[:, ::-1])
    model = TranslatedEncoder(new, narrow, documents=old)
    with pytest.raises(ValueError, match=r"encoder gives 48 features; .* was fitted on 9"):
        model.encode([{"text": ["w1"]}], prompt_type="query", **ask)
    with pytest.raises(ValueError, match=r"documents gives 48 features; .* leads into 9"):
        model.encode([{"text": ["w1"]}], prompt_type="document", **ask)


def test_what_is_refused(new, translation, monkeypatch):
    with pytest.raises(TypeError, match=r"translation is str; expected a fitted relatum\.Transl"):
        TranslatedEncoder(new, "ridge")
    with pytest.raises(NotFittedError):
        TranslatedEncoder(new, relatum.Translation())
    with pytest.raises(TypeError, match="encoder is int; expected a SentenceTransformer or an"):
        TranslatedEncoder(3, translation)
    with pytest.raises(TypeError, match="documents is list; expected a SentenceTransformer or an"):
        TranslatedEncoder(new, translation, documents=[])
    monkeypatch.setitem(sys.modules, "mteb.models", None)
    with pytest.raises(relatum.MissingExtraError, match=r"pip install 'relatum\[mteb\]'"):
        TranslatedEncoder(3, translation)
