"""Text data sets read from files in their sources' formats."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

pytest.importorskip("yaml", reason="the paper's experiments need the extra paper")
pytest.importorskip("pydantic", reason="relatum.paper needs pydantic")

from relatum import _files
from relatum.paper import data_text, data_text_hub, hub
from relatum.paper.runner import MissingDataError


@pytest.fixture
def run(make_run):
    return make_run("table-5")


def text_of(texts, i):
    return texts.texts[i], texts.classes[texts.labels[i]]


@pytest.mark.parametrize(("level", "classes"), [("coarse", 4), ("fine", 6)])
def test_trec(run, level, classes):
    found = data_text.load_texts(run, f"trec-{level}")
    assert (len(found.train), len(found.validation), len(found.test)) == (216, 24, 60)
    assert found.n_classes == classes
    text, name = text_of(found.test, 0)
    assert text.startswith("What café ")  # the file is latin-1
    assert name == ("LOC" if level == "coarse" else "LOC:city")
    assert not set(found.train.texts) & set(found.validation.texts)


def test_dbpedia_agrees_on_classes_though_its_files_number_them_apart(run):
    found = data_text.load_texts(run, "dbpedia14")
    own = {"Company": "million", "Artist": "king", "Animal": "sheep", "Album": "guitar"}
    for part in (found.train, found.validation, found.test):
        for name, word in own.items():  # each class by a word that only it has
            of_word = [part.labels[i] for i, text in enumerate(part.texts) if word in text.split()]
            assert {part.classes[label] for label in of_word} == {name}
    assert found.test.texts[0].endswith(", and more.")  # a comma within quotes


def test_dbpedia_refuses_other_classes(run, tmp_path):
    folder = tmp_path / "dbpedia14"
    folder.mkdir()
    (folder / "classes.txt").write_text("A\nB\n")
    (folder / "meta.txt").write_text("1: A\n2: C\n")
    other = type(run)(**{**vars(run), "data_dir": tmp_path})
    with pytest.raises(_files.FileFormatError, match=r"classes.txt and meta.txt name other"):
        data_text.dbpedia14(other)


def test_sst(run):
    fine = data_text.load_texts(run, "sst-fine")
    assert fine.ordered
    assert fine.train.classes == ["0", "1", "2", "3", "4"]
    coarse = data_text.load_texts(run, "sst-coarse")
    assert coarse.n_classes == 2
    kept = [text for text, label in zip(fine.train.texts, fine.train.labels, strict=True)
            if label != 2]  # fmt: skip
    assert coarse.train.texts == kept
    expected = (fine.train.labels[fine.train.labels != 2] > 2).astype(int)
    np.testing.assert_array_equal(coarse.train.labels, expected)


def test_clinc(run):
    found = data_text.load_texts(run, "clinc150")
    assert (len(found.train), len(found.validation), len(found.test)) == (120, 40, 40)
    assert "oos" not in found.train.classes


def test_sib200_is_parallel(run):
    found = data_text.load_parallel(run, "sib200", ["en", "es", "ja"])
    assert [len(part) for part in (found.train, found.validation, found.test)] == [140, 28, 42]
    i = int(found.train[3])
    back = " ".join(word.removesuffix("o")[::-1] for word in found.texts["es"][i].split())
    assert back == found.texts["en"][i]
    assert " " not in found.texts["ja"][i]
    assert len(found.classes) == 7


def test_trec_hindi_is_split_once(run):
    found = data_text.load_parallel(run, "trec-fine-hi", ["en", "hi"])
    parts = [set(found.train), set(found.validation), set(found.test)]
    assert [len(part) for part in parts] == [105, 15, 30]
    assert len(set.union(*parts)) == 150
    again = data_text.load_parallel(run, "trec-coarse-hi", ["en", "hi"])
    np.testing.assert_array_equal(found.test, again.test)
    assert len(again.classes) == 4
    with pytest.raises(ValueError, match="language is 'ja'; expected one of en, hi"):
        data_text.load_parallel(run, "trec-fine-hi", ["en", "ja"])


def test_ntrex128(run):
    found = data_text.ntrex128(run, ["en", "hi"])
    assert len(found["en"]) == len(found["hi"]) == 160
    assert found["en"][0] == found["en"][0].strip()


def test_subsample_is_even_and_fixed():
    texts = data_text.Texts([str(i) for i in range(90)], np.arange(90) % 3, ["a", "b", "c"])
    some = data_text.subsample(texts, 12, tag=1)
    assert np.bincount(some.labels).tolist() == [4, 4, 4]
    assert some.texts == data_text.subsample(texts, 12, tag=1).texts
    assert some.texts != data_text.subsample(texts, 12, tag=2).texts
    assert data_text.subsample(texts, 0, tag=1) is texts


def test_names_and_missing_files(run, make_run, tmp_path):
    with pytest.raises(ValueError, match=r"dataset is 'trec' .did you mean 'trec-fine'"):
        data_text.load_texts(run, "trec")
    with pytest.raises(ValueError, match="language is 'xx'"):
        data_text.load_parallel(run, "sib200", ["xx"])
    (tmp_path / "trec").mkdir()
    (tmp_path / "sib200").mkdir()
    empty = make_run("table-5", data_dir=tmp_path)
    with pytest.raises(MissingDataError, match=r"there is no train_5500.label in .*trec"):
        data_text.load_texts(empty, "trec-fine")
    with pytest.raises(MissingDataError, match=r"there is no sib200_parallel\*.tsv.gz"):
        data_text.load_parallel(empty, "sib200", ["en"])
    with pytest.raises(MissingDataError, match="'sent_conv'"):
        data_text.load_texts(empty, "sst-fine")


@pytest.mark.parametrize(
    ("title", "body", "expected"),
    [
        ("Good", "I like it.", "Good. I like it."),
        ("Good!", "I like it.", "Good! I like it."),
        ("良い。", "とても", "良い。 とても"),
        ("Good", "Good. I like it.", "Good. I like it."),
        (None, " I like it. ", "I like it."),
        ("", "I like it.", "I like it."),
    ],
)
def test_title_and_body(title, body, expected):
    assert data_text_hub.join_title(title, body) == expected


def wikimatrix(folder, first, second, lines):
    with gzip.open(folder / f"WikiMatrix.{first}-{second}.tsv.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"{score}\t{a}\t{b}\n" for score, a, b in lines)


def test_wikimatrix_goes_through_english(make_run, tmp_path):
    folder = tmp_path / "wikimatrix"
    folder.mkdir()
    wikimatrix(folder, "en", "es", [(1.2, "one", "uno"), (1.1, "two", "dos"), (1.07, "one", "un"),
                                    (1.06, "same", "same"), (1.0, "three", "tres")])  # fmt: skip
    wikimatrix(folder, "en", "ja", [(1.2, "two", "二"), (1.1, "one", "一"), (1.06, "same", "同"),
                                    (1.05, "three", "三")])  # fmt: skip
    run = make_run("table-4", data_dir=tmp_path)
    found = data_text_hub.wikimatrix_anchors(run, ["en", "es", "ja"])
    assert found == {"en": ["one", "two"], "es": ["uno", "dos"], "ja": ["一", "二"]}
    with pytest.raises(MissingDataError, match=r"there is no WikiMatrix.en-fr.tsv.gz"):
        data_text_hub.wikimatrix_anchors(run, ["en", "fr"])


def test_translated_anchors(make_run, tmp_path):
    folder = tmp_path / "amazon_translated"
    folder.mkdir()
    run = make_run("table-4", data_dir=tmp_path)
    with pytest.raises(MissingDataError, match=r"there is no translations.tsv"):
        data_text_hub.translated_anchors(run, ["en"])
    (folder / "translations.tsv").write_text("en\tit\tes\nred\trosso\trojo\nsea\tmare\tmar\n")
    found = data_text_hub.translated_anchors(run, ["es", "en"])
    assert found == {"es": ["rojo", "mar"], "en": ["red", "sea"]}
    with pytest.raises(_files.FileFormatError, match="expected one for 'ja'"):
        data_text_hub.translated_anchors(run, ["ja"])


@pytest.fixture
def saved(tmp_path):
    """Save a data set as the hub's copy of that name would be."""
    datasets = pytest.importorskip("datasets", reason="hub data sets need datasets")

    def save(folder, **splits):
        whole = datasets.DatasetDict(
            {name: datasets.Dataset.from_dict(columns) for name, columns in splits.items()}
        )
        whole.save_to_disk(str(tmp_path / "hub" / folder))

    return save


def test_hub_trec_and_dbpedia(saved, make_run, tmp_path):
    run = make_run("table-5", data_dir=tmp_path, preset="paper")
    part = {"text": list("abcdefghij"), "coarse_label": [0, 1] * 5, "fine_label": [5, 7] * 5}
    saved("trec", train=part, test={name: values[:4] for name, values in part.items()})
    found = data_text_hub.HUB["hub-trec-fine"](run)
    assert (len(found.train), len(found.validation), len(found.test)) == (9, 1, 4)
    assert found.n_classes == 2
    assert found.test.labels.tolist() == [0, 1, 0, 1]
    part = {"title": ["Oak"] * 10, "content": [" A tree."] * 10, "label": [3, 4] * 5}
    saved("dbpedia_14", train=part, test=part)
    assert data_text_hub.HUB["hub-dbpedia14"](run).test.texts[0] == "Oak. A tree."


@pytest.mark.parametrize(("level", "labels"), [("fine", [0, 1, 2, 3, 4]), ("coarse", [0, 0, 1, 1])])
def test_hub_amazon(saved, make_run, tmp_path, level, labels):
    run = make_run("table-13", data_dir=tmp_path, preset="paper")
    part = {"review_title": list("abcde"), "review_body": list("vwxyz"), "stars": [1, 2, 3, 4, 5]}
    saved("amazon_reviews_multi--es", train=part, validation=part, test=part)
    found = data_text_hub.hub_amazon(run, "es", level)
    assert found.ordered
    assert found.test.labels.tolist() == labels
    assert found.test.texts[-1] == "e. z"


def test_hub_says_what_to_put_where(make_run, tmp_path, saved):
    offline = make_run("table-5", data_dir=tmp_path)
    with pytest.raises(MissingDataError, match=r"'a/b': put its saved folder into .*hub/a--b "):
        hub.from_hub(offline, "a/b", local=len, remote=len)
    paper = make_run("table-5", data_dir=None, preset="paper")

    def unreachable(name):
        raise OSError("no route\nto host")

    with pytest.raises(MissingDataError, match=r"--data-dir FOLDER \(the hub gave: no route\)$"):
        hub.from_hub(paper, "a/b", local=len, remote=unreachable)
    assert hub.from_hub(paper, "a/b", local=len, remote=str.upper) == "A/B"
    saved("few", train={"x": [1]})
    with pytest.raises(MissingDataError, match=r"'few' has the splits \['train'\].*needs 'test'"):
        hub.load_split(offline, "few", "test")
