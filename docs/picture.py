"""Draw docs/_static/before_after.png: BBC News from two encoders, before and after.

Needs relatum[demo]; run with: make picture
"""

from pathlib import Path

import relatum
from relatum.demo.corpus import bbc_news
from relatum.demo.encoders import glove, wordllama
from relatum.plot import plot_before_after

news = bbc_news(60, 1000)
spaces = {"WordLlama": wordllama(news.texts), "GloVe": glove(news.texts)}
anchors = relatum.select_anchors(spaces["WordLlama"], 100, random_state=0)
figure = plot_before_after(spaces, anchors, news.labels)
path = Path(__file__).parent / "_static" / "before_after.png"
figure.savefig(path, dpi=110, metadata={"Software": None})
print(f"wrote {path}")
