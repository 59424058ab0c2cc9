"""Runs inside latentis' own environment: its projection against the raw product there."""

from __future__ import annotations

import json
import sys

import torch
from _harness import embeddings, memory, race
from latentis.transform.projection import cosine_proj

n, d, k = int(sys.argv[1]), 768, 768
X = torch.from_numpy(embeddings(n, d))
A = X[:: n // k][:k].clone()
with torch.no_grad():
    rows = [
        race(
            "latentis 0.0.8 cosine_proj",
            lambda: cosine_proj(X, anchors=A),
            "torch X @ A.T",
            lambda: X @ A.T,
        ),
        memory("latentis 0.0.8 cosine_proj: memory", lambda: cosine_proj(X, anchors=A), n * k * 4),
    ]
print(json.dumps([row.as_dict() for row in rows]))
