"""Writes docs/experiments and dvc.yaml from the experiments and results/: ``make pages``.

``python docs/experiments.py table-1`` draws the pictures of that one alone.
"""

import sys
from pathlib import Path

from relatum.paper import pages, pipeline

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "experiments"

for path in pages.draw_pictures(ROOT / "results", TARGET, sys.argv[1:]):
    print("drew", path.relative_to(ROOT))
for path in pages.write_pages(ROOT / "results", TARGET):
    print("wrote", path.relative_to(ROOT))
(ROOT / "dvc.yaml").write_text(pipeline.dvc_yaml(), encoding="utf-8")
